"""Collects settings: flag > environment > the repository's file > the user's > default.

The repository's file, `.agent.toml` or `[tool.agent]` in pyproject.toml, is hostile input: it is
read bounded, through no link, and may set what runs sealed anyway, nothing else.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, ValidationError
from pydantic_settings import SettingsError as UnreadableVariable

from reapair.agent.settings.settings import Settings

REPOSITORY_MAY_SET = ("image", "setup_command", "test_command", "project", "include")
"""Settings of a repository's own environment. They run sandboxed and without secrets."""

FILE_LIMIT = 256 * 1024
"""Bytes of a settings file that are read."""

_PREFIX = "AGENT_"
_ALIKE = 0.7
"""How near an unknown `AGENT_*` variable must be to one of ours to be a mistake: other programs
(Azure Pipelines, Jenkins) have theirs under the same prefix."""


class SettingsError(ValueError):
    """A wrong setting. The message names it, its source, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each of them comes from: `default`, a flag, a variable, a file."""

    settings: Settings
    origins: dict[str, str]


def load_settings(repository: Path | str = ".", /, **given: Any) -> Settings:
    """Return the settings for work in a repository, from all places that hold some.

    Args:
        repository: a directory inside it.
        given: wins over everything else.

    Raises SettingsError.
    """
    return load(Path(repository), given).settings


def load(directory: Path | None, given: Mapping[str, Any] | None = None) -> Loaded:
    """Return the settings for work in a directory's repository, with their origins.

    Args:
        directory: need not be in a repository; None where it is about no repository.
        given: by name; they win over everything else.

    Raises SettingsError for an unknown or forbidden key, a wrong value, a file that can't be read.
    """
    given = {name: value for name, value in (given or {}).items() if value is not None}
    variables = _variables()
    layers = [*(_repository_layers(directory) if directory else []), _user_layer()]
    values: dict[str, Any] = {}
    origins = {name: _flag(name) for name in given} | {
        name: variable for name, variable in variables.items() if name not in given
    }
    for origin, layer in layers:
        for name, value in layer.items():
            if name not in origins:
                values[name], origins[name] = value, origin
    _keep_keys_apart(values, origins, dict(layers))
    try:
        settings = Settings(**values, **given)
    except ValidationError as error:
        raise SettingsError(_explain(error, origins)) from None
    except UnreadableVariable as error:
        name = str(error).split('"')[1]
        raise SettingsError(
            f"{origins[name]}: lists and tables are written as JSON in variables."
        ) from None
    return Loaded(settings, {name: origins.get(name, "default") for name in Settings.model_fields})


def user_file() -> Path:
    """Return the user's own settings file, which need not exist."""
    from platformdirs import user_config_path

    return user_config_path("agent") / "config.toml"


def _keep_keys_apart(
    values: dict[str, Any], origins: dict[str, str], layers: Mapping[str, Mapping[str, Any]]
) -> None:
    """Keep OPENAI_API_KEY, meant for another server, from the server that the user's file names."""
    place = origins.get("base_url", "")
    if place in layers and origins.get("api_key") == "OPENAI_API_KEY":
        values["api_key"] = layers[place].get("api_key")
        origins["api_key"] = place if values["api_key"] else "default"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variables() -> dict[str, str]:
    """Return which setting is set by which variable. Raises SettingsError for a misspelt one."""
    known = {
        variable: name
        for name, field in Settings.model_fields.items()
        for variable in (
            field.validation_alias.choices
            if isinstance(field.validation_alias, AliasChoices)
            else [_PREFIX + name.upper()]
        )
    }
    there = {name.upper(): name for name, value in os.environ.items() if value}
    for upper, name in there.items():
        if upper.startswith(_PREFIX) and upper not in known:
            ours = [str(each).removeprefix(_PREFIX) for each in known]
            near = difflib.get_close_matches(upper.removeprefix(_PREFIX), ours, 1, _ALIKE)
            if near:
                raise SettingsError(
                    f"The environment variable {name} is no setting. "
                    f"Did you mean {_PREFIX}{near[0]}?"
                )
    found: dict[str, str] = {}
    for variable, setting in known.items():
        if str(variable) in there:
            found.setdefault(setting, str(variable))
    return found


