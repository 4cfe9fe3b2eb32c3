"""The table of recoveries: complete, bounded, and in words that a model can act on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from reapair.agent.model.call_form import call_form, plain_form
from reapair.agent.model.connection import Hangup
from reapair.agent.model.recovery import TABLE, WIRE, decide, wait_until_ready
from reapair.agent.model.server_errors import WORDS, Words, classify_error, parse_error
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Outcome, RequestOptions, Server
from reapair.agent.result import ExitReason
from reapair.prompts import render
from support.raw_server import RawServer, head
from support.scripted_server import ScriptedServer
from support.sse import TOOLS

pytestmark = pytest.mark.slow

BAD = sorted(set(Outcome) - {Outcome.TOOL_CALLS})


def test_every_outcome_has_a_row() -> None:
    assert set(TABLE) == set(Outcome)
    assert decide(Outcome.TOOL_CALLS, 1).action == "accept"


@pytest.mark.parametrize("outcome", BAD)
def test_every_row_ends_by_name_after_few_tries(outcome: Outcome) -> None:
    row = [decide(outcome, count) for count in range(1, 12)]
    actions = [recovery.action for recovery in row]
    assert actions[6] == "stop"
    assert ExitReason(row[-1].exit_reason or "")
    assert sum(recovery.seconds for recovery in row) < 600
    for recovery in row:
        RequestOptions(**recovery.options)
        assert (recovery.exit_reason is not None) == (recovery.action == "stop")


@pytest.mark.parametrize("outcome", BAD)
def test_no_prefix_is_sampled_twice_in_the_same_way(outcome: Outcome) -> None:
    retries = [decide(outcome, count).options.get("retry") for count in range(1, 8)]
    tried = [retry for retry in retries if retry is not None]
    assert len(tried) == len(set(tried))


@pytest.mark.parametrize(
    "outcome", [Outcome.AUTH, Outcome.NOT_FOUND, Outcome.BAD_REQUEST, Outcome.BAD_HISTORY]
)
def test_what_will_not_change_is_not_tried_again(outcome: Outcome) -> None:
    assert decide(outcome, 1).action == "stop"


def test_a_stored_text_is_never_left_as_the_last_message() -> None:
    """llama.cpp would take it for the beginning of its answer."""
    row = TABLE[Outcome.FINAL_TEXT]
    assert all(recovery.feedback for recovery in row if recovery.action != "stop")


def test_faults_of_the_wire_are_no_fault_of_the_model() -> None:
    assert not WIRE & {Outcome.EMPTY, Outcome.FORMAT_ERROR, Outcome.FINAL_TEXT, Outcome.TRUNCATED}


@pytest.mark.parametrize(
    "template", sorted({r.feedback for row in TABLE.values() for r in row if r.feedback})
)
def test_feedback_names_the_tools_and_the_form(template: str) -> None:
    glm = Server("llama.cpp", "http://127.0.0.1:9/v1", "glm-4.7-flash", None)
    text = render(template, tools=TOOLS, form=plain_form(TOOLS, glm))
    assert "- read(path, start_line, whole)\n- search(pattern)" in text
    assert "<tool_call>read<arg_key>path</arg_key><arg_value>VALUE</arg_value></tool_call>" in text


def test_waiting_ends_when_the_server_is_ready() -> None:
    with ScriptedServer([], loading=0) as scripted:
        server = detect(scripted.base_url)
        scripted.loading = 2
        began = time.monotonic()
        assert wait_until_ready(server, 20)
        assert 2 <= time.monotonic() - began < 15
        assert not wait_until_ready(server, 20, cancelled=lambda: True)
    assert not wait_until_ready(server, 0.3)


@pytest.mark.parametrize(
    ("status", "kind", "message", "outcome"),
    [
        (400, "exceed_context_size_error", "request (8005 tokens) exceeds", Outcome.OVERFLOW),
        (400, "BadRequestError", "This model's maximum context length is 9 tokens. However, your "
         "prompt contains at least 10 input tokens", Outcome.OVERFLOW),
        (400, "BadRequestError", "The decoder prompt (length 9) plus the number of requested "
         "output tokens is longer than the maximum model length of 9.", Outcome.OVERFLOW),
        (400, "BadRequestError", "Input length (9) exceeds model's maximum context length (8).",
         Outcome.OVERFLOW),
        (500, "server_error", "Context size has been exceeded.", Outcome.OVERFLOW),
        (500, "server_error", "the request exceeds the available context size. try increasing the "
         "context size or enable context shift", Outcome.OVERFLOW),
        (500, "", "context shift is disabled", Outcome.OVERFLOW),
        (500, "server_error", "Invalid diff: 'a' not found", Outcome.FORMAT_ERROR),
        (500, "server_error", "Failed to parse input at pos 4: <tool_call>", Outcome.FORMAT_ERROR),
        (400, "invalid_request_error", "[json.exception.type_error.316] invalid UTF-8 byte at "
         "index 315: 0xF7", Outcome.FORMAT_ERROR),
        (500, "api_error", "XML syntax error on line 3: element <tool_call> closed by </arg_key>",
         Outcome.FORMAT_ERROR),
        (500, "server_error", "Failed to parse tool call arguments as JSON: [json.exception]",
         Outcome.BAD_HISTORY),
        (400, "invalid_request_error", "Unable to generate parser for this template. x",
         Outcome.BAD_HISTORY),
        (500, "server_error", "[json.exception.parse_error.101] parse error", Outcome.BAD_REQUEST),
        (500, "InternalServerError", "EngineCore died", Outcome.UNAVAILABLE),
        (400, "BadRequestError", "`tools` must not be an empty array.", Outcome.BAD_REQUEST),
        (422, "UnprocessableEntityError", "no", Outcome.BAD_REQUEST),
        (501, "not_supported_error", "no", Outcome.BAD_REQUEST),
        (302, "", "", Outcome.BAD_REQUEST),
        (401, "authentication_error", "Invalid API Key", Outcome.AUTH),
        (403, "", "no", Outcome.AUTH),
        (404, "NotFoundError", "The model `x` does not exist.", Outcome.NOT_FOUND),
        (429, "", "slow down", Outcome.UNAVAILABLE),
        (503, "unavailable_error", "Loading model", Outcome.UNAVAILABLE),
        (None, "server_error", "no more", Outcome.BROKEN_STREAM),
        (None, "server_error", "Context size has been exceeded.", Outcome.OVERFLOW),
    ],
)  # fmt: skip
def test_errors_by_what_servers_say(
    status: int | None, kind: str, message: str, outcome: Outcome
) -> None:
    assert classify_error(status, kind, message)[0] is outcome


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.example[:40])
@pytest.mark.parametrize("status", [400, 500, None])
def test_the_words_of_each_server(words: Words, status: int | None) -> None:
    """Known behind a gateway too, where the kind of server is not known or another's."""
    for server in (words.server, "other"):
        told = classify_error(status, "api_error", words.example, server=server)
        assert told == (words.outcome, words.advice)


