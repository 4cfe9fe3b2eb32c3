"""Which model server a run speaks to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reapair.agent.model.types import ModelError

if TYPE_CHECKING:
    from reapair.agent.model.client import Client
    from reapair.agent.settings.settings import Settings


class NoServerError(ModelError):
    """Nobody named a server, and none was found."""


def headers_of(settings: Settings) -> dict[str, str]:
    """Return the headers that the user wants to be sent to the named server."""
    return {name: value.get_secret_value() for name, value in settings.headers.items()}


def connect(settings: Settings) -> Client:
    """Return a client for the server that the settings name.

    Without a name: the one that `agent serve` keeps, else one found on this machine's usual ports,
    which gets no key. Raises ModelError when there is none that can be used.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.kept_server import kept_server
    from reapair.agent.model.servers import detect, find_local

    key = settings.api_key.get_secret_value() if settings.api_key else None
    headers = headers_of(settings)
    address = settings.base_url
    if address is None and (kept := kept_server()):
        address, key, headers = kept.base_url, kept.api_key, {}
    if address is not None:
        server = detect(address, api_key=key, model=settings.model, headers=headers)
        return Client(server, api_key=key, headers=headers)
    found = find_local(settings.model)
    if found is None:
        raise NoServerError(
            "No model server answers on this machine's usual ports (8080, 8000, 11434, 1234).\n"
            "Start one with agent serve, or name one with --base-url."
        )
    return Client(found, api_key=None)
