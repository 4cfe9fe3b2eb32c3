"""What goes over the wire: the request body for each kind of server and each family of models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reapair.agent.model.control_tokens import ANY_FAMILY, ControlTokens
from reapair.agent.model.per_message_cache import PerMessage
from reapair.agent.model.toolcalls import safe_id, safe_name
from reapair.agent.model.types import Message, RequestOptions, Server

Rendering = PerMessage[Message]


@dataclass(frozen=True, slots=True)
class Profile:
    """How a family of models is sampled. None leaves a setting to the server."""

    temperature: float
    top_p: float
    top_k: int | None = 0
    min_p: float | None = 0.01
    repetition_penalty: float | None = 1.0
    max_tokens: int = 16_384
    thinking_tokens: int = 8_192


PROFILES: tuple[tuple[str, Profile], ...] = (
    # A pruned model loops more often: it gets less room to think in circles.
    ("glm-4.7-flash-reap", Profile(temperature=0.7, top_p=1.0, thinking_tokens=6_144)),
    ("glm-4.7-flash", Profile(temperature=0.7, top_p=1.0)),
    ("glm-4.7", Profile(temperature=0.7, top_p=1.0)),
    ("", Profile(0.7, 0.95, top_k=None, min_p=None, repetition_penalty=None)),
)

OPTIONAL_FIELDS = (
    "thinking_token_budget",
    "reasoning_budget_tokens",
    "repetition_detection",
    "repetition_penalty",
    "repeat_penalty",
    "chat_template_kwargs",
    "parallel_tool_calls",
    "reasoning_effort",
    "return_progress",
    "stream_options",
    "cache_prompt",
    "id_slot",
    "top_k",
    "min_p",
    "seed",
)
"""Fields a server may refuse by name; the client then goes on without them."""


_SHORTEST_ANSWER = 256
"""Tokens below which an answer is of no use, and the conversation is shortened instead."""


def profile(model: str) -> Profile:
    """Return the settings for a model by its name, however the server spells it."""
    name = model.lower().replace("_", "-")
    return next(entry for part, entry in PROFILES if part in name)


def is_known(model: str) -> bool:
    """Say whether the table has settings for a model of this name."""
    return profile(model) is not PROFILES[-1][1]


def body(
    server: Server,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    options: RequestOptions,
    *,
    max_tokens: int | None,
    seed: int,
    overrides: Mapping[str, Any],
    rendering: Rendering | None = None,
) -> dict[str, Any]:
    """Return the JSON body of a chat request. An override of None takes a field out."""
    settings = profile(server.family or server.model)
    limit = options.max_tokens or max_tokens or settings.max_tokens
    if server.context_tokens:
        limit = min(limit, server.context_tokens // 2)
    # The budget for thinking leaves room for the call itself.
    budget = min(thinking_budget(server, options), limit // 2) if options.thinking else None
    request = {
        **prompt(server, messages, tools, thinking=options.thinking, rendering=rendering),
        "temperature": settings.temperature if options.temperature is None else options.temperature,
        "top_p": settings.top_p,
        "max_tokens": limit,
        "seed": seed,
        **_server_fields(server, settings, budget),
    }
    if tools:
        request["tool_choice"] = "required" if options.force_call else "auto"
        request["parallel_tool_calls"] = False
    request["stream"] = options.stream
    if options.stream:
        request["stream_options"] = {"include_usage": True}
        if server.kind == "llama.cpp":
            request["return_progress"] = True
    request.update(overrides)
    request = {key: value for key, value in request.items() if value is not None}
    return _vary(request, options.retry)


def prompt(
    server: Server,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    *,
    thinking: bool,
    rendering: Rendering | None = None,
) -> dict[str, Any]:
    """Return the part of the body that decides the prompt: model, messages, tools, template.

    A `rendering` that is used again renders only what is new in the conversation.
    """
    rendered = (rendering or Rendering(render))(messages)
    if not is_known(server.family or server.model):
        # Templates of other families refuse a system message that is not the first.
        rendered[1:] = [{**m, "role": "user"} if m["role"] == "system" else m for m in rendered[1:]]
    request: dict[str, Any] = {"model": server.model, "messages": rendered}
    if tools:
        request["tools"] = list(tools)
    if server.kind in ("llama.cpp", "vllm", "lmstudio"):
        # Without clear_thinking=false a new user message erases all earlier reasoning, and with it
        # the prompt cache from the first answer on.
        request["chat_template_kwargs"] = {"enable_thinking": thinking, "clear_thinking": False}
    elif not thinking:
        request["reasoning_effort"] = "none"
    return request


def render(message: Message, control: ControlTokens = ANY_FAMILY) -> Message:
    """Return a message as it is sent.

    Untrusted text is encoded, the model's own text shielded, and nothing is left in it that a
    server refuses or loses: no list or null for content, no arguments that are not a JSON object.
    """
    role = message.get("role")
    rendered = {**message, "content": _text(message.get("content"))}
    if "tool_call_id" in rendered:
        rendered["tool_call_id"] = safe_id(str(rendered["tool_call_id"]))
    if role in ("user", "tool"):
        rendered["content"] = control.encode(rendered["content"])
    if role != "assistant":
        return rendered
    for key in ("content", "reasoning_content"):
        if key in rendered:
            rendered[key] = control.shield(_text(rendered[key]))
    if "reasoning_content" in rendered:
        # llama.cpp reads the one name, vLLM the other; it is stored once.
        rendered["reasoning"] = rendered["reasoning_content"]
    if calls := rendered.get("tool_calls"):
        rendered["tool_calls"] = [
            {
                **call,
                "id": safe_id(call["id"]),
                "function": _safe(call["function"], control),
            }
            for call in calls
        ]
    return rendered


def amend(body: dict[str, Any], message: str, context: int | None = None) -> tuple[str, Any] | None:
    """Return the field to change, and its value, so that the server takes the request; or None.

    For servers that refuse an optional field by name, and for those that refuse a limit of the
    answer that is too high instead of lowering it.

    Args:
        body: of the request that was refused.
        message: the server's words.
        context: tokens that prompt and answer may have together, where that is known.
    """
    if (room := _room(message, body.get("max_tokens") or 0, context)) is not None:
        return "max_tokens", room
    for name in OPTIONAL_FIELDS:
        if name in body and re.search(rf"\b{name}\b", message):
            return name, None
    if body.get("tool_choice") == "required" and "tool_choice" in message:
        return "tool_choice", "auto"
    return None


def _room(message: str, asked: int, context: int | None) -> int | None:
    """Return how many tokens an answer may have by a complaint about `asked`, or None.

    Whatever the words are, such a complaint has the number that was asked for, or names the field;
    its other numbers are the context, the prompt, and sums of them.
    """
    words = re.sub(r"\A\d{3} ", "", message)  # without the HTTP status
    numbers = {int(number) for number in re.findall(r"\d+", words)} - {0, 1}
    named = re.search(r"max_(completion_|new_|output_)?tokens|completion tokens", message)
    if not (named or asked in numbers or (context or 0) - asked in numbers):
        return None
    most = (context or 0) - asked
    quoted = numbers if asked in numbers else set[int]()
    prompts = [number for number in quoted - {asked, most} if number + asked in numbers]
    totals = {number + asked for number in prompts}
    others = numbers - {asked, context, most} - totals
    if context and (context in numbers or max(others, default=0) > asked):
        largest, prompt = context, min(prompts or others, default=0)
    elif others:
        largest = max(others)
        prompt = min(prompts or others - {largest}, default=0)
    else:
        return None
    room = largest - prompt
    if room == asked - 1:  # vLLM stops counting a prompt where it gets too long
        room = asked // 2
    return room if _SHORTEST_ANSWER <= room < asked else None


def can_stream(server: Server) -> bool:
    """Return whether tool calls survive streaming on this server.

    vLLM's parsers for GLM lost names and pieces of arguments until one engine replaced them.
    """
    numbers = re.match(r"(\d+)\.(\d+)", server.version)
    return server.kind != "vllm" or numbers is None or (int(numbers[1]), int(numbers[2])) >= (0, 24)


def _text(content: Any) -> str:
    """Return content as one string that can be sent as UTF-8."""
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict)]
        content = "\n".join(parts)
    return str(content or "").encode("utf-8", "replace").decode()


def _safe(function: dict[str, Any], control: ControlTokens) -> dict[str, Any]:
    if (name := safe_name(function["name"])) != function["name"]:
        function = {**function, "name": name}
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, TypeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return {**function, "arguments": "{}"}
    shielded = control.shield_values(arguments)
    if shielded == arguments:  # byte for byte as generated, or the prompt cache is lost
        return function
    return {**function, "arguments": json.dumps(shielded, ensure_ascii=False)}


def thinking_budget(server: Server, options: RequestOptions) -> int:
    """Return how many tokens an answer may think."""
    return options.thinking_tokens or profile(server.family or server.model).thinking_tokens


def _server_fields(server: Server, settings: Profile, budget: int | None) -> dict[str, Any]:
    """Return the fields only this kind of server knows."""
    if server.kind == "llama.cpp":
        return {
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            "repeat_penalty": settings.repetition_penalty,
            "reasoning_budget_tokens": budget,
            "cache_prompt": True,
        }
    if server.kind == "vllm":
        return {
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            "repetition_penalty": settings.repetition_penalty,
            "thinking_token_budget": budget,
            "repetition_detection": {
                "max_pattern_size": 64,
                "min_pattern_size": 2,
                "min_count": 24,
            },
        }
    return {}


def _vary(request: dict[str, Any], retry: int) -> dict[str, Any]:
    """Move seed and temperature with each resample: the same sample would come out the same."""
    if not retry:
        return request
    if "seed" in request:
        request["seed"] += retry
    temperature = request.get("temperature", 0.7)
    request["temperature"] = round(max(temperature, min(temperature + 0.15 * retry, 1.0)), 2)
    return request
