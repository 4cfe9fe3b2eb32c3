"""Which model server a run speaks to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reapair.agent.model.types import ModelError
from reapair.sandbox.gateway.addresses import parse, public_url

if TYPE_CHECKING:
    from reapair.agent.model.client import Client
    from reapair.agent.settings.settings import Settings


class NoServerError(ModelError):
    """Nobody named a server, and none was found."""


class Named(NamedTuple):
    """The server that the settings name, if they do, and what is sent to it alone."""

    base_url: str | None
    api_key: str | None
    headers: dict[str, str]


def named(settings: Settings) -> Named:
    """Return the server that settings name; a login in its address becomes a header.

    So nothing that shows the address later can show the login.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else None
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    address = settings.base_url
    if address and "@" in address:
        text = address if "://" in address else f"http://{address}"
        known = parse(text)
        if known is None:
            raise ModelError(
                f"{public_url(text)} is not the address of a model server.\n"
                "Give one like http://127.0.0.1:8080/v1 with --base-url."
            )
        address = f"{known.origin}{known.path}{'?' if known.query else ''}{known.query}"
        headers = {"Authorization": known.authorization} | headers
    return Named(address, key, headers)


def connect(settings: Settings) -> Client:
    """Return a client for the server that the settings name.

    Without a name: the one that `agent serve` keeps, else one found on this machine's usual ports,
    which gets no key. Raises ModelError when there is none that can be used.
    """
    from reapair.agent.model.client import Client
    from reapair.agent.model.kept_server import kept_server
    from reapair.agent.model.servers import detect, find_local

    address, key, headers = named(settings)
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
