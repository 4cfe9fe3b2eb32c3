"""Remove prepared environments that are old or too many."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from reapair.sandbox.containers.labels import PREFIX

if TYPE_CHECKING:
    from docker import APIClient

KEPT_SECONDS = 30 * 24 * 3600
"""Age at which an environment is removed; its repository has usually changed by then."""

KEPT_NUMBER = 50
"""How many environments are kept at most, the newest."""

IMAGE_LABEL = PREFIX + "image"
"""Label of every image that is made here; its value is the purpose."""

ENVIRONMENTS = "reapair-environment"
"""Repository name of prepared environments' images; the tags are their keys."""


def outdated(made: Mapping[str, float], now: float | None = None) -> Iterable[str]:
    """Return the names to remove, given the times in seconds when they were made."""
    end = (now or time.time()) - KEPT_SECONDS
    youngest_first = sorted(made, key=lambda name: -made[name])
    return [
        name
        for place, name in enumerate(youngest_first)
        if made[name] < end or place >= KEPT_NUMBER
    ]


def prune_images(api: APIClient, now: float | None = None) -> None:
    """Remove outdated images of environments: only labelled ones, and none in use."""
    from docker.errors import APIError

    found = api.images(filters={"label": f"{IMAGE_LABEL}=environment"})
    made = {
        tag: float(image["Created"])
        for image in found
        for tag in image["RepoTags"] or []
        if tag.rpartition(":")[0].endswith(ENVIRONMENTS)
    }
    for tag in outdated(made, now):
        with suppress(APIError):  # a container uses it
            api.remove_image(tag)
