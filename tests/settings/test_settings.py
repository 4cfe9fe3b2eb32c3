"""Where settings come from, and what a repository's own file may not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from reapair.agent.log.redaction import secrets_of
from reapair.agent.settings.settings import Settings
from reapair.agent.settings.sources import FILE_LIMIT, SettingsError, load, load_settings
from reapair.agent.settings.table import SETTINGS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository; the user's own files are somewhere else, and empty."""
    for name in os.environ:
        if name.startswith(("AGENT_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / "sub").mkdir()
    (tmp_path / "config" / "agent").mkdir(parents=True)
    return repository


def test_the_table_and_the_model_agree() -> None:
    assert list(SETTINGS) == list(Settings.model_fields)
    secret = {"api_key", "headers"}
    for name, field in Settings.model_fields.items():
        kinds = {*get_args(field.annotation), field.annotation}
        assert SETTINGS[name].kind in kinds or name in secret, name
        assert field.default == SETTINGS[name].default


def write_user_file(place: Path, text: str) -> None:
    (place.parent / "config" / "agent" / "config.toml").write_text(text)


def test_each_place_gives_way_to_the_one_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> tuple[str | None, str]:
        loaded = load(place / "sub", given)
        return loaded.settings.test_command, loaded.origins["test_command"]

    given: dict[str, str] = {}
    assert command() == (None, "default")
    write_user_file(place, 'test-command = "user"')
    user = str(place.parent / "config" / "agent" / "config.toml")
    assert command() == ("user", user)
    (place / "pyproject.toml").write_text('[tool.agent]\ntest_command = "pyproject"\n')
    assert command() == ("pyproject", "pyproject.toml [tool.agent]")
    (place / ".agent.toml").write_text('test-command = "own"\n')
    assert command() == ("own", ".agent.toml")
    monkeypatch.setenv("AGENT_TEST_COMMAND", "variable")
    assert command() == ("variable", "AGENT_TEST_COMMAND")
    given["test_command"] = "flag"
    assert command() == ("flag", "--test-command")


def test_a_repository_may_set_what_runs_sealed(place: Path) -> None:
    (place / ".agent.toml").write_text(
        'image = "i"\nsetup_command = "s"\ntest_command = "t"\nproject = "sub"\ninclude = ["data/"]'
    )
    settings = load_settings(place)
    assert (settings.image, settings.setup_command, settings.test_command) == ("i", "s", "t")
    assert (settings.project, settings.include) == (place / "sub", ["data/"])


FORBIDDEN = sorted(
    set(Settings.model_fields) - {"image", "setup_command", "test_command", "project", "include"}
)


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("file", [".agent.toml", "pyproject.toml"])
def test_anything_else_in_a_repository_is_an_error(place: Path, name: str, file: str) -> None:
    header = "[tool.agent]\n" if file == "pyproject.toml" else ""
    (place / file).write_text(f'{header}{name} = "x"\n')
    with pytest.raises(SettingsError, match=f"(?s){file}.*must not set {name}"):
        load(place)


@pytest.mark.parametrize("pattern", [".env", "/.env", "./.env", "config/../.env", "id_rsa"])
def test_a_repository_lets_no_secret_in(place: Path, pattern: str) -> None:
    (place / ".agent.toml").write_text(f'include = ["{pattern}"]')
    with pytest.raises(SettingsError, match="looks like a secret"):
        load(place)


@pytest.mark.parametrize(
    "content",
    [
        b"a" * (FILE_LIMIT + 1),
        b"test_command = ",
        b"\xff\xfe",
        b"a = " + b"[" * 100_000,
        b'test_command = "x"\n[nested]\na = 1',
        b"test_command = 3",
        b'include = "x"',
    ],
    ids=["large", "broken", "bytes", "deep", "table", "number", "text"],
)
def test_a_hostile_file_is_an_error_in_words(place: Path, content: bytes) -> None:
    (place / ".agent.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"\.agent\.toml") as error:
        load(place)
    assert len(str(error.value)) < 500


def test_no_link_and_no_pipe_is_read(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text('test_command = "x"')
    (place / ".agent.toml").symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(SettingsError):
        load(place)
    (place / ".agent.toml").unlink()
    os.mkfifo(place / ".agent.toml")
    with pytest.raises(SettingsError, match="is no file"):
        load(place)


@pytest.mark.parametrize("content", ["[project\n", '[project]\nname = "agent"\n', "agent = ["])
def test_a_pyproject_that_is_none_of_our_business_is_passed_over(place: Path, content: str) -> None:
    (place / "pyproject.toml").write_text(content)
    assert load(place).settings.test_command is None


def test_a_broken_pyproject_with_settings_is_an_error(place: Path) -> None:
    (place / "pyproject.toml").write_text('[tool.agent]\ntest_command = "x"\n[project\n')
    with pytest.raises(SettingsError, match=r"pyproject\.toml"):
        load(place)


def test_unknown_keys_name_the_nearest(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_user_file(place, "max-step = 3")
    with pytest.raises(SettingsError, match=r"'max_step'. Did you mean max_steps"):
        load(place)
    write_user_file(place, "")
    with pytest.raises(SettingsError, match=r"'acept'. Did you mean accept"):
        load(place, {"acept": "proved"})
    monkeypatch.setenv("AGENT_TESTCOMMAND", "x")
    with pytest.raises(SettingsError, match=r"AGENT_TESTCOMMAND .*AGENT_TEST_COMMAND"):
        load(place)


def test_variables_of_other_programs_are_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ID", "NAME", "OS", "VERSION", "HOMEDIRECTORY", "TOOLSDIRECTORY", "WORKDIR"):
        monkeypatch.setenv(f"AGENT_{name}", "theirs")
    assert set(load(place).origins.values()) == {"default"}


def test_a_wrong_value_names_its_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_user_file(place, "max_steps = 0")
    with pytest.raises(SettingsError, match=r"config\.toml: max_steps: "):
        load(place)
    monkeypatch.setenv("AGENT_MAX_STEPS", "-1")
    with pytest.raises(SettingsError, match=r"^AGENT_MAX_STEPS: "):
        load(place)


def test_a_key_for_one_server_is_not_given_to_another(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "for-openai")
    write_user_file(place, 'base_url = "http://mine:1/v1"')
    assert load_settings(place).api_key is None
    write_user_file(place, 'base_url = "http://mine:1/v1"\napi_key = "mine"')
    key = load_settings(place).api_key
    assert key
    assert key.get_secret_value() == "mine"


def test_secrets_are_shown_as_set_only(place: Path) -> None:
    write_user_file(place, 'api_key = "very-secret-1"\n[headers]\nX-Team = "very-secret-2"\n')
    assert set(secrets_of(load_settings(place))) == {"very-secret-1", "very-secret-2"}
    shown = {}
    for arguments in (["--json"], []):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "reapair", "config", *arguments],
            cwd=place, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "very-secret" not in done.stdout
        shown |= (
            {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
            if (arguments)
            else {}
        )
    assert shown["api_key"]["value"] == shown["headers"]["value"] == "set"
    assert shown["model"] == {"name": "model", "value": None, "origin": "default"}


def test_the_command_names_what_a_repository_must_not_set(place: Path) -> None:
    (place / ".agent.toml").write_text('base-url = "http://evil:1/v1"')
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "solve", "It is broken"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert ".agent.toml: a repository must not set base_url" in done.stderr
    # What is not about this repository does not ask it.
    command = [sys.executable, "-P", "-m", "reapair", "runs", "--json"]
    assert subprocess.run(command, cwd=place, check=False).returncode == 0


def test_tables_are_json_in_variables(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_HEADERS", '{"X-Team": "very-secret"}')
    monkeypatch.setenv("AGENT_INCLUDE", '["a", "b"]')
    settings = load_settings(place)
    assert settings.headers["X-Team"].get_secret_value() == "very-secret"
    assert settings.include == ["a", "b"]
    monkeypatch.setenv("AGENT_HEADERS", "X-Team: very-secret")
    with pytest.raises(SettingsError, match="AGENT_HEADERS") as error:
        load(place)
    assert "very-secret" not in str(error.value)
