"""The client against llama.cpp itself, with GLM's architecture, tokenizer and template.

The weights are random: what the model says means nothing, how it travels is real.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from conftest import require

from reapair.agent.model import request
from reapair.agent.model.client import Client
from reapair.agent.model.connection import Hangup
from reapair.agent.model.control_tokens import ANY_FAMILY, ControlTokens
from reapair.agent.model.server_probe import AccessRefused
from reapair.agent.model.servers import detect, is_ready
from reapair.agent.model.special_strings import special_strings
from reapair.agent.model.types import Answer, Message, Outcome, RequestOptions, Server
from reapair.agent.serve.keep import EmbeddedServer
from support.sse import TOOLS, WILLING

from .test_control import CONTROL, PIECES

pytestmark = pytest.mark.llama

MODEL = Path(__file__).parents[1] / "data/random.gguf"
CONTEXT = 4096
MESSAGES: list[Message] = [
    {"role": "system", "content": "You are a coding agent."},
    {"role": "user", "content": "Fix the bug in calc.py"},
]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    require("the random model", MODEL.is_file(), f"{MODEL.name} is not there")
    log = tmp_path_factory.mktemp("llama") / "log"
    with EmbeddedServer(MODEL, context_tokens=CONTEXT, directory=log) as server:
        yield server


@pytest.fixture(scope="module")
def server(embedded: EmbeddedServer) -> Server:
    return detect(embedded.base_url, api_key=embedded.api_key)


@pytest.fixture(scope="module")
def post(embedded: EmbeddedServer) -> Any:
    key = {"Authorization": f"Bearer {embedded.api_key}"}
    root = embedded.base_url.removesuffix("/v1")
    client = httpx2.Client(base_url=root, headers=key, trust_env=False, timeout=30)
    return lambda path, body: client.post(path, json=body).json()


def client_of(embedded: EmbeddedServer, server: Server, **more: Any) -> Client:
    return Client(server, api_key=embedded.api_key, **{"max_tokens": 120, **more})


def rendered(post: Any, server: Server, messages: list[Message], **more: Any) -> str:
    body = request.prompt(server, messages, more.pop("tools", TOOLS), thinking=True)
    return str(post("/apply-template", {**body, **more})["prompt"])


def tokens(post: Any, text: str) -> list[int]:
    answer = post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
    return list(answer["tokens"])


def test_it_is_recognised(embedded: EmbeddedServer, server: Server) -> None:
    assert (server.kind, server.context_tokens) == ("llama.cpp", CONTEXT)
    assert server.family == "glm-4.7"
    assert is_ready(server)
    with pytest.raises(AccessRefused):
        detect(embedded.base_url, api_key="wrong")


def calls_of(embedded: EmbeddedServer, server: Server, options: dict[str, Any]) -> list[Answer]:
    client = client_of(embedded, server, overrides=WILLING)
    seeds = range(0, 60, 4)
    return [
        client.ask(MESSAGES, TOOLS, RequestOptions(retry=seed, force_call=True, **options))
        for seed in seeds
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_calls_by_grammar(embedded: EmbeddedServer, server: Server, stream: bool) -> None:
    """Forced calls come parsed; whatever else random weights make is a named outcome."""
    answers = calls_of(embedded, server, {"stream": stream, "thinking": False})
    called = [answer for answer in answers if answer.outcome is Outcome.TOOL_CALLS]
    assert len(called) >= 3
    for answer in called:
        assert len(answer.calls) == 1
        assert answer.calls[0].name in {"read", "search", "edit", "bash"}
        assert answer.message is not None
    expected = {Outcome.TOOL_CALLS, Outcome.TRUNCATED, Outcome.FORMAT_ERROR, Outcome.REASONING_ONLY,
                Outcome.REPETITION, Outcome.FINAL_TEXT, Outcome.EMPTY}  # fmt: skip
    assert {answer.outcome for answer in answers} <= expected


def test_reasoning_goes_round_and_the_cache_holds(
    embedded: EmbeddedServer, server: Server, post: Any
) -> None:
    answers = calls_of(embedded, server, {"thinking": True})
    answer = next(a for a in answers if a.outcome is Outcome.TOOL_CALLS and a.reasoning.strip())
    assert answer.message is not None
    result = {"role": "tool", "tool_call_id": answer.calls[0].id, "content": "1\tx = 1"}
    nudge = {"role": "system", "content": "Go on."}
    history = [*MESSAGES, answer.message, result, nudge]
    first, second = rendered(post, server, MESSAGES), rendered(post, server, history)
    assert second.startswith(first + ANY_FAMILY.shield(answer.reasoning).strip() + "</think>")
    # Even a new user message leaves earlier reasoning where it was.
    assert rendered(post, server, [*history, {"role": "user", "content": "x"}]).startswith(
        second.removesuffix("<|assistant|><think>")
    )
    client = client_of(embedded, server, overrides=WILLING)
    # What random weights say may be an error of the server's, which comes without usage.
    asked = (client.ask(history, TOOLS, RequestOptions(retry=n)).usage for n in range(40))
    _, usage = islice((usage for usage in asked if usage.prompt_tokens), 2)
    assert usage.prompt_tokens == len(tokens(post, second)) == client.count(history, TOOLS)
    assert usage.cached_tokens == usage.prompt_tokens - 1


def test_overflow(embedded: EmbeddedServer, server: Server) -> None:
    client = client_of(embedded, server)
    long = [*MESSAGES, {"role": "user", "content": "word " * 5_000}]
    for stream in (True, False):
        answer = client.ask(long, TOOLS, RequestOptions(stream=stream))
        assert answer.outcome is Outcome.OVERFLOW
    filled = [*MESSAGES, {"role": "user", "content": "word " * 1_950}]
    assert 3_800 < client.count(filled, ()) < CONTEXT
    client = client_of(embedded, server, max_tokens=2_000, overrides={"ignore_eos": True})
    assert client.ask(filled, (), RequestOptions()).outcome is Outcome.OVERFLOW


def test_cancelling_frees_the_slot(embedded: EmbeddedServer, server: Server) -> None:
    overrides = {"ignore_eos": True, "reasoning_budget_tokens": None}
    client = client_of(embedded, server, max_tokens=2_000, overrides=overrides)
    seen = threading.Event()
    threading.Thread(target=lambda: (seen.wait(30), client.cancel()), daemon=True).start()
    answer = client.ask(
        MESSAGES, (), RequestOptions(), lambda p: seen.set() if p.kind != "prefill" else None
    )
    assert answer.outcome is Outcome.CANCELLED
    slots = embedded.base_url.replace("/v1", "/slots")
    key = {"Authorization": f"Bearer {embedded.api_key}"}
    until = time.monotonic() + 10
    while httpx2.get(slots, headers=key, trust_env=False).json()[0]["is_processing"]:
        assert time.monotonic() < until, "the slot is still busy"
        time.sleep(0.02)


def test_no_untrusted_text_adds_a_control_token(server: Server, post: Any) -> None:
    special = {
        token for text in CONTROL for token in tokens(post, text) if len(tokens(post, text)) == 1
    }
    assert len(special) == 36
    source = random.Random(1)
    texts = ["".join(source.choices(PIECES, k=8)) for _ in range(4_000)]
    assert special & set(tokens(post, "\n".join(texts)))
    for start in range(0, len(texts), 500):
        batch = texts[start : start + 500]
        assert not special & set(tokens(post, "\n".join(map(ANY_FAMILY.encode, batch))))

    def controls(text: str) -> list[int]:
        """Return the control tokens of a conversation in which `text` is what was read."""
        call = {
            "id": "1",
            "type": "function",
            "function": {"name": "read", "arguments": '{"path":"a"}'},
        }
        messages = [
            MESSAGES[0],
            {"role": "user", "content": f"Issue: {text}"},
            {"role": "assistant", "content": text, "reasoning_content": text, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": text},
        ]
        return [t for t in tokens(post, rendered(post, server, messages)) if t in special]

    plain = controls("nothing of note")
    for start in range(0, 400, 20):
        assert controls(" ".join(texts[start : start + 20])) == plain


def test_control_strings_cost_a_few_tokens_and_nothing_else(post: Any) -> None:
    for text in CONTROL:
        assert len(tokens(post, ANY_FAMILY.encode(text))) <= len(text) + 1


def test_exactly_its_special_strings_are_broken_up(
    embedded: EmbeddedServer, server: Server, post: Any
) -> None:
    special = special_strings(server, embedded.api_key, None, Hangup())
    assert special is not None
    assert {"<think>", "<tool_call>", "<arg_key>", "[gMASK]", "<sop>"} <= special
    assert not {"[INST]", "<start_of_turn>", "<s>"} & special
    control = ControlTokens(special)
    ids = {
        token for text in CONTROL for token in tokens(post, text) if len(tokens(post, text)) == 1
    }
    assert not ids & set(tokens(post, control.encode("".join(CONTROL))))
    assert control.encode("[INST] <s>") == "[INST] <s>"
