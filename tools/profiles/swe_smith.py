"""The three tools of SWE-smith's trajectories, in our words and on the machinery of our own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from reapair.sandbox.base import WORKSPACE, Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.edit import Edit, EditParameters, editable, write
from reapair.tools.files import decode, missing, relative, split_lines
from reapair.tools.observation import count, numbered
from reapair.tools.read import Read, ReadParameters
from reapair.tools.submit import Submit, SubmitParameters

_UNDOS = 50
"""Changes of one file that can be taken back."""

_CONTEXT = 4


class EditorParameters(Parameters):
    """What `str_replace_editor` takes: the form that the model was trained on."""

    command: Literal["view", "create", "str_replace", "insert", "undo_edit"] = Field(
        description="What to do."
    )
    path: str = Field(description=f"Absolute path, such as {WORKSPACE}/file.py or {WORKSPACE}.")
    file_text: str | None = Field(None, description="For create: the content of the new file.")
    old_str: str | None = Field(
        None, description="For str_replace: the text to replace, exactly as it stands, once there."
    )
    new_str: str | None = Field(
        None, description="For str_replace: its replacement. For insert: the lines to insert."
    )
    insert_line: int | None = Field(
        None, description="For insert: the line after which to insert; 0 for the top."
    )
    view_range: list[int] | None = Field(
        None, description="For view: first and last line, such as [11, 40]; -1 as last is the end."
    )


class Editor(Tool[EditorParameters]):
    """Views and changes files."""

    name = "str_replace_editor"
    description = (
        "View, create and edit files. view numbers the lines of a file, or lists a directory. "
        "create makes a new file. str_replace replaces text that stands once in the file. insert "
        "adds lines after insert_line. undo_edit takes back the last change of the file."
    )
    parameters = EditorParameters
    flat = False

    def __init__(self) -> None:
        self._read = Read()
        self._edit = Edit()
        self._before: dict[str, list[bytes | None]] = {}

    def run(self, arguments: EditorParameters, sandbox: Sandbox) -> Observation:
        """Do one command. Raises ToolError in the words of this tool's parameters."""
        if arguments.command == "view":
            return self._view(relative(arguments.path), arguments.view_range, sandbox)
        path = editable(arguments.path)
        if arguments.command == "undo_edit":
            return self._undo(path, sandbox)
        before = _content(path, sandbox)
        if arguments.command == "create":
            done = self._create(path, before, arguments.file_text, sandbox)
        elif arguments.command == "str_replace":
            done = self._replace(path, arguments, sandbox)
        else:
            done = _insert(path, before, arguments.insert_line, arguments.new_str, sandbox)
        self._before[path] = [*self._before.get(path, []), before][-_UNDOS:]
        return done

    def _view(self, path: str, lines: list[int] | None, sandbox: Sandbox) -> Observation:
        if lines is not None and len(lines) != 2:
            raise ToolError("view_range takes two numbers: the first and the last line.")
        first, last = lines or (None, None)
        chosen = ReadParameters(path=path, start_line=first, end_line=last)
        try:
            seen = self._read.run(chosen, sandbox)
        except ToolError as error:
            raise ToolError(_in_own_words(str(error))) from None
        return replace(seen, text=_in_own_words(seen.text))

    def _create(
        self, path: str, before: bytes | None, text: str | None, sandbox: Sandbox
    ) -> Observation:
        if text is None:
            raise ToolError("create needs file_text: the content of the new file.")
        if before is not None:
            raise ToolError(
                f"Nothing was changed: {path} exists already. Change it with str_replace."
            )
        return self._edit.run(EditParameters(path=path, old_str="", new_str=text), sandbox)

    def _replace(self, path: str, arguments: EditorParameters, sandbox: Sandbox) -> Observation:
        if not arguments.old_str:
            raise ToolError("str_replace needs old_str: the text to replace, as it stands.")
        new = arguments.new_str or ""
        chosen = EditParameters(path=path, old_str=arguments.old_str, new_str=new)
        return self._edit.run(chosen, sandbox)

    def _undo(self, path: str, sandbox: Sandbox) -> Observation:
        earlier = self._before.get(path)
        if not earlier:
            raise ToolError(
                f"There is no change of {path} to take back. Edit it, or use git in bash."
            )
        before = earlier.pop()
        if before is None:
            sandbox.exec(["rm", "-f", "--", path])
            return Observation(f"Took the creation of {path} back: it is gone.")
        write(path, before, sandbox)
        return Observation(f"Took the last change of {path} back.")


def _content(path: str, sandbox: Sandbox) -> bytes | None:
    try:
        return sandbox.read(path)
    except FileNotFoundError:
        return None
    except OSError:
        raise ToolError(f"{path} is a directory or cannot be read. Name a file.") from None


def _insert(
    path: str, data: bytes | None, line: int | None, new: str | None, sandbox: Sandbox
) -> Observation:
    if data is None:
        raise missing(path, sandbox)
    if line is None or not new:
        raise ToolError("insert needs insert_line and new_str.")
    file = decode(data)
    if file is None:
        raise ToolError(f"{path} is a binary file and cannot be edited as text.")
    lines = re.findall(r"[^\n]*\n|[^\n]+", file.text)
    if not 0 <= line <= len(lines):
        raise ToolError(f"insert_line is {line}; {path} has {count(len(lines), 'line')}.")
    ending = "\r\n" if "\r\n" in file.text else "\n"
    added = new.replace("\r\n", "\n").removesuffix("\n").replace("\n", ending) + ending
    if line == len(lines) and lines and not lines[-1].endswith("\n"):
        added = ending + added.removesuffix(ending)
    after = "".join([*lines[:line], added, *lines[line:]])
    write(path, file.encode(after), sandbox)
    number = new.removesuffix("\n").count("\n") + 1
    top = max(line - _CONTEXT, 0)
    shown = split_lines(after)[top : line + number + _CONTEXT]
    return Observation(
        f"Inserted {count(number, 'line')} into {path}. "
        f"Lines {top + 1}-{top + len(shown)} are now:\n{numbered(shown, top + 1)}"
    )


_WORDS = (
    ("go on with start_line", "go on with view_range from"),
    ("with start_line and end_line", "with view_range"),
    ("start_line is", "view_range starts at"),
    ("end_line", "the end of view_range"),
    ("start_line", "its start"),
    ("Use search", "Use grep in bash"),
)


def _in_own_words(text: str) -> str:
    """Let the last line, which says how to go on, speak of this tool's parameters."""
    head, line_feed, last = text.rpartition("\n")
    if not line_feed or last.startswith("["):
        for words, own in _WORDS:
            last = last.replace(words, own)
    return head + line_feed + last


class NoParameters(Parameters):
    """`submit` of SWE-smith takes nothing."""


class PlainSubmit(Tool[NoParameters]):
    """Shows the change, then hands it in."""

    name = "submit"
    description = Submit.description
    changes_files = False
    flat = False
    parameters = NoParameters

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def run(self, arguments: NoParameters, sandbox: Sandbox) -> Observation:  # noqa: ARG002
        """Review, or hand in what was reviewed."""
        seen = self._submit.run(SubmitParameters(summary="none"), sandbox)
        return seen if seen.submitted is None else replace(seen, submitted="")

    def restore(self, data: dict[str, Any]) -> None:
        """Remember a review."""
        self._submit.restore(data)