@pytest.mark.parametrize("status", [520, 521, 522, 523, 524, 525, 527, 529, 530, 599, 502, 504])
def test_what_gateways_make_up_is_waited_for(status: int) -> None:
    assert classify_error(status, "", f"error code: {status}")[0] is Outcome.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "kind", "code", "outcome"),
    [
        (400, "invalid_request_error", "context_length_exceeded", Outcome.OVERFLOW),
        (500, "exceed_context_size_error", "", Outcome.OVERFLOW),
        (429, "", "insufficient_quota", Outcome.BAD_REQUEST),
        (400, "content_filter", "", Outcome.REFUSED),
        (None, "overloaded_error", "", Outcome.UNAVAILABLE),
        (400, "", "model_not_found", Outcome.NOT_FOUND),
    ],
)
def test_types_and_codes_come_before_words(
    status: int | None, kind: str, code: str, outcome: Outcome
) -> None:
    told, _ = classify_error(status, kind, "the model has crashed", code=code)
    assert told is outcome


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no more", "type": "a", "code": 1}},
        {"error": "no more"},
        {"message": "no more", "object": "error"},
        {"detail": "no more"},
        {"error": {"message": {"message": "no more"}}},
        "no more",
    ],
)
def test_an_error_in_any_form(body: object) -> None:
    assert parse_error(body)[2] == "no more"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_without_rescue_nothing_is_sampled_again(outcome: Outcome) -> None:
    row = [decide(outcome, count, rescue=False) for count in range(1, 8)]
    # Another seed or temperature would be another policy.
    assert not any("retry" in each.options for each in row)
    if outcome not in WIRE:
        actions = [each.action for each in row]
        told = ["feedback", "feedback"] if outcome is Outcome.FINAL_TEXT else []
        last = "accept" if outcome is Outcome.TOOL_CALLS else "stop"
        assert actions == (told + [last] * 7)[:7]


def test_the_form_of_a_call_is_json_for_a_family_that_is_not_known() -> None:
    other = Server("other", "http://127.0.0.1:9/v1", "qwen3-coder", None)
    assert json.loads(plain_form(TOOLS, other)) == {"name": "read", "arguments": {"path": "VALUE"}}


TEMPLATES = {  # of calls: in front, and behind
    "Hermes": (
        '<tool_call>\n{"name": "read", "arguments": {"path": "VALUE"}}\n</tool_call>',
        "<|im_end|>"),
    "Qwen-coder": (
        "<tool_call>\n<function=read>\n<parameter=path>\nVALUE\n</parameter>\n</function>\n"
        "</tool_call>", "<|im_end|>"),
    "Mistral": ('[TOOL_CALLS]read[ARGS]{"path": "VALUE"}', "</s>"),
    "DeepSeek": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{"path": "VALUE"}'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "<｜end▁of▁sentence｜>"),
}  # fmt: skip


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_form_of_a_call_is_that_of_the_template(family: str) -> None:
    form, end = TEMPLATES[family]

    def reply(request: bytes) -> Iterator[bytes]:
        answer = json.loads(request.partition(b"\r\n\r\n")[2])["messages"][1]
        shown = form if answer.get("tool_calls") else answer["content"]
        prompt = f"<|tools|>read(path)<|user|>x<|assistant|>{shown}{end}<|user|>x<|assistant|>"
        yield head("application/json") + json.dumps({"prompt": prompt}).encode()

    with RawServer(reply) as server:
        at = Server("llama.cpp", server.base_url, "m", None)
        assert call_form(at, TOOLS, None, {}, Hangup()) == form


@pytest.mark.parametrize("prompt", ["", "x", "VALUE", None, 3, "read VALUE " * 500])
def test_a_template_that_shows_no_call_is_not_used(prompt: object) -> None:
    reply = head("application/json") + json.dumps({"prompt": prompt}).encode()
    with RawServer(lambda _: [reply]) as server:
        at = Server("llama.cpp", server.base_url, "m", None)
        assert json.loads(call_form(at, TOOLS, None, {}, Hangup()))["name"] == "read"
