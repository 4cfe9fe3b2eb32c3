"""From an event file to a draft pull request, by the action's own scripts and a real engine.

The transcript is shown by: pytest -s tests/github/test_whole_path.py
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support import github_events as events
from support.action import Job, run_action
from support.github_server import GitHubServer
from support.github_state import READS, WRITES, State
from support.proved import FAST
from support.scripted_server import ScriptedServer
from support.tasks import Task, script

KEY = "sk-model-key-0123456789"


def job(
    kind: str, work: Path, github: GitHubServer, event: Path, name: str = "issues", **inputs: str
) -> Job:
    """Run one of the two jobs as the workflow does."""
    token = READS if kind == "solve" else WRITES
    environment = github.environment("") | {"GITHUB_RUN_ID": "4711"}
    del environment["GITHUB_TOKEN"]
    given = {"job": kind, "token": token, **{k.replace("_", "-"): v for k, v in inputs.items()}}
    return run_action(work, given, environment, event, name)


def show(title: str, text: str) -> None:
    print(f"\n=== {title}\n{text.rstrip()}")


@pytest.mark.docker
@pytest.mark.slow
def test_event_to_draft_pull_request_twice(
    tmp_path: Path, task: Task, state: State, github: GitHubServer
) -> None:
    work = tmp_path / "work"
    event = events.write(events.labeled(state, 7, "writer"), tmp_path / "event.json")
    show("event", f"issues labeled, sender writer, issue #7 {state.issues[7]['title']!r}")
    urls = []
    for turn in ("first", "second"):
        artifact = str(work / f"artifact-{turn}")
        with ScriptedServer(script(task, task.gold), api_key=KEY) as model:
            solved = job(
                "solve", work, github, event,
                base_url=model.base_url, api_key=KEY, test_command=FAST, artifact_path=artifact,
            )  # fmt: skip
            heard = str(model.requests)
        show(f"{turn} run: job solve (exit {solved.code})", solved.log)
        assert solved.code == 0
        assert solved.outputs == {"go": "true", "issue": "7"}
        assert "::stop-commands::" in solved.log
        published = job("publish", work, github, event, artifact_path=artifact)
        show(f"{turn} run: job publish (exit {published.code})", published.log)
        show("job summary", published.summary)
        assert published.code == 0
        (pull,) = state.pulls.values()
        urls.append(pull["html_url"])
        _no_secret(tmp_path, github, solved, published, heard)
    show("requests that changed something", "\n".join(github.writes))
    show("pull request", f"draft={pull['draft']} {pull['title']}\n\n{pull['body']}")
    (comment,) = state.comments.values()
    show("the one comment", comment["body"])
    commit = state.commit_of("agent/issue-7")
    show("branch in the bare repository", state.git("log", "--oneline", "--stat", "agent/issue-7"))
    assert urls[0] == urls[1]
    assert pull["draft"]
    assert pull["base"]["ref"] == "main"
    assert commit["verification"]["verified"]
    assert [parent["sha"] for parent in commit["parents"]] == [
        state.ref("heads/main")["object"]["sha"]
    ]
    assert "+    return sum(values) / len(values)" in state.git("show", "agent/issue-7")
    assert "test_calc.py::test_mean" in pull["body"]
    assert "glm-4.7-flash" in pull["body"]
    assert github.log.count("POST /repos/acme/widgets/pulls 201") == 1
    assert pull["html_url"] in comment["body"]


@pytest.mark.slow
def test_a_comment_on_the_pull_request_changes_it(
    tmp_path: Path, task: Task, state: State, github: GitHubServer
) -> None:
    work = tmp_path / "work"
    rounds = [
        ("issues", events.labeled(state, 7, "writer"), task.gold),
        ("issue_comment", None, [("calc.py", "/ (len(values) - 1)", "/ max(len(values), 1)")]),
    ]
    for number, (name, made, edits) in enumerate(rounds):
        event = made or events.commented(state, 8, "writer", "/agent and let mean([]) be 0")
        file = events.write(event, tmp_path / f"event-{number}.json")
        folder = str(work / f"artifact-{number}")
        with ScriptedServer(script(task, edits)) as model:
            solved = job(
                "solve", work, github, file, name, sandbox="none",
                base_url=model.base_url, test_command=FAST, artifact_path=folder,
            )  # fmt: skip
            asked = str(model.chats[0]["messages"])
        assert solved.code == 0, solved.log
        published = job("publish", work, github, file, name, artifact_path=folder)
        assert published.code == 0, published.log
    assert "and let mean([]) be 0" in asked
    assert "+    return sum(values) / len(values)" in asked.replace("\\n", "\n")
    assert list(state.pulls) == [8]
    assert "max(len(values), 1)" in state.git("show", "agent/issue-7:calc.py")
    assert state.git("rev-list", "--count", "main..agent/issue-7") == "1"


def _no_secret(tmp_path: Path, github: GitHubServer, *texts: Job | str) -> None:
    """Fail where a token or the model's key is in anything that a run leaves or shows."""
    secrets = [READS, WRITES, KEY]
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and not file.is_symlink()]
    for secret in secrets:
        holders = [str(file) for file in kept if secret.encode() in file.read_bytes()]
        assert holders == []
        assert not any(secret.encode() in body for body in github.bodies)
    for text in texts:
        shown = text if isinstance(text, str) else text.log + text.summary
        assert not any(secret in shown for secret in (READS, WRITES))
