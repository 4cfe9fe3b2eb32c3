"""Tokens and speed: the server's own figures where it gives them, ours where it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.model.connection import server_root
from reapair.agent.model.limits import parse_json
from reapair.agent.model.per_message_cache import PerMessage
from reapair.agent.model.reply import Reply
from reapair.agent.model.request import Rendering, prompt
from reapair.agent.model.types import Message, Server, Usage

if TYPE_CHECKING:
    import openai


_WORDS_TO_TOKENS = 0.8  # nearly no token holds two words
_MOST_CHARACTERS = 8  # a token; source code and prose have three to five


class Counter:
    """Counts prompts: asks the server where it has a counter, else estimates from the text.

    The estimate is calibrated by every answer that says how many tokens its prompt had.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._characters_per_token = 3.0  # too low on purpose until the first answer
        self._last: tuple[int, int] | None = None
        self._server_counts = server.kind in ("llama.cpp", "vllm")
        self._lengths = PerMessage(_length), PerMessage(_length)
        self._words, self._shown = PerMessage(_words), PerMessage(_shown)

    def count(
        self,
        connection: openai.OpenAI,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        rendering: Rendering,
    ) -> int:
        """Return the size of the prompt in tokens."""
        if self._server_counts:
            counted = self._ask(connection, messages, tools, rendering)
            if counted is not None:
                return counted
        return self.estimate(messages, tools)

    def estimate(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return the size of the prompt in tokens by our own reckoning."""
        return int(self._characters(messages, tools) / self._characters_per_token) + 1

    def learn(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], usage: Usage
    ) -> None:
        """Calibrate the estimate by a prompt whose size the server told."""
        if usage.prompt_tokens:
            characters = self._characters(messages, tools)
            self._characters_per_token = max(characters / usage.prompt_tokens, 0.5)
            self._last = (characters, usage.prompt_tokens)

    def was_cut(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], usage: Usage
    ) -> bool:
        """Return whether the server read less than it was sent, by our own count.

        It did when it read fewer tokens than there are words, or than any tokenizer needs for so
        many characters, or fewer than of the last prompt although this one is longer.
        """
        told = usage.prompt_tokens
        if told is None:
            return False
        if told < _WORDS_TO_TOKENS * sum(self._words(messages)):
            return True
        if sum(self._shown(messages)) > _MOST_CHARACTERS * told:
            return True
        if self._last is None:
            return False
        characters, tokens = self._last
        return self._characters(messages, tools) >= characters and told < 0.9 * tokens

    def _characters(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        of_messages, of_tools = self._lengths
        return sum(of_messages(messages)) + sum(of_tools(tools))

    def _ask(
        self,
        connection: openai.OpenAI,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        rendering: Rendering,
    ) -> int | None:
        import httpx2
        import openai

        body = prompt(self._server, messages, tools, thinking=True, rendering=rendering)
        if self._server.kind == "vllm":
            path, key = f"{server_root(self._server.base_url)}/tokenize", "count"
            body["add_generation_prompt"] = True
        else:
            path, key = "/chat/completions/input_tokens", "input_tokens"
        try:
            answer = parse_json(connection.post(path, body=body, cast_to=httpx2.Response).content)
        except (openai.NotFoundError, openai.PermissionDeniedError):
            self._server_counts = False  # an older server or a gateway in front of it
            return None
        except (openai.OpenAIError, ValueError):
            return None
        count = answer.get(key) if isinstance(answer, dict) else None
        return count if isinstance(count, int) else None


def usage(reply: Reply) -> Usage:
    """Return tokens and speed of an answer; speeds from our own clock where not told."""
    told, timings = reply.usage, reply.timings
    prompt_tokens = _number(told.get("prompt_tokens"))
    cached = _number(_inside(told, "prompt_tokens_details").get("cached_tokens"))
    if cached is None:
        cached = _number(timings.get("cache_n"))
    if prompt_tokens is None and timings:
        prompt_tokens = (_number(timings.get("prompt_n")) or 0) + (cached or 0)
    completion = _number(told.get("completion_tokens"))
    if completion is None:
        completion = _number(timings.get("predicted_n"))
    return Usage(
        prompt_tokens=prompt_tokens,
        cached_tokens=cached,
        completion_tokens=completion,
        reasoning_tokens=_reasoning_tokens(reply, completion),
        prefill_tokens_per_second=_prefill_speed(reply, prompt_tokens, cached),
        decode_tokens_per_second=_decode_speed(reply, completion),
        seconds_to_first_token=reply.seconds_to_first_token,
        prefill_seconds=_seconds(reply.timings.get("prompt_ms"), reply.seconds_to_first_token),
        decode_seconds=_seconds(
            reply.timings.get("predicted_ms"), reply.seconds - (reply.seconds_to_first_token or 0.0)
        ),
    )


def generated_reused(now: Usage, before: Usage | None) -> int | None:
    """Return how much of the answer before the server did not have to read again."""
    if now.cached_tokens is None or before is None or before.prompt_tokens is None:
        return None
    beyond = now.cached_tokens - before.prompt_tokens
    return max(0, min(beyond, before.completion_tokens or 0))


def _seconds(told_ms: Any, measured: float | None) -> float | None:
    """Return the server's own figure, else what our clock says."""
    seconds = told_ms / 1000 if isinstance(told_ms, int | float) else measured
    return None if seconds is None else round(seconds, 4)


def _reasoning_tokens(reply: Reply, completion: int | None) -> int | None:
    told = _number(_inside(reply.usage, "completion_tokens_details").get("reasoning_tokens"))
    if told is not None or completion is None:
        return told
    written = len(reply.reasoning) + len(reply.content)
    written += sum(len(call.name) + len(call.arguments) for call in reply.calls)
    return round(completion * len(reply.reasoning) / written) if written else 0


def _prefill_speed(reply: Reply, prompt_tokens: int | None, cached: int | None) -> float | None:
    if speed := reply.timings.get("prompt_per_second"):
        return float(speed)
    seconds = reply.seconds_to_first_token
    if not seconds or prompt_tokens is None:
        return None
    return (prompt_tokens - (cached or 0)) / seconds


def _decode_speed(reply: Reply, completion: int | None) -> float | None:
    if speed := reply.timings.get("predicted_per_second"):
        return float(speed)
    seconds = reply.seconds - (reply.seconds_to_first_token or 0.0)
    if completion is None or seconds <= 0:
        return None
    return completion / seconds


def _words(message: Message) -> int:
    return len(re.findall(r"\w+", _content(message)))


def _shown(message: Message) -> int:
    return len(_content(message))


def _content(message: Message) -> str:
    """Return what every template shows of a message: earlier reasoning may be left out."""
    return str(message.get("content") or "")


def _length(entry: dict[str, Any]) -> int:
    return len(json.dumps(entry, ensure_ascii=False))


def _inside(values: dict[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
