"""Finds out what serves the model: kind of server, model name, real context length."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reapair.agent.model.connection import api_root, http_client, server_root
from reapair.agent.model.types import ModelError, Server, ServerKind

if TYPE_CHECKING:
    import httpx2

LOCAL_PORTS = (8080, 8000, 11434, 1234)  # llama.cpp, vLLM, Ollama, LM Studio


class ServerLoading(ModelError):  # noqa: N818 - a state that passes, not an error to mend
    """The server is there and still loads its model: wait and ask again."""


class AccessRefused(ModelError):  # noqa: N818
    """The server wants another API key."""


@dataclass(frozen=True, slots=True)
class _Got:
    """A GET that was answered: the status and the body, parsed when it is JSON."""

    status: int
    body: Any

    def dict(self) -> dict[str, Any]:
        """Return the body if it is an object that came with 200, else an empty one."""
        return self.body if self.status == 200 and isinstance(self.body, dict) else {}


class _Probe:
    """GETs against one server; a connection that fails raises ModelError once and for all."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float) -> None:
        self.base_url = base_url
        self.root = server_root(base_url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.client: httpx2.Client = http_client(base_url, timeout=timeout, headers=headers)

    def get(self, url: str) -> _Got:
        import httpx2

        try:
            answer = self.client.get(url)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ModelError(
                f"No model server answers at {self.base_url}: {_cause(error)}.\n"
                "Start one, or say where it is with --base-url."
            ) from None
        try:
            return _Got(answer.status_code, json.loads(answer.content))
        except (ValueError, RecursionError):
            return _Got(answer.status_code, None)


def detect(
    base_url: str, *, api_key: str | None = None, model: str | None = None, timeout: float = 10.0
) -> Server:
    """Look at the server behind `base_url` and return what it is.

    Args:
        base_url: with or without `/v1`.
        api_key: sent with every request; None sends none.
        model: the model to use; None takes the only one, or the only one that is loaded.
        timeout: seconds for each of the few GETs.

    Raises:
        ServerLoading: the model is still being loaded.
        AccessRefused: the key is missing or wrong.
        ModelError: nothing usable is there, or the model is not.
    """
    probe = _Probe(api_root(base_url), api_key, timeout)
    with probe.client:
        models = _models(probe)
        kind, version, extra = _kind(probe, models)
        name = _choose(probe, kind, models, model)
        context = _context(kind, name, models, extra)
    return Server(kind, probe.base_url, name, context, version)


def find_local(model: str | None = None, timeout: float = 1.0) -> Server | None:
    """Return the first model server on this machine's usual ports, or None. Sends no key."""
    for port in LOCAL_PORTS:
        try:
            return detect(f"http://127.0.0.1:{port}/v1", model=model, timeout=timeout)
        except ServerLoading:
            raise
        except ModelError:
            continue
    return None


def is_ready(server: Server, timeout: float = 5.0) -> bool:
    """Say whether the server answers and has loaded its model. Sends no key."""
    path = "/health" if server.kind in ("llama.cpp", "vllm") else "/v1/models"
    probe = _Probe(server.base_url, None, timeout)
    with probe.client:
        try:
            # Without a key a ready server may say 401, but never 503.
            return probe.get(f"{probe.root}{path}").status < 500
        except ModelError:
            return False


def _models(probe: _Probe) -> list[dict[str, Any]]:
    """Return the entries of /v1/models; also where a server is loading or wants a key is told."""
    got = probe.get(f"{probe.base_url}/models")
    if got.status in (401, 403):
        raise AccessRefused(
            f"The model server at {probe.base_url} refused the API key ({got.status}).\n"
            "Set the key it was started with in AGENT_API_KEY."
        )
    if got.status == 503:
        raise ServerLoading(
            f"The model server at {probe.base_url} is still loading its model.\n"
            "Wait until it is ready and try again."
        )
    entries = got.dict().get("data")
    if not isinstance(entries, list):
        if got.status in (404, 405):  # a bare endpoint without a list: the name must be given
            return []
        raise ModelError(
            f"What answers at {probe.base_url} is not an OpenAI-compatible model server "
            f"(GET /models gave {got.status}).\nGive the address of one with --base-url."
        )
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("id")]


def _kind(probe: _Probe, models: list[dict[str, Any]]) -> tuple[ServerKind, str, dict[str, Any]]:
    """Return kind, version and what the deciding endpoint said."""
    owner = str(models[0].get("owned_by", "")) if models else ""
    props = probe.get(f"{probe.root}/props").dict() if owner != "vllm" else {}
    if "build_info" in props or "default_generation_settings" in props or owner == "llamacpp":
        return "llama.cpp", str(props.get("build_info", "")), props
    version = str(probe.get(f"{probe.root}/version").dict().get("version", ""))
    if owner == "vllm" or (version and any("max_model_len" in entry for entry in models)):
        return "vllm", version, {}
    lmstudio = probe.get(f"{probe.root}/api/v0/models").dict()
    if isinstance(lmstudio.get("data"), list):
        return "lmstudio", "", lmstudio
    ollama = probe.get(f"{probe.root}/api/version").dict()
    if "version" in ollama:
        return "ollama", str(ollama["version"]), probe.get(f"{probe.root}/api/ps").dict()
    return "other", version, {}


def _choose(
    probe: _Probe, kind: ServerKind, models: list[dict[str, Any]], wanted: str | None
) -> str:
    """Return the model to use; raises ModelError when it is not there or the choice is open."""
    names = [str(entry["id"]) for entry in models]
    if wanted:
        # llama.cpp serves its one model under any name; a wrong name elsewhere is a 404 later.
        if names and wanted not in names and not (kind == "llama.cpp" and len(names) == 1):
            raise ModelError(
                f"The server at {probe.base_url} has no model {wanted!r}.\n"
                f"It has: {', '.join(names[:10])}. Choose one with --model."
            )
        return wanted
    loaded = [str(entry["id"]) for entry in models if _is_loaded(entry)]
    for candidates in (names, loaded):
        if len(candidates) == 1:
            return candidates[0]
    if not names:
        raise ModelError(
            f"The server at {probe.base_url} does not say which model it has.\n"
            "Name it with --model."
        )
    raise ModelError(
        f"The server at {probe.base_url} has {len(names)} models: {', '.join(names[:10])}.\n"
        "Choose one with --model."
    )


def _is_loaded(entry: dict[str, Any]) -> bool:
    status = entry.get("status")
    return isinstance(status, dict) and status.get("value") == "loaded"


def _context(
    kind: ServerKind,
    name: str,
    models: list[dict[str, Any]],
    extra: dict[str, Any],
) -> int | None:
    """Return the tokens that fit into one request, prompt and answer, as the server has it."""
    entry = next((entry for entry in models if entry["id"] == name), {})
    if kind == "vllm":
        return _whole(entry.get("max_model_len"))
    if kind == "llama.cpp":
        settings = extra.get("default_generation_settings")
        context = _whole(settings.get("n_ctx")) if isinstance(settings, dict) else None
        meta = entry.get("meta")
        return context or (_whole(meta.get("n_ctx")) if isinstance(meta, dict) else None)
    return _whole(entry.get("max_model_len") or entry.get("context_length"))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _cause(error: Exception) -> str:
    """Return the reason for a failed connection in plain words."""
    text = str(error)
    if "refused" in text:
        return "connection refused"
    if "timed out" in text or "timeout" in text.lower():
        return "no answer in time"
    return text or type(error).__name__
