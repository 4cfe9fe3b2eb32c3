"""Would `solve` work here? Looks at the model server and the sandbox, end to end.

The requests are the ones a run makes: its client, its system prompt, its tools.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from reapair.agent.model import advice
from reapair.agent.model.capability import makes_calls
from reapair.agent.model.client import Client
from reapair.agent.model.connect import named
from reapair.agent.model.kept_server import kept_server
from reapair.agent.model.outcomes import REASONING_IN_CONTENT
from reapair.agent.model.request import can_stream, is_known
from reapair.agent.model.server_probe import probe
from reapair.agent.model.servers import detect, find_local
from reapair.agent.model.types import (
    Answer,
    Message,
    ModelError,
    Outcome,
    RequestOptions,
    Server,
    ToolCall,
)
from reapair.agent.settings.settings import Settings
from reapair.prompts import render
from reapair.sandbox import SandboxError, choose
from reapair.sandbox.recipes.build import names_dockerfile
from reapair.tools import schema
from reapair.tools.bash import Bash
from reapair.tools.edit import Edit
from reapair.tools.read import Read

Status = Literal["ok", "warning", "failed"]

SMALL_CONTEXT, COMFORTABLE_CONTEXT = 12_288, 32_768
"""Tokens below which a run can't work, and below which it must compact early."""

