"""What an error of a server means: by status, type and code, then by the words of its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from reapair.agent.model.types import Outcome, ServerKind

Source = Literal["seen", "reported", "documented"]
O = Outcome  # noqa: E741 - a table full of it

_BY_TYPE = {
    # Types and codes are made for programs, and stay when the words change.
    "exceed_context_size_error": O.OVERFLOW,
    "context_length_exceeded": O.OVERFLOW,
    "invalid_api_key": O.AUTH,
    "authentication_error": O.AUTH,
    "model_not_found": O.NOT_FOUND,
    "insufficient_quota": O.BAD_REQUEST,
    "content_filter": O.REFUSED,
    "content_policy_violation": O.REFUSED,
    "rate_limit_exceeded": O.UNAVAILABLE,
    "rate_limit_error": O.UNAVAILABLE,
    "overloaded_error": O.UNAVAILABLE,
    "unavailable_error": O.UNAVAILABLE,
}
_BY_STATUS = {
    401: O.AUTH,
    403: O.AUTH,
    404: O.NOT_FOUND,
    408: O.UNAVAILABLE,
    425: O.UNAVAILABLE,
    429: O.UNAVAILABLE,
    501: O.BAD_REQUEST,  # it will not know it later either
    505: O.BAD_REQUEST,
}


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of server says of one state.

    Attributes:
        server: the kind whose words these are; "other": what several say.
        outcome: what it means.
        pattern: the part of the words that does not vary.
        example: a whole text, as it was on the wire.
        source: "seen" from a real server, or "reported" or "documented" by others.
        advice: what to do where waiting and asking again can't help.
    """

    server: ServerKind
    outcome: Outcome
    pattern: str
    example: str
    source: Source
    advice: str = ""


_MEMORY = "Choose a smaller model or a shorter context, or free memory on the server."

WORDS = (
    # The model's fault, not ours: the same request may well succeed when it is sampled again.
    Words("llama.cpp", O.FORMAT_ERROR, r"expected peg-\w+ format",
          "The model produced output that does not match the expected peg-native format", "seen"),
    Words("llama.cpp", O.FORMAT_ERROR, "Invalid diff",
          "Invalid diff: 'a' not found at start of 'b'", "seen"),
    Words("llama.cpp", O.FORMAT_ERROR, "Failed to parse input at pos",
          "Failed to parse input at pos 4: <tool_call>", "seen"),
    Words("llama.cpp", O.FORMAT_ERROR, "invalid UTF-8 byte",
          "[json.exception.type_error.316] invalid UTF-8 byte at index 315: 0xF7", "seen"),
    Words("llama.cpp", O.FORMAT_ERROR, "empty grammar stack",
          "Unexpected empty grammar stack after accepting piece: =read (28)", "reported"),
    Words("ollama", O.FORMAT_ERROR, "error parsing tool call",
          "error parsing tool call: raw='{\"path\":\"a\"}]', err=invalid character ']' after "
          "top-level value", "reported"),
    Words("ollama", O.FORMAT_ERROR, "XML syntax error",
          "XML syntax error on line 3: element <tool_call> closed by </arg_key>", "reported"),
    Words("lmstudio", O.FORMAT_ERROR, "Failed to parse tool call:",
          "Failed to parse tool call: Unexpected end of content", "reported"),
    # The history that we send can't be rendered: it would be the same again.
    Words("llama.cpp", O.BAD_HISTORY, "Failed to parse tool call arguments",
          "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101]", "seen"),
    Words("llama.cpp", O.BAD_HISTORY, "Unable to generate parser for this template",
          "Unable to generate parser for this template. Automatic parser failed", "seen"),
    Words("llama.cpp", O.BAD_HISTORY, "Failed to parse messages",
          "Failed to parse messages: Missing 'role' in message", "seen"),
    Words("llama.cpp", O.BAD_HISTORY, "Cannot have 2 or more assistant messages",
          "Cannot have 2 or more assistant messages at the end of the list.", "seen"),
    Words("lmstudio", O.BAD_HISTORY, "rendering prompt with jinja template",
          "Error rendering prompt with jinja template: \"Cannot call something that is not a "
          "function: got UndefinedValue\"", "reported"),
    # The prompt does not fit, or what was left of it after a cut makes no conversation.
    Words("llama.cpp", O.OVERFLOW, r"context size has been exceeded|exceeds the available context",
          "Context size has been exceeded.", "seen"),
    Words("llama.cpp", O.OVERFLOW, "context shift is disabled",
          "context shift is disabled", "seen"),
    Words("ollama", O.OVERFLOW, "no user query found",
          "no user query found in messages", "reported"),
    Words("ollama", O.OVERFLOW, "input length exceeds",
          "the input length exceeds the context length", "reported"),
    Words("lmstudio", O.OVERFLOW, r"tokens to keep|keep the first \d+ tokens",
          "Trying to keep the first 15857 tokens when context the overflows. However, the model is "
          "loaded with context length of only 4096 tokens, which is not enough", "reported"),
    Words("lmstudio", O.OVERFLOW, "Reached context length",
          "Reached context length of 4096 tokens with model (arch: glm4) that does not currently "
          "support mid-generation context overflow", "reported"),
    Words("vllm", O.OVERFLOW, r"maximum (context|model) length|input_tokens",
          "This model's maximum context length is 32768 tokens. However, your prompt contains "
          "40000 input tokens, which exceeds this limit even without any output tokens.", "seen"),
    Words("other", O.OVERFLOW, r"longer than the model's context",
          "The input (40000 tokens) is longer than the model's context length (32768 tokens).",
          "reported"),  # SGLang
    Words("other", O.OVERFLOW,
          r"context (length|size|window)|maximum context|exceeds? (the )?(available|model'?s)"
          r"|exceeds this limit|too (long|large)[^.]*token|context[^.]*exceed",
          "prompt is too long: 208310 tokens > 200000 maximum", "reported"),
    # Nothing that waiting would change.
    Words("ollama", O.BAD_REQUEST, "requires more system memory",
          "model requires more system memory (19.0 GiB) than is available (9.1 GiB)", "reported",
          _MEMORY),
    Words("lmstudio", O.BAD_REQUEST, "insufficient system resources",
          "Failed to load model \"glm-4.7-flash\". Error: Model loading aborted due to "
          "insufficient system resources. Overloading the system will likely cause it to freeze.",
          "reported", _MEMORY),
    Words("lmstudio", O.BAD_REQUEST, "No models loaded",
          "No models loaded. Please load a model in the developer page or use the `lms load` "
          "command.", "reported", "Load the model with `lms load MODEL --context-length 65536`."),
    Words("ollama", O.BAD_REQUEST, "does not support tools",
          "registry.ollama.ai/library/gemma:latest does not support tools", "reported",
          "Choose a model that can call tools."),
    # The server lost the model, or is getting it: it is there again later.
    Words("lmstudio", O.UNAVAILABLE, r"model has crashed",
          "The model has crashed without additional information. (Exit code: null)", "reported"),
    Words("lmstudio", O.UNAVAILABLE, r"model( is| has been|) unloaded",
          "Model unloaded.", "reported"),
    Words("lmstudio", O.UNAVAILABLE, r"Failed to load model|(Operation|Load\w*) cancell?ed",
          "Failed to load model \"qwen/qwen3-coder-30b\". Error: Operation canceled.", "reported"),
    Words("lmstudio", O.UNAVAILABLE, "Channel Error", "Channel Error", "reported"),
    Words("ollama", O.UNAVAILABLE, r"runner (process )?has (terminated|unexpectedly stopped)",
          "model runner has unexpectedly stopped, this may be due to resource limitations or an "
          "internal error, check ollama server logs for details", "reported"),
    Words("ollama", O.UNAVAILABLE, "encountered while running the model",
          "an error was encountered while running the model: unexpected EOF", "reported"),
    Words("llama.cpp", O.UNAVAILABLE, r"Compute error|failed to decode",
          "Compute error.", "reported"),
    Words("llama.cpp", O.UNAVAILABLE, "Loading model", "Loading model", "seen"),
)  # fmt: skip


