"""What an evaluation was made with: enough to tell two of them apart, or to make one again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reapair.agent.lab.evaluate.instances import InstanceError
from reapair.agent.lab.evaluate.records import INSTANCES
from reapair.agent.settings.settings import Settings
from reapair.sandbox.gateway.addresses import public_url
from reapair.sandbox.write_whole import write_whole

_FILE = "manifest.json"
_SAME = ("solver", "model", "tools", "attempts", "prompts", "version")
"""What must not change within an evaluation: its instances would not be comparable."""


def make_manifest(
    settings: Settings, solver: str, base_urls: Sequence[str], tasks: Path, ids: Sequence[str]
) -> dict[str, Any]:
    """Return everything about an evaluation that its results depend on; servers are asked.

    Raises ModelError where a model is to be evaluated and its server does not answer.
    """
    servers = [_server(url, settings) for url in base_urls] if solver == "model" else []
    return {
        "version": version("reapair"),
        "solver": solver,
        "model": servers[0]["model"] if servers else solver.partition(":")[0],
        "servers": servers,
        "sampling": _sampling(servers[0]["model"], settings.attempts) if servers else None,
        "tools": settings.tools,
        "attempts": settings.attempts,
        "limits": {
            name: getattr(settings, name) for name in ("max_steps", "max_minutes", "max_tokens")
        },
        "prompts": _prompts_hash(),
        "tasks": {
            "source": tasks.name,
            "instances": len(ids),
            "ids": _hash("\n".join(sorted(ids)).encode()),
        },
    }


def keep_manifest(out: Path, manifest: dict[str, Any], *, redo: bool) -> None:
    """Write the manifest; one that is there must agree where results depend on it.

    Raises InstanceError when it does not.
    """
    file = out / _FILE
    old = read_manifest(out)
    other = [name for name in _SAME if old and old.get(name) != manifest[name]]
    if other and not redo and (out / INSTANCES).is_dir():
        words = ", ".join(f"{name}: {old.get(name)} → {manifest[name]}" for name in other)
        raise InstanceError(
            f"{out} holds an evaluation that was made otherwise ({words}). Give another --out, or "
            "--redo to run everything again."
        )
    write_whole(file, json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n")


def read_manifest(out: Path) -> dict[str, Any]:
    """Return the manifest of an evaluation's directory, {} where there is none."""
    try:
        read = json.loads((out / _FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _server(url: str, settings: Settings) -> dict[str, Any]:
    from reapair.agent.model.connect import named
    from reapair.agent.model.server_probe import probe
    from reapair.agent.model.servers import detect

    address, key, headers = named(settings.model_copy(update={"base_url": url}))
    server = detect(address or url, api_key=key, model=settings.model, headers=headers)
    facts: dict[str, Any] = {}
    if server.kind == "llama.cpp":
        with probe(server.base_url, key, headers) as asked:
            facts = asked.get(f"{asked.root}/props").dict()
    template = facts.get("chat_template")
    return {
        "base_url": public_url(url),
        "kind": server.kind,
        "build": server.version,
        "model": server.model,
        "context_tokens": server.context_tokens,
        "template": _hash(str(template).encode()) if template else None,
        "weights": _weights(facts.get("model_path")),
    }


def _weights(path: object) -> dict[str, str | None] | None:
    """Return the weights' file and its hash, where the server is on this machine."""
    if not path:
        return None
    file, digest = Path(str(path)), None
    if file.is_absolute() and file.is_file():
        with file.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
    return {"file": file.name, "sha256": digest}


def _sampling(model: str, attempts: int) -> dict[str, Any]:
    from reapair.agent.attempts.attempts import HOTTER, seed_of
    from reapair.agent.model.request import profile

    settings = profile(model)
    hotter = [HOTTER[number % len(HOTTER)] for number in range(attempts)]
    return {
        "temperature": [round(min(settings.temperature + more, 1.0), 2) for more in hotter],
        "top_p": settings.top_p,
        "seed": [seed_of(number) for number in range(1, attempts + 1)],
    }


def _prompts_hash() -> str:
    """Return the hash of every template that the model's words are made from."""
    whole = hashlib.sha256()
    pending = [resources.files("reapair.prompts")]
    found = []
    while pending:
        for entry in pending.pop().iterdir():
            if entry.is_dir():
                pending.append(entry)
            elif entry.name.endswith(".md"):
                found.append((entry.name, entry.read_bytes()))
    for name, data in sorted(found):
        whole.update(name.encode() + b"\0" + data + b"\0")
    return whole.hexdigest()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