_XML = "<list>\n  <item a='1'/>\n</list>"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report. `mend` says what to change when it is not ok."""

    name: str
    status: Status
    detail: str
    mend: str = ""


def checks(
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    sandbox_check: Callable[[], Iterable[Check]],
    headers: Mapping[str, str] | None = None,
) -> Iterator[Check]:
    """Yield the checks one by one, as they are made. `solve` would work if none has failed.

    Args:
        base_url: the model server; None looks on this machine's usual ports.
        api_key: sent to `base_url` only.
        model: name of the model where the server has several.
        sandbox_check: yields the checks of the engine and its image.
        headers: sent to `base_url` only, beside ours.
    """
    yield from check_model(base_url, api_key, model, headers)
    yield _git()
    yield from sandbox_check()


def diagnose(settings: Settings) -> Iterator[Check]:
    """Yield all checks for the model and the sandbox that the settings name."""
    address, key, headers = named(settings)

    def sandbox() -> Iterator[Check]:
        yield _sandbox(settings)

    yield from checks(address, key, settings.model, sandbox, headers)


def _sandbox(settings: Settings) -> Check:
    try:
        image = settings.image
        # A Dockerfile is built from a repository, and there may be none here.
        engine = choose(settings.sandbox, image=None if names_dockerfile(image or "") else image)
    except SandboxError as error:
        detail, _, mend = str(error).rpartition("\n")
        return Check("sandbox", "failed", detail or mend, mend if detail else "")
    if engine.kind == "none":
        return Check("sandbox", "warning", "none: commands run as you, on this machine")
    return Check("sandbox", "ok", f"{engine.kind}: a command ran in the image")


def check_model(
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Check]:
    """Yield the checks of the model server alone; the arguments are those of `checks`."""
    kept = kept_server() if base_url is None else None
    if kept:
        base_url, api_key, headers = kept.base_url, kept.api_key, None
    try:
        if base_url is None:
            found, api_key, headers = find_local(model), None, None
        else:
            found = detect(base_url, api_key=api_key, model=model, headers=headers)
        if found is None:
            raise ModelError(
                "No model server was found on this machine's usual ports.\n"
                "Start one with agent serve, or say where it is with --base-url."
            )
    except ModelError as error:
        detail, _, mend = str(error).partition("\n")
        yield Check("server", "failed", detail, mend)
        return
    client, pairs = (
        Client(found, api_key=api_key, max_tokens=2_048, overrides=more, headers=headers)
        for more in ({}, {"parallel_tool_calls": True})
    )
    examination = _Examination(client, pairs)
    yield Check("server", "ok", f"{found.kind} {found.version} at {found.base_url}")
    yield _name(found)
    yield from examination.tool_calls()
    # Some servers know their context only once they have loaded the model, by now they have.
    yield _context(client.server)
    if found.kind == "llama.cpp":
        yield _slots(found, api_key, headers)
    yield from examination.reasoning()
    yield from examination.cache()
    if client.refused:
        detail = f"this server does not take: {', '.join(client.refused)}"
        yield Check("sampling", "warning", detail, "A newer release of the server takes them.")
    else:
        yield Check("sampling", "ok", "all settings are taken")
    yield _strategy(client)


def _strategy(client: Client) -> Check:
    """Return what the strategy `auto` makes of the model."""
    if makes_calls(client):
        detail = "auto asks bounded questions where a test shows the fault, then the model decides"
        return Check("strategy", "ok", detail)
    detail = "the model makes no calls by itself: auto asks bounded questions alone"
    return Check("strategy", "warning", detail, "Issues with a failing test fit it best.")


class _Examination:
    """The checks that need answers from the model; one client, one growing conversation."""

    def __init__(self, client: Client, pairs: Client) -> None:
        self._client = client
        self._pairs = pairs
        self._kind = client.server.kind
        self._tools = [schema(Read()), schema(Edit()), schema(Bash())]
        self._system: Message = {"role": "system", "content": render("system")}
        self._answers: list[Answer] = []

    def tool_calls(self) -> Iterator[Check]:
        """Check calls streamed and whole, without arguments, with XML in them, and in pairs."""
        request = "Call the tool read for the file README.md."
        reads = _calls("read", path="README.md")
        yield self._call("tool call", request, reads)
        if not can_stream(self._client.server):
            mend = "Update vLLM to 0.24 or newer; until then answers are not streamed."
            yield Check("streaming", "warning", "this release breaks streamed calls", mend)
        yield self._call("tool call, not streamed", request, reads, stream=False)
        if not any(answer.outcome is Outcome.TOOL_CALLS for answer in self._answers):
            return
        ping = {"name": "ping", "description": "Ping.", "parameters": _NO_PARAMETERS}
        pings = _calls("ping")
        tools = [{"type": "function", "function": ping}]
        yield self._lesser("call without arguments", "Call the tool ping.", pings, tools)
        request = f"Call edit with path a.xml, an empty old_str, and this new_str:\n{_XML}"
        edits = _calls("edit", new_str=_XML)
        yield self._lesser("call with XML in it", request, edits, self._tools)
        yield self._pair()

    def _pair(self) -> Check:
        """Ask for two calls in one reply; runs ask for one, but must not lose a second."""
        request = _user("Call read for a.py and read for b.py, both in this one reply.")
        options = RequestOptions(thinking=False)
        answer = self._pairs.ask([self._system, request], self._tools, options)
        paths = [call.arguments.get("path") for call in answer.calls]
        if paths == ["a.py", "b.py"]:
            return Check("two calls in a reply", "ok", "both parsed, in order")
        detail = f"did not arrive as asked for: {len(answer.calls)} of 2"
        return Check("two calls in a reply", "warning", detail, "Runs ask for one call at a time.")

    def reasoning(self) -> Iterator[Check]:
        """Check that reasoning comes apart from the text, and that earlier reasoning is kept."""
        yield self._apart()
        thought = "A thought that is to be kept. " * 8
        bare = [self._system, _user("One."), {"role": "assistant", "content": "Two."}]
        full = [*bare[:2], {**bare[2], "reasoning_content": thought, "reasoning": thought}]
        sizes = [self._size([*history, _user("Three.")]) for history in (bare, full)]
        if None in sizes:
            yield Check("earlier reasoning", "warning", "this server does not say how it counts")
        elif sizes[1] <= sizes[0] + 16:  # type: ignore[operator]
            detail = "is dropped from the prompt"
            yield Check("earlier reasoning", "warning", detail, advice.KEPT.get(self._kind, ""))
        else:
            yield Check("earlier reasoning", "ok", "stays in the prompt")

    def _apart(self) -> Check:
        mend = advice.REASONING.get(self._kind, "")
        said = [a for a in self._answers if a.reasoning or a.content or a.calls]
        if any(REASONING_IN_CONTENT in answer.detail for answer in said):
            return Check("reasoning", "warning", "it comes inside the text; parted here", mend)
        if not any(answer.reasoning for answer in said):
            detail = "the model gave none: is it a thinking model, and its template the right one?"
            return Check("reasoning", "warning", detail, mend)
        return Check("reasoning", "ok", "comes apart from the text")

    def cache(self) -> Iterator[Check]:
        """Check that the second turn reuses the first one's prompt; tell the speed."""
        options = RequestOptions(max_tokens=16, thinking=False)
        messages = [self._system, _user("Say hello.")]
        self._client.ask(messages, self._tools, options)
        longer = [*messages, {"role": "assistant", "content": "Hello."}, _user("Say it again.")]
        usage = self._client.ask(longer, self._tools, options).usage
        mend = advice.CACHE.get(self._kind, "")
        if usage.prompt_tokens is None or usage.cached_tokens is None:
            yield Check("prompt cache", "warning", "the server does not tell", mend)
        elif usage.cached_tokens < usage.prompt_tokens // 2:
            detail = f"only {usage.cached_tokens} of {usage.prompt_tokens} tokens were reused"
            yield Check("prompt cache", "warning", detail, mend)
        else:
            detail = f"{usage.cached_tokens} of {usage.prompt_tokens} tokens were reused"
            yield Check("prompt cache", "ok", detail)
        speeds = [answer.usage.decode_tokens_per_second for answer in self._answers]
        speed = next((speed for speed in speeds if speed is not None), None)
        if speed is not None:
            slow = speed < 5
            mend = "Take a smaller quantisation or offload more layers (-ngl)." if slow else ""
            yield Check("speed", "warning" if slow else "ok", f"{speed:.0f} tokens a second", mend)

    def _call(
        self, name: str, request: str, expected: Callable[[ToolCall], bool], *, stream: bool = True
    ) -> Check:
        """Ask for one call: freely first, then, as a run does, by force."""
        messages = [self._system, _user(request)]
        options = RequestOptions(stream=stream)
        answer, forced = self._client.ask(messages, self._tools, options), ""
        self._answers.append(answer)
        if answer.outcome is not Outcome.TOOL_CALLS and answer.outcome not in _HOPELESS:
            options = replace(options, retry=1, force_call=True, thinking=False)
            answer, forced = self._client.ask(messages, self._tools, options), ", only by force"
            self._answers.append(answer)
        if answer.outcome is not Outcome.TOOL_CALLS:
            detail = f"no call came: {answer.outcome} {answer.detail}".strip()
            return Check(name, "failed", detail, advice.PARSER.get(self._kind, ""))
        if answer.salvaged:
            detail = "came as plain text, and was read from there"
            return Check(name, "warning", detail, advice.PARSER.get(self._kind, ""))
        if forced or not expected(answer.calls[0]):
            return Check(name, "warning", f"came, but not as asked for{forced}", _WEAK)
        return Check(name, "ok", "parsed by the server")

    def _lesser(
        self, name: str, request: str, expected: Callable[[ToolCall], bool], tools: list[Any]
    ) -> Check:
        """Ask for a call that a run can do without."""
        options = RequestOptions(thinking=False)
        answer = self._client.ask([self._system, _user(request)], tools, options)
        if answer.calls and expected(answer.calls[0]):
            return Check(name, "ok", "parsed" if not answer.salvaged else "read from the text")
        said = answer.detail or str(answer.outcome)
        return Check(name, "warning", f"did not arrive as asked for: {said}", _WEAK)

    def _size(self, messages: list[Message]) -> int | None:
        """Return the prompt's size as the server sees it."""
        if self._kind in ("llama.cpp", "vllm"):
            return self._client.count(messages, ())
        answer = self._client.ask(messages, (), RequestOptions(max_tokens=1))
        return answer.usage.prompt_tokens


