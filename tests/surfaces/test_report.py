"""The page of a run: it tells everything, and nothing that it tells can do anything."""

from __future__ import annotations

import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reapair.agent.log.event_log import RunError
from reapair.agent.log.events import Event
from reapair.agent.loop.cancel import Cancel
from reapair.agent.settings.settings import Settings
from reapair.agent.surfaces.report import render, write_report
from reapair.agent.surfaces.report.reported import solve
from reapair.agent.words.terminal_safe import one_line, visible
from support.proved import FAST
from support.showcase import environment, server, showcase, solved
from support.stories import write_story

NASTY = (
    "</pre></details></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'><b "
    "{{ 7 * 7 }} \x1b[31mred\x1b[0m \x07 \u202egnp.exe\u202c \u200b \x00 \x9b2J"
)


class Elements(HTMLParser):
    """Collects the elements of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def test_nothing_hostile_gets_out_of_its_place(tmp_path: Path) -> None:
    page = write_report(write_story(tmp_path / "run", steps=8, text=NASTY)).read_text("utf-8")
    harmless = write_report(write_story(tmp_path / "tame", steps=8, text="tame\n" * 2))
    seen, usual = Elements(page), Elements(harmless.read_text("utf-8"))
    assert set(seen.tags) <= set(usual.tags)
    assert (seen.tags.count("script"), seen.tags.count("style"), seen.tags.count("img")) == (
        1,
        1,
        0,
    )
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    addresses = [value for _, name, value in seen.attributes if name in ("href", "src")]
    assert all(address.startswith("#") for address in addresses)
    assert visible(page) == page
    assert page.count("&lt;script&gt;alert(1)") > 60
    assert "⟨U+202E⟩gnp.exe" in page
    assert "⟨U+001B⟩[31mred" in page
    assert "{{ 7 * 7 }}" in page


def test_a_policy_forbids_all_but_our_own_style_and_script(tmp_path: Path) -> None:
    seen = Elements(write_report(write_story(tmp_path / "run", steps=1, text="x")).read_text())
    [policy] = [value for _, name, value in seen.attributes if "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not [tag for tag, name, _ in seen.attributes if name == "style"]


def test_the_page_tells_the_run(tmp_path: Path) -> None:
    run = solved(tmp_path)
    file = run / "report.html"
    text = " ".join(Elements(file.read_text("utf-8")).text.split())
    for said in (
        "mean() is too large", "proved", "test_calc.py::test_mean failed passed in the repository",
        "2 passed, 0 failed", "+ return sum(values) / len(values)", "calc.py +1 −1",
        "edit mean.py → ✗ There is no file mean.py", "The divisor is one too small",
        "Proof: proved", "branch agent/mean-is-too-large", "glm-4.7-flash", "sandbox none",
        f"agent apply {run.name}", "git apply patch.diff", "agent solve issue.md --sandbox none",
        "mean() divides by the number of values now.",
    ):  # fmt: skip
        assert said in text, said
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(tmp_path) not in file.read_text("utf-8")
    before = file.read_bytes()
    file.unlink()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "reapair", "report", run.name[:9]],
        env=environment(tmp_path / "state"), capture_output=True, text=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.stdout.strip(), file.read_bytes()) == (str(file), before)


def test_the_choice_between_attempts_is_told(tmp_path: Path) -> None:
    run = solved(tmp_path, "--no-early-stop", attempts=3)
    text = " ".join(Elements((run / "report.html").read_text("utf-8")).text.split())
    assert "Choice between 3 attempts" in text
    assert "← taken proved submitted" in text
    assert "The divisor is one too small" in text
    for number in (1, 2, 3):
        assert run.with_name(f"{run.name}.{number}").joinpath("report.html").exists()


def test_a_page_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    task = showcase(tmp_path / "repository")
    with server() as scripted:
        settings = Settings(
            base_url=scripted.base_url, sandbox="none", test_command=FAST, runs=tmp_path / "runs"
        )

        def be_in_the_way(event: object) -> None:
            for run in (tmp_path / "runs").iterdir():
                (run / "report.html").mkdir(exist_ok=True)

        result = solve(task.issue, task.repository, settings, on_event=be_in_the_way)
    assert result.verdict == "proved"
    assert not (result.directory / "report.html").is_file()
    assert not list(result.directory.glob(".report.html*"))


def test_a_run_that_is_stopped_has_a_page(tmp_path: Path) -> None:
    task = showcase(tmp_path / "repository")
    cancel = Cancel()
    with server() as scripted:
        settings = Settings(
            base_url=scripted.base_url, sandbox="none", test_command=FAST, runs=tmp_path / "runs"
        )

        def stop(event: Event) -> None:
            if event.kind == "tool_result":
                cancel.request()

        result = solve(task.issue, task.repository, settings, on_event=stop, cancel=cancel)
    assert result.status == "stopped"
    page = (result.directory / "report.html").read_text("utf-8")
    assert f"agent resume {result.run_id}" in page


def test_an_unfinished_run_has_a_page_and_one_that_never_began_has_none(tmp_path: Path) -> None:
    page = write_report(write_story(tmp_path / "run", steps=2, text="x", finished=False))
    assert "agent resume run" in page.read_text("utf-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="stopped before it began"):
        write_report(tmp_path / "empty")


def test_it_costs_little(tmp_path: Path) -> None:
    words = "assert mean([2, 4]) == 3  # as the issue says\n" * 4
    short = write_story(tmp_path / "short", steps=50, text=words, observation=words * 10)
    long = write_story(tmp_path / "long", steps=500, text=words, observation=words * 60)
    write_report(short)
    took = {}
    for run in (short, long):
        began = time.process_time()
        page = write_report(run)
        took[run.name] = time.process_time() - began
    print(f"50 steps {took['short']:.3f} s, 500 steps {took['long']:.3f} s", page.stat().st_size)
    assert took["short"] < 0.25
    assert page.stat().st_size < 8_000_000
    assert "characters left out of this page" in page.read_text("utf-8")


def test_others_make_pages_of_their_own(tmp_path: Path) -> None:
    template = tmp_path / "own.html"
    template.write_text("{% extends 'base.html' %}{% block body %}<p>{{ said }}</p>{% endblock %}")
    page = render(template, said="<i>\u202e")
    assert "<p>&lt;i&gt;⟨U+202E⟩</p>" in page
    assert "Content-Security-Policy" in page


def test_text_is_named_where_it_hides() -> None:
    assert visible("a\u202eb\tc\r\nd\ud800") == "a⟨U+202E⟩b    c\nd⟨U+D800⟩"
    assert one_line("one\ntwo \x1b[2J") == "one two �[2J"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
