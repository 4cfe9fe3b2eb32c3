"""Scripted models, in this process, that measure everything but the model."""

from __future__ import annotations

import difflib
import json
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reapair.agent.lab.evaluate.instances import Instance, InstanceError
from reapair.agent.model.in_process import InProcessModel
from reapair.agent.model.types import Capacity, Message
from reapair.sandbox.git.run_git import SAFE_ENVIRONMENT, GitError, run_git

Turn = dict[str, Any]

_CONTEXT_TOKENS = 1_000_000


class ScriptedModel(InProcessModel):
    """A `SharedModel` that gives each conversation the same answers in their order.

    Args:
        turns: the answers.
        after: the answer to whatever is asked after them.
    """

    def __init__(self, turns: Sequence[Turn], after: Turn) -> None:
        super().__init__(self._play, "scripted", _CONTEXT_TOKENS)
        self._turns, self._after = turns, after
        self._played = 0

    def _play(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> Message:  # noqa: ARG002
        self._played += 1
        left = self._turns[self._played - 1 : self._played]
        turn = left[0] if left else self._after
        calls = [{"function": call} for call in turn.get("tool_calls") or []]
        return {**turn, "tool_calls": calls}

    def capacity(self, wanted: int) -> Capacity:
        """Return room for all conversations."""
        return Capacity(wanted, _CONTEXT_TOKENS)

    def another(
        self,
        *,
        seed: int,  # noqa: ARG002
        context_tokens: int | None,  # noqa: ARG002
        overrides: Mapping[str, Any],  # noqa: ARG002
    ) -> ScriptedModel:
        """Return a model that plays the answers from the first one on."""
        return ScriptedModel(self._turns, self._after)


def scripted_solver(solver: str, instance: Instance, repository: Path, tools: str) -> ScriptedModel:
    """Return the model that plays a solver's answers.

    Args:
        solver: `gold` makes the right change, `empty` submits at once, `script:FILE` plays the
            answers in the file, one JSON object a line.
        instance: the task.
        repository: its state, as the model sees it.
        tools: what the run offers.

    Raises InstanceError when there is no such solver, or nothing that it could play.
    """
    if solver == "empty":
        return ScriptedModel([], _submit())
    if solver == "gold":
        return ScriptedModel(gold_turns(instance, repository, tools), _submit())
    kind, _, file = solver.partition(":")
    if kind != "script" or not file:
        raise InstanceError(
            f"There is no solver {solver}. Take model, gold, empty, script:FILE or "
            "predictions:FILE."
        )
    try:
        lines = Path(file).read_text("utf-8").splitlines()
        return ScriptedModel([json.loads(line) for line in lines if line.strip()], {})
    except (OSError, ValueError) as error:
        raise InstanceError(f"The script {file} can't be played: {error}.") from error


def gold_turns(instance: Instance, repository: Path, tools: str) -> list[Turn]:
    """Return the calls that make the instance's own solution, without the `submit` after them.

    Each hunk is one `edit`, with as much around it as makes it unique; what that tool can't do
    (deletions, binary files, other tools) is done by `bash`. Raises InstanceError.
    """
    if instance.schema_name == "harbor" and instance.archive:
        script = instance.archive / "solution" / "solve.sh"
        return [turn("bash", command=script.read_text("utf-8"))] if script.is_file() else []
    patch = instance.gold_patch or instance.bug_patch
    if not patch.strip():
        raise InstanceError(f"{instance.id} names no solution.")
    with TemporaryDirectory(prefix="gold-") as scratch:
        shutil.copytree(repository, scratch, symlinks=True, dirs_exist_ok=True)
        reverse = [] if instance.gold_patch else ["-R"]
        file = Path(scratch, ".git", "gold.diff")
        file.write_text(patch, "utf-8")
        apply = ("apply", "--whitespace=nowarn", *reverse, str(file))
        try:
            run_git(apply, _GIT, Path(scratch))
        except GitError as error:
            raise InstanceError(f"{instance.id}: the solution does not apply: {error}.") from error
        run_git(("add", "--all", "--force"), _GIT, Path(scratch))
        return list(_turns_between(repository, Path(scratch), tools))


_GIT = SAFE_ENVIRONMENT | {"LC_ALL": "C"}


def _turns_between(before: Path, after: Path, tools: str) -> Iterator[Turn]:
    listed = run_git(("diff", "--cached", "--no-renames", "--raw", "-z"), _GIT, after)
    entries = listed.decode("utf-8", "surrogateescape").split("\0")
    for facts, name in zip(entries[::2], entries[1::2], strict=False):
        old_mode, new_mode, *_, status = facts.split()
        texts = [_text(side / name) for side in (before, after)]
        plain = old_mode[1:] == new_mode and all(text is not None for text in texts)
        if tools == "standard" and status == "M" and plain:
            yield from _edits(name, texts[0] or "", texts[1] or "")
        elif tools == "standard" and status == "A" and new_mode == "100644" and texts[1]:
            yield turn("edit", path=name, old_str="", new_str=texts[1])
        elif status == "D":
            yield turn("bash", command=f"rm -f -- {shlex.quote(name)}")
        else:
            diff = ("diff", "--cached", "--no-renames", "--binary", "--", name)
            part = run_git(diff, _GIT, after).decode("utf-8", "surrogateescape")
            yield turn("bash", command=f"git apply - <<'END_OF_PATCH'\n{part}END_OF_PATCH\n")


def _text(file: Path) -> str | None:
    """Return a file's text, None where it is not plain text with plain line ends."""
    try:
        data = file.read_bytes()
        text = data.decode("utf-8")
    except (OSError, ValueError):
        return None
    return None if file.is_symlink() or "\r" in text or "\0" in text else text


def _edits(path: str, before: str, after: str) -> Iterator[Turn]:
    """Yield the edits of one file from its end to its start, so that places stay where they are."""
    current, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, current, new, autojunk=False)
    for group in reversed(list(matcher.get_grouped_opcodes(2))):
        start, end = group[0][1], group[-1][2]
        put = new[group[0][3] : group[-1][4]]
        first, last, whole = start, end, "".join(current)
        while whole.count("".join(current[first:last])) != 1:
            first, last = max(0, first - 1), last + 1
        changed = [*current[first:start], *put, *current[end:last]]
        yield turn(
            "edit", path=path, old_str="".join(current[first:last]), new_str="".join(changed)
        )
        current[first:last] = changed


def turn(name: str, **arguments: Any) -> Turn:
    """Return one scripted answer that makes one call."""
    return {"reasoning": f"Now {name}.", "tool_calls": [{"name": name, "arguments": arguments}]}


def _submit() -> Turn:
    return turn("submit", summary="Done.")