_NO_PARAMETERS = {"type": "object", "properties": {}, "required": []}
_WEAK = "If it happens often: a bigger model or a better quantisation (Q4_K_XL and up)."
_HOPELESS = (
    Outcome.AUTH,
    Outcome.BAD_REQUEST,
    Outcome.NOT_FOUND,
    Outcome.OVERFLOW,
    Outcome.UNAVAILABLE,
)


def _calls(name: str, **arguments: str) -> Callable[[ToolCall], bool]:
    """Return a test for a call of this tool with at least these arguments."""
    return lambda call: (
        call.name == name
        and call.error is None
        and all(
            str(call.arguments.get(key)).strip() == value.strip()
            for key, value in arguments.items()
        )
    )


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _name(server: Server) -> Check:
    name = f"{server.model} ({server.family})" if server.family else server.model
    if is_known(server.family or server.model):
        return Check("model", "ok", name)
    return Check("model", "warning", f"{name}: no GLM, so it gets general settings")


def _context(server: Server) -> Check:
    size, mend = server.context_tokens, advice.CONTEXT.get(server.kind, "")
    if size is None:
        return Check("context", "warning", "the server does not say how much fits", mend)
    if size < SMALL_CONTEXT:
        return Check("context", "failed", f"{size} tokens are too few for a run", mend)
    if size < COMFORTABLE_CONTEXT:
        return Check("context", "warning", f"{size} tokens: long runs will be compacted", mend)
    return Check("context", "ok", f"{size} tokens")


def _slots(server: Server, api_key: str | None, headers: Mapping[str, str] | None) -> Check:
    """Say how many slots share llama.cpp's context: one is right for one run."""
    with probe(server.base_url, api_key, headers) as asked:
        slots = asked.get(f"{asked.root}/props").dict().get("total_slots")
    if not isinstance(slots, int):
        return Check("slots", "warning", "the server does not tell", "Start it with --props.")
    if slots > 1:
        return Check("slots", "warning", f"{slots} share the context", advice.CACHE["llama.cpp"])
    return Check("slots", "ok", "1")


def _git() -> Check:
    mend = "Install git 2.30 or newer."
    if shutil.which("git") is None:
        return Check("git", "failed", "not found", mend)
    version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    words = version.stdout.split()
    return Check("git", "ok" if words else "failed", words[2] if words[2:] else "broken", mend)
