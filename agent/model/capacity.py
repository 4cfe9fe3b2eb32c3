"""How many conversations a server holds at once without one pushing out what another has cached."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reapair.agent.model.server_probe import probe
from reapair.agent.model.types import Capacity, Server

ENOUGH_TOKENS = 32_768
"""Context that a conversation should have: few that succeed need more, and below it they suffer."""

_HOSTED_AT_ONCE = 4
_SHARED_SLOTS = 4  # llama-server's own choice when it is started without -np


def capacity(
    server: Server,
    wanted: int,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Capacity:
    """Ask the server what it can hold.

    Args:
        server: as it was found.
        wanted: conversations that there will be in all.
        api_key, headers: sent with the GETs; None sends none.

    Raises NothingThere when the server has gone.
    """
    context = server.context_tokens
    if wanted == 1:
        return Capacity(1, context)
    with probe(server.base_url, api_key, headers) as asked:
        if server.kind == "llama.cpp":
            slots = asked.get(f"{asked.root}/props").dict().get("total_slots")
            return _of_slots(slots, context, wanted, ours=_is_ours(server))
        if server.kind == "vllm":
            metrics = asked.get(f"{asked.root}/metrics").text
            return _of_cache(_cached_tokens(metrics) or context, context, wanted)
    # Ollama and LM Studio answer one after the other unless they are told otherwise.
    return Capacity(min(wanted, _HOSTED_AT_ONCE) if server.kind == "other" else 1, context)


def _of_slots(slots: object, context: int | None, wanted: int, *, ours: bool) -> Capacity:
    if not isinstance(slots, int) or slots < 1:
        return Capacity(1, context)
    if slots == _SHARED_SLOTS and not ours and context and context > ENOUGH_TOKENS:
        # Four slots that it chose itself share one context, and each claims the whole of it; the
        # server does not say so. With a context this large that is what they are taken for.
        shared = _of_cache(context, context, min(wanted, slots))
        return Capacity(shared.conversations, shared.context_tokens, pinned=True)
    return Capacity(min(wanted, slots), context, pinned=True)


def _is_ours(server: Server) -> bool:
    """Tell whether `agent serve` keeps it: then each slot has a context of its own."""
    from reapair.agent.model.kept_server import kept_server

    kept = kept_server()
    return kept is not None and kept.base_url == server.base_url


def _of_cache(tokens: int | None, context: int | None, wanted: int) -> Capacity:
    """Part a cache of so many tokens among as many conversations as have enough of it."""
    if tokens is None:
        return Capacity(1, context)
    conversations = max(1, min(wanted, tokens // ENOUGH_TOKENS))
    return Capacity(conversations, min(context or tokens, tokens // conversations))


def _cached_tokens(metrics: str) -> int | None:
    """Return the size of vLLM's cache in tokens, from the labels of its metric about it."""
    sizes = []
    for line in metrics.splitlines():
        if line.startswith("vllm:cache_config_info{"):
            labels = dict(re.findall(r'(\w+)="(\d+)"', line))
            if "num_gpu_blocks" in labels and "block_size" in labels:
                sizes.append(int(labels["num_gpu_blocks"]) * int(labels["block_size"]))
    return min(sizes, default=None)
