"""Which model server a run speaks to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reapair.agent.model.types import Model, ModelError

if TYPE_CHECKING:
    from reapair.agent.settings import Settings


class NoServerError(ModelError):
    """Nobody named a server, and none was found."""


def connect(settings: Settings) -> Model:
    """Return a client for the server that the settings name.

    Without a name: the one that `agent serve` keeps, else one found on this machine's usual ports,
    which gets no key. Raises ModelError when there is none that can be used.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.servers import detect, find_local
    from reapair.agent.serve.keep import Keeper

    key = settings.api_key.get_secret_value() if settings.api_key else None
    address = settings.base_url
    if address is None and (kept := Keeper().running()):
        address, key = kept.base_url, kept.api_key
    if address is not None:
        return Client(detect(address, api_key=key, model=settings.model), api_key=key)
    found = find_local(settings.model)
    if found is None:
        raise NoServerError(
            "No model server answers on this machine's usual ports (8080, 8000, 11434, 1234).\n"
            "Start one with agent serve, or name one with --base-url."
        )
    return Client(found, api_key=None)
