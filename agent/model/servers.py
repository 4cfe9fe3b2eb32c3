"""Finds out what serves the model: kind of server, model name, real context length."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from reapair.agent.model.connection import Hangup, api_root
from reapair.agent.model.request import is_known
from reapair.agent.model.server_probe import (
    SECONDS,
    AccessRefused,
    NotAModelServer,
    NothingThere,
    Probe,
    ServerLoading,
    entries_of,
    probe,
)
from reapair.agent.model.types import ModelError, Server, ServerKind

LOCAL_PORTS = (8080, 8000, 11434, 1234)  # llama.cpp, vLLM, Ollama, LM Studio


def detect(
    base_url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    timeout: float = SECONDS,
    headers: Mapping[str, str] | None = None,
    hangup: Hangup | None = None,
) -> Server:
    """Look at the server behind `base_url` and return what it is.

    Args:
        base_url: with or without `/v1`.
        api_key: sent with every request; None sends none.
        model: the model to use; None takes the only one, or the only one that is loaded.
        timeout: seconds for all that is asked.
        headers: sent beside ours.
        hangup: ends it from another thread.

    Raises:
        NothingThere, NotAModelServer: the address is wrong, or the server is not running.
        ServerLoading: the model is still being loaded.
        AccessRefused: the key is missing or wrong.
        ModelError: the model is not there, or the choice is open.
    """
    address = api_root(base_url)
    with probe(address, api_key, headers, timeout, hangup) as asked:
        models = _models(asked, model)
        kind, version, facts = _kind(asked, models)
        name = _choose(asked, kind, models, facts, model)
        context = _context(asked, kind, name, models, facts)
    return Server(kind, address, name, context, version, _family(name, facts))


def find_local(model: str | None = None) -> Server | None:
    """Return the first model server on this machine's usual ports, or None. Sends no key.

    Looks on loopback first, then, inside WSL or a container, on the machine around it.

    Raises ServerLoading or ModelError when one is there but can't be used yet, or not this way.
    """
    unusable: ModelError | None = None
    deadline = time.monotonic() + SECONDS
    for host in ("127.0.0.1", *_hosts_around()):
        for port in LOCAL_PORTS:
            # One that drips leaves time for the others.
            seconds = max(deadline - time.monotonic(), 0.1) / 2
            try:
                return detect(f"http://{host}:{port}/v1", model=model, timeout=seconds)
            except (NothingThere, NotAModelServer):
                continue
            except ModelError as error:
                unusable = unusable or error
    if unusable:
        raise unusable
    return None


def _hosts_around() -> list[str]:
    """Return the addresses of the machine that this system runs inside of."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        try:
            socket.gethostbyname("host.docker.internal")
        except OSError:
            return []
        return ["host.docker.internal"]
    with contextlib.suppress(OSError):
        if "microsoft" in Path("/proc/sys/kernel/osrelease").read_text("ascii").lower():
            for line in Path("/proc/net/route").read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[1] == "00000000":  # the default route; the gateway is little-endian
                    return [socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])]
    return []


def is_ready(server: Server, timeout: float = SECONDS) -> bool:
    """Return whether the server answers and has loaded its model. Sends no key."""
    path = "/health" if server.kind in ("llama.cpp", "vllm") else "/v1/models"
    with probe(server.base_url, None, seconds=timeout) as asked, contextlib.suppress(ModelError):
        # Without a key a ready server may say 401, but never 503.
        return asked.get(f"{asked.root}{path}").status < 500
    return False


def configured_context(
    server: Server, api_key: str | None, headers: Mapping[str, str] | None, hangup: Hangup
) -> int | None:
    """Return the context that a model of Ollama's has by its own settings, before it is loaded.

    Without one there, it has what the server was started with, which is told once it is loaded.
    """
    with (
        contextlib.suppress(NothingThere),
        probe(server.base_url, api_key, headers, hangup=hangup) as asked,
    ):
        shown = asked.post(f"{asked.root}/api/show", {"model": server.model}).dict()
        if found := re.search(r"^num_ctx\s+(\d+)", str(shown.get("parameters")), re.MULTILINE):
            return int(found[1])
    return None


def _models(asked: Probe, wanted: str | None) -> list[dict[str, Any]]:
    """Return the entries of /v1/models; also where a server is loading or wants a key is told."""
    got = asked.get(f"{asked.base_url}/models")
    if got.status in (401, 403):
        raise AccessRefused(
            f"The model server at {asked.base_url} refused the API key ({got.status}).\n"
            "Give its address with --base-url and its key in AGENT_API_KEY."
        )
    if got.status == 503:
        raise ServerLoading(
            f"The model server at {asked.base_url} is still loading its model.\n"
            "Wait until it is ready and try again."
        )
    entries = got.dict().get("data")
    if not isinstance(entries, list):
        if wanted and got.status in (404, 405):  # a bare endpoint without a list
            return []
        raise NotAModelServer(
            f"What answers at {asked.base_url} is not an OpenAI-compatible model server "
            f"(GET /models gave {got.status}).\nGive the address of one with --base-url."
        )
    return [entry for entry in entries_of(entries) if entry.get("id")]


