"""The model: a client for servers people run themselves, and what keeps a turn from being lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reapair.agent.model.client import Client
    from reapair.agent.settings import Settings

__all__ = ["connect"]


def connect(settings: Settings) -> Client:
    """Return a client for the server the settings name, else for one on this machine.

    Raises ModelError, with words for people, when there is none or it can't be used.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.servers import detect, find_local
    from reapair.agent.model.types import ModelError

    if settings.base_url is None:
        server = find_local(model=settings.model)
        if server is None:
            raise ModelError(
                "No model server was found on this machine's usual ports.\n"
                "Start one (`agent serve`), or say where it is with --base-url."
            )
        return Client(server, api_key=None)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    server = detect(settings.base_url, api_key=key, model=settings.model)
    return Client(server, api_key=key)