def classify_error(
    status: int | None,
    kind: str,
    message: str,
    *,
    code: str = "",
    server: ServerKind = "other",
) -> tuple[Outcome, str]:
    """Return the outcome of an error answer, and what to do about it where waiting can't help.

    Args:
        status: of HTTP; None for an error inside a stream.
        kind, code: the error's type and code.
        message: the error's words.
        server: whose words to look for first. Others count too: behind a gateway may be any kind.
    """
    if status in (401, 403):
        return Outcome.AUTH, ""
    for name in (code, kind):
        if outcome := _BY_TYPE.get(name):
            return outcome, ""
    if status is None or (status not in _BY_STATUS and status <= 500):  # else it says enough itself
        for words in sorted(WORDS, key=lambda each: each.server != server):
            if re.search(words.pattern, message, re.IGNORECASE):
                return words.outcome, words.advice
    return _by_status(status, kind), ""


def _by_status(status: int | None, kind: str) -> Outcome:
    if status is None:
        return Outcome.BROKEN_STREAM
    if status == 500 and kind == "server_error":
        # llama.cpp says so for mistakes in the request; from others it is a real failure.
        return Outcome.BAD_REQUEST
    # Gateways have made up many: whatever begins with 5 tells of a server that may come back.
    return _BY_STATUS.get(status, Outcome.UNAVAILABLE if status >= 500 else Outcome.BAD_REQUEST)


def parse_error(body: Any) -> tuple[str, str, str]:
    """Return type, code and words of an error's body, in whichever form the server puts it."""
    error = body.get("error") or body if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", "", str(error)
    words = error.get("message") or error.get("detail") or error
    if isinstance(inner := words, dict):  # a gateway puts the error of the server into its own
        words = inner.get("message") or inner
    return str(error.get("type") or ""), str(error.get("code") or ""), str(words)