def _repository_layers(directory: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings of the repository's own files, the stronger first."""
    top = next((each for each in _upwards(directory) if (each / ".git").exists()), None)
    if top is None:
        return []
    own = _read(top / ".agent.toml", "the repository's settings") or {}
    text = (
        _read(top / "pyproject.toml", "the repository's [tool.agent]", within=("tool", "agent"))
        or {}
    )
    layers = [(".agent.toml", own), ("pyproject.toml [tool.agent]", text)]
    return [(origin, _allowed(layer, origin, top)) for origin, layer in layers]


def _upwards(directory: Path) -> list[Path]:
    directory = directory.absolute()
    return [directory, *directory.parents]


def _allowed(layer: dict[str, Any], origin: str, top: Path) -> dict[str, Any]:
    """Return a repository's settings. Raises SettingsError for what it must not set."""
    layer = _known(layer, origin, REPOSITORY_MAY_SET)
    if isinstance(layer.get("project"), str):
        layer["project"] = str(top / layer["project"])
    if isinstance(patterns := layer.get("include"), list) and patterns:
        from reapair.sandbox.git.staging import looks_secret

        for pattern in patterns:
            if looks_secret(os.path.normpath(str(pattern).lstrip("/"))):
                raise SettingsError(
                    f"{origin}: include names {pattern!r}, which looks like a secret. Only you can "
                    "let one in: take it out there and give it with --include."
                )
    return layer


def _user_layer() -> tuple[str, dict[str, Any]]:
    file = user_file()
    origin = str(file)
    read = _read(file, "your settings", follow=True) or {}
    layer = _known(read, origin, tuple(Settings.model_fields))
    for name in ("patch", "prompts", "runs", "project"):
        if isinstance(layer.get(name), str):
            layer[name] = str(file.parent / Path(layer[name]).expanduser())
    return origin, layer


def _known(layer: dict[str, Any], origin: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return settings by their names, `-` for `_` allowed. Raises SettingsError for others."""
    found = {key.replace("-", "_"): value for key, value in layer.items()}
    for name in found:
        if name in names:
            continue
        if name in Settings.model_fields:
            raise SettingsError(
                f"{origin}: a repository must not set {name}, only you can, by "
                f"{_PREFIX}{name.upper()} or in {user_file()}. Take it out there; allowed are "
                f"{', '.join(names)}."
            )
        near = difflib.get_close_matches(name, names, 1, 0)
        raise SettingsError(f"{origin}: there is no setting {name!r}. Did you mean {near[0]}?")
    return found


def _read(
    file: Path, what: str, within: tuple[str, ...] = (), *, follow: bool = False
) -> dict[str, Any] | None:
    """Return a table of a TOML file; None when there is no such file or table.

    Raises SettingsError where it can't be read. A pyproject.toml that says nothing of us may be as
    broken as it likes: perhaps that is the issue.
    """
    data = b""
    try:
        data = _bytes(file, follow=follow)
        if len(data) > FILE_LIMIT:
            raise ValueError(f"it is larger than {FILE_LIMIT // 1024} KiB")
        table: Any = tomllib.loads(data.decode())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        if within and b"[" + ".".join(within).encode() not in data:
            return None
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{file.name}, {what}, cannot be read: {why}.") from None
    for name in within:
        table = table.get(name) if isinstance(table, dict) else None
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{file.name}, {what}: that is no table.")
    return table


def _bytes(file: Path, *, follow: bool) -> bytes:
    """Return the start of a regular file, one byte more than may be in it.

    Raises OSError; ValueError for what is no file.
    """
    no_link = 0 if follow else os.O_NOFOLLOW
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | no_link)
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{file.name} is no file. Remove it")
        return opened.read(FILE_LIMIT + 1)


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors()[0]
    # The name, or the alias, of the variable that it may come from.
    name = str((*first["loc"], "base_url")[0]).lower().removeprefix(_PREFIX.lower())
    name = name.removeprefix("openai_") if name not in Settings.model_fields else name
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, list(Settings.model_fields), 1, 0)
        return f"There is no setting {name!r}. Did you mean {near[0]}?"
    origin = origins.get(name, _flag(name))
    place = origin if origin.startswith(("--", _PREFIX, "OPENAI_")) else f"{origin}: {name}"
    words = first["msg"].removeprefix("Value error, ")
    return f"{place}: {words}. See agent config, and agent solve --help."
