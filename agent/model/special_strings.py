"""Which strings a server takes as tokens of their own: it is asked, where it can tokenise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reapair.agent.model.control_tokens import KNOWN
from reapair.agent.model.server_probe import NothingThere, probe

if TYPE_CHECKING:
    from reapair.agent.model.connection import Hangup
    from reapair.agent.model.server_probe import Probe
    from reapair.agent.model.types import Server

_IN_TEMPLATE = re.compile(r"<[^<>\s{}%\"']{1,40}>|\[[^\[\]\s{}%\"']{1,40}\]")
_MOST = 2_000


def special_strings(
    server: Server, api_key: str | None, headers: Mapping[str, str] | None, hangup: Hangup
) -> frozenset[str] | None:
    """Return which strings become one token each: of those known, and of the server's template.

    None where the server can't be asked, or tells of none.
    """
    if server.kind not in ("llama.cpp", "vllm"):
        return None
    try:
        with probe(server.base_url, api_key, headers, hangup=hangup) as asked:
            candidates = set(KNOWN)
            if server.kind == "llama.cpp":
                template = asked.get(f"{asked.root}/props").dict().get("chat_template")
                candidates |= set(_IN_TEMPLATE.findall(str(template))[:_MOST])
            pieces = _pieces(asked, server, "\n".join(sorted(candidates)))
    except NothingThere:
        return None
    return frozenset(candidates.intersection(pieces)) or None


def _pieces(asked: Probe, server: Server, text: str) -> list[str]:
    """Return the texts of the tokens that a text becomes where control tokens are enabled."""
    if server.kind == "vllm":
        body: dict[str, Any] = {"model": server.model, "prompt": text}
        body |= {"add_special_tokens": False, "return_token_strs": True}
        tokens = asked.post(f"{asked.root}/tokenize", body).dict().get("token_strs")
    else:
        body = {"content": text, "add_special": False, "parse_special": True, "with_pieces": True}
        tokens = asked.post(f"{asked.root}/tokenize", body).dict().get("tokens")
    found = tokens if isinstance(tokens, list) else []
    texts = [each.get("piece") if isinstance(each, dict) else each for each in found]
    return [each for each in texts if isinstance(each, str)]