def _kind(asked: Probe, models: list[dict[str, Any]]) -> tuple[ServerKind, str, dict[str, Any]]:
    """Return kind, version and what the deciding endpoint said."""
    owner = str(models[0].get("owned_by", "")) if models else ""
    props = asked.get(f"{asked.root}/props").dict() if owner != "vllm" else {}
    if "build_info" in props or "default_generation_settings" in props or owner == "llamacpp":
        return "llama.cpp", str(props.get("build_info", "")), props
    version = str(asked.get(f"{asked.root}/version").dict().get("version", ""))
    if owner == "vllm" or (version and any("max_model_len" in entry for entry in models)):
        return "vllm", version, {}
    lmstudio = asked.get(f"{asked.root}/api/v0/models").dict()
    if isinstance(lmstudio.get("data"), list):
        return "lmstudio", "", lmstudio
    ollama = asked.get(f"{asked.root}/api/version").dict()
    if "version" in ollama:
        return "ollama", str(ollama["version"]), asked.get(f"{asked.root}/api/ps").dict()
    if owner == "llama-swap":
        return _behind_swap(asked)
    return "other", version, {}


def _behind_swap(asked: Probe) -> tuple[ServerKind, str, dict[str, Any]]:
    """Look through llama-swap at the server it runs now; asking for another would load that."""
    running = entries_of(asked.get(f"{asked.root}/running").dict().get("running"))
    if running:
        name = str(running[0].get("model", ""))
        props = asked.get(f"{asked.root}/upstream/{name}/props").dict()
        if "default_generation_settings" in props:
            return "llama.cpp", str(props.get("build_info", "")), {**props, "loaded": name}
    return "other", "", {}


def _choose(
    asked: Probe,
    kind: ServerKind,
    models: list[dict[str, Any]],
    facts: dict[str, Any],
    wanted: str | None,
) -> str:
    """Return the model to use; raises ModelError when it is not there or the choice is open."""
    names = [str(entry["id"]) for entry in models]
    if wanted:
        found = {name for name in names if name in (wanted, f"{wanted}:latest")}
        # llama.cpp serves its one model under any name.
        if names and not found and not (kind == "llama.cpp" and len(names) == 1):
            raise ModelError(
                f"The server at {asked.base_url} has no model {wanted!r}.\n"
                f"It has: {', '.join(names[:10])}. Choose one with --model."
            )
        return min(found, key=len, default=wanted)
    for candidates in (names, _loaded(kind, models, facts)):
        if len(candidates) == 1:
            return candidates[0]
    if not names:
        raise ModelError(
            f"The server at {asked.base_url} has no model.\nLoad one, or name one with --model."
        )
    raise ModelError(
        f"The server at {asked.base_url} has {len(names)} models: {', '.join(names[:10])}.\n"
        "Choose one with --model."
    )


def _loaded(kind: ServerKind, models: list[dict[str, Any]], facts: dict[str, Any]) -> list[str]:
    """Return the models that are in memory now."""
    if kind == "ollama":
        return [str(entry.get("model")) for entry in entries_of(facts.get("models"))]
    if kind == "lmstudio":
        entries = entries_of(facts.get("data"))
        return [str(entry.get("id")) for entry in entries if entry.get("state") == "loaded"]
    if "loaded" in facts:
        return [facts["loaded"]]
    router = [(entry["id"], entry.get("status")) for entry in models]
    return [
        str(name) for name, status in router
        if isinstance(status, dict) and status.get("value") == "loaded"
    ]  # fmt: skip


def _context(
    asked: Probe,
    kind: ServerKind,
    name: str,
    models: list[dict[str, Any]],
    facts: dict[str, Any],
) -> int | None:
    """Return the tokens that fit into one request, prompt and answer, as the server has it now."""
    entry = next((entry for entry in models if entry["id"] == name), {})
    if kind == "ollama":
        running = entries_of(facts.get("models"))
        sizes = [_whole(e.get("context_length")) for e in running if e.get("model") == name]
        return sizes[0] if sizes else None
    if kind == "lmstudio":
        known = [e for e in entries_of(facts.get("data")) if e.get("id") == name]
        return _whole(known[0].get("loaded_context_length")) if known else None
    if kind == "llama.cpp":
        if facts.get("loaded", name) != name:
            return None
        return (
            _slot_context(facts)
            or _slot_context(asked.get(_props_of(asked, name)).dict())
            or _whole(entry.get("meta", {}).get("n_ctx"))
        )
    return _whole(entry.get("max_model_len") or entry.get("context_length"))


def _family(name: str, facts: dict[str, Any]) -> str:
    """Return a model name we know settings for, where an alias hides it; else an empty string."""
    if is_known(name):
        return ""
    file = PurePath(str(facts.get("model_path", ""))).name
    if is_known(file):
        return file
    return "glm-4.7" if str(facts.get("chat_template", "")).startswith("[gMASK]<sop>") else ""


def _props_of(asked: Probe, name: str) -> str:
    """Return where llama-server's router tells about one of its models without loading it."""
    return f"{asked.root}/props?model={quote(name, safe='')}&autoload=false"


def _slot_context(props: dict[str, Any]) -> int | None:
    settings = props.get("default_generation_settings")
    return _whole(settings.get("n_ctx")) if isinstance(settings, dict) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
