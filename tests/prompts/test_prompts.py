"""Prompts that a user puts in place of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from reapair.agent.settings.settings import Settings
from reapair.agent.solve import UsageError, solve
from reapair.prompts import Prompts, PromptsError, render
from support.scripted_server import ScriptedServer
from support.tasks import own_tasks, script


def test_files_replace_ours_one_by_one(tmp_path: Path) -> None:
    task, own = own_tasks(tmp_path / "tasks")[0], tmp_path / "own"
    (own / "feedback").mkdir(parents=True)
    (own / "issue.md").write_text("Mend this: {{ issue }}")
    (own / "feedback" / "format.md").write_text("({{ tools | length }} tools)")
    with ScriptedServer([{"content": "Text alone."}, *script(task, [])]) as server:
        settings = Settings(
            base_url=server.base_url, sandbox="none", runs=tmp_path / "runs", prompts=own
        )
        solve("It is {{ 7 * 7 }} broken.", task.repository, settings)
        messages = server.chats[1]["messages"]
    assert messages[0]["content"] == render("system", tools=[
        tool["function"]["name"] for tool in server.chats[0]["tools"]
    ])  # fmt: skip
    assert messages[1]["content"] == "Mend this: It is {{ 7 * 7 }} broken."
    assert messages[-1]["content"].endswith("(7 tools)")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("isue.md", "{{ issue }}", r"replaces no prompt. Did you mean issue\.md"),
        ("issue.md", "{{ issue }} {{ isue }}", "uses isue, which it is not given.*issue"),
        ("issue.md", "Do something.", "does not use issue"),
        ("issue.md", "{{ issue }} {% if %}", "line 1: Expected an expression"),
        ("issue.md", "{{ issue }} {% include 'x.md' %}", r"includes x\.md"),
        ("system.md", "{% for t in tols %}{{ t }}{% endfor %}", "uses tols"),
        ("summarise.md", b"\xff", "cannot be read"),
    ],
)
def test_a_wrong_one_is_an_error_at_the_start(
    tmp_path: Path, file: str, text: str | bytes, said: str
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / file).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(PromptsError, match=f"(?s){file}.*{said}"):
        Prompts(own)
    task, runs = own_tasks(tmp_path / "tasks")[0], tmp_path / "runs"
    with pytest.raises(UsageError):
        solve(task.issue, task.repository, Settings(prompts=own, runs=runs))
    assert not runs.exists()


def test_there_has_to_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match="There is no folder"):
        Prompts(tmp_path / "nothing")
