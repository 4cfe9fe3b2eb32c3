"""Limits of an answer that a server refuses: fewer tokens are asked for, nothing is compacted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from reapair.agent.model.client import Client
from reapair.agent.model.request import amend
from reapair.agent.model.types import Outcome, RequestOptions, Server
from support.raw_server import RawServer, head
from support.sse import TOOLS

ASKED = 16_384
DONE = {"message": {"content": "Done."}, "finish_reason": "stop"}
TOO_MANY: dict[str, tuple[str, int | None, int]] = {
    "vLLM 0.15, which stops counting the prompt": (
        "You passed 16385 input tokens and requested 16384 output tokens. However, the model's "
        "context length is only 32768 tokens, resulting in a maximum input length of 16384 tokens. "
        "Please reduce the length of the input prompt. (parameter=input_tokens, value=16385)",
        32_768, 8_192),
    "vLLM, the context less the answer": (
        "This model's maximum context length is 16384 tokens. However, your request has 20000 "
        "input tokens. Please reduce the length of the input messages.", 32_768, 12_768),
    "vLLM, both named": (
        "This model's maximum context length is 32768 tokens. However, your request has 20000 "
        "input tokens plus 16384 'max_tokens'. Please reduce one or the other.", 32_768, 12_768),
    "vLLM, the model's length": (
        "max_tokens=16384 cannot be greater than max_model_len=8192. Please request fewer output "
        "tokens.", None, 8_192),
    "SGLang": (
        "Requested token count exceeds the model's maximum context length of 32768 tokens. You "
        "requested a total of 40000 tokens: 23616 tokens from the input messages and 16384 tokens "
        "for the completion.", 32_768, 9_152),
    "OpenAI": (
        "max_completion_tokens is too large: 16384.This model supports at most 8192 completion "
        "tokens, whereas you provided 16384.", None, 8_192),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MANY)
@pytest.mark.parametrize("known", [True, False])
def test_too_many_tokens_asked_for(name: str, known: bool) -> None:
    message, context, room = TOO_MANY[name]
    if not known and name == "vLLM, the context less the answer":
        return  # then the words say that the prompt is too long
    found = amend({"max_tokens": ASKED}, message, context if known else None)
    assert found == ("max_tokens", room)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 32768 tokens. However, your prompt contains 40000 "
        "input tokens, which exceeds this limit even without any output tokens.",
        "request (40000 tokens) exceeds the available context size (32768 tokens)",
        "The input (40000 tokens) is longer than the model's context length (32768 tokens).",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "max_tokens 16384",
    ],
)
@pytest.mark.parametrize("context", [32_768, None])
def test_a_prompt_that_is_too_long_is_no_limit_too_high(message: str, context: int | None) -> None:
    assert amend({"max_tokens": ASKED}, message, context) is None


def test_the_answer_is_asked_for_again_with_fewer_tokens() -> None:
    asked: list[int] = []

    def reply(request: bytes) -> Iterator[bytes]:
        asked.append(json.loads(request.partition(b"\r\n\r\n")[2])["max_tokens"])
        if asked[-1] > 12_000:
            text = TOO_MANY["vLLM 0.15, which stops counting the prompt"][0]
            error = {"error": {"message": text, "type": "BadRequestError", "code": 400}}
            yield head("application/json", status="400 Bad Request") + json.dumps(error).encode()
        else:
            yield head("application/json") + json.dumps({"choices": [DONE]}).encode()

    with RawServer(reply) as server:
        client = Client(Server("vllm", server.base_url, "m", 32_768), api_key=None)
        messages = [{"role": "user", "content": "Fix it."}]
        assert client.ask(messages, TOOLS, RequestOptions()).outcome is Outcome.FINAL_TEXT
    assert asked == [16_384, 8_192]
