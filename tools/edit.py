"""The tool `edit`: exact, unique replacement in one file."""

from __future__ import annotations

import difflib
import re
import unicodedata

from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.edit_matching.matching import NoMatch, Replacement, SeveralMatches, find
from reapair.tools.files import (
    TextFile,
    decode,
    is_test_file,
    missing,
    relative,
    split_lines,
)
from reapair.tools.observation import clip_line, count, listed, numbered
from reapair.tools.python_source import is_python, syntax_errors

CONTEXT = 3
"""Lines shown around a change."""

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest file that can be edited."""

SHOWN = 40
"""Most changed lines shown."""

_QUOTED = re.compile(r"""(?<![\w\\])(["'`])(?:\\.|(?!\1)[^\\])*\1""")
_ESCAPED_NEWLINE = re.compile(r"(?<!\\)(?:\\\\)*\\n")
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me"})


class EditParameters(Parameters):
    """What `edit` takes."""

    path: str = Field(description="File, relative to the repository root.")
    old_str: str = Field(
        description="Text to replace: exactly as in the file, once there. Empty creates the file."
    )
    new_str: str = Field(description="Text to put in its place. Empty deletes.")


class Edit(Tool[EditParameters]):
    """Replaces text in a file, or creates one."""

    name = "edit"
    description = "Replace old_str with new_str in a file, or create a file. Shows the new lines."
    parameters = EditParameters

    def run(self, arguments: EditParameters, sandbox: Sandbox) -> Observation:
        """Change one place, or nothing at all."""
        path = editable(arguments.path)
        data = _read(path, sandbox)
        if not arguments.old_str:
            return _create(path, arguments.new_str, data, sandbox)
        if data is None:
            raise missing(path, sandbox)
        old, new = arguments.old_str.replace("\r\n", "\n"), arguments.new_str.replace("\r\n", "\n")
        if old == new:
            raise ToolError("Nothing was changed: old_str and new_str are the same.")
        file = decode(data)
        if file is None:
            raise ToolError(f"{path} is a binary file and cannot be edited as text.")
        plain = file.text.replace("\r\n", "\n")
        change = _find(path, plain, old, new)
        after = plain[: change.start] + change.new + plain[change.end :]
        if after == plain:
            raise ToolError(f"Nothing was changed: {path} reads like that already.")
        write(path, file.encode(_with_line_endings(file.text, plain, change)), sandbox)
        return _report(path, plain, after, change, new)


def editable(given: str) -> str:
    """Return the path relative to the workspace. Raises ToolError where nothing may be changed."""
    path = relative(given)
    if path.startswith("/") and not path.startswith("/tmp/"):  # noqa: S108 - in the sandbox
        raise ToolError(f"{path} lies outside the repository; only files inside can be edited.")
    if ".git" in path.lower().split("/"):
        raise ToolError("Files in .git cannot be edited.")
    return path


def _read(path: str, sandbox: Sandbox) -> bytes | None:
    try:
        data = sandbox.read(path, limit=LARGEST + 1)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise ToolError(f"{path} is a directory. Name a file in it.") from None
    except OSError:
        raise ToolError(f"{path} cannot be read: no permission, or no regular file.") from None
    if len(data) > LARGEST:
        raise ToolError(f"{path} is larger than {LARGEST // 1024**2} MB. Change it with bash.")
    return data


def write(path: str, data: bytes, sandbox: Sandbox) -> None:
    """Write a file. Raises ToolError with the reason where that fails."""
    try:
        sandbox.write(path, data)
    except OSError as error:
        raise ToolError(f"Nothing was changed: {error}") from None


def _create(path: str, new: str, data: bytes | None, sandbox: Sandbox) -> Observation:
    if data:
        number = len(split_lines(data.decode("utf-8", "replace")))
        raise ToolError(
            f"Nothing was changed: {path} exists already ({count(number, 'line')}) and old_str is "
            f"empty. Read it, and give the text to replace as old_str."
        )
    write(path, TextFile(new, "utf-8").encode(new), sandbox)
    number = len(split_lines(new))
    text = f"Created {path} ({count(number, 'line')})."
    note = _syntax_note(path, "", new, range(1, number + 1))
    return Observation(
        text + note + _newline_note("new_str", new), data=_facts(path, 1, number, existed=False)
    )


def _find(path: str, text: str, old: str, new: str) -> Replacement:
    try:
        return find(text, old, new)
    except SeveralMatches as several:
        places = listed([str(line) for line in several.lines], 20)
        but = "" if several.exactly else " apart from white space"
        raise ToolError(
            f"Nothing was changed: old_str stands {len(several.lines)} times in {path}{but}, at "
            f"lines {places}. Add lines before or after it to say which one."
        ) from None
    except NoMatch as none:
        raise ToolError(_miss(path, text, old, none.lines)) from None


def _miss(path: str, text: str, old: str, near: range | None) -> str:
    """Return that the text is not there, and the real text nearest to it."""
    start = f"Nothing was changed: old_str is not in {path}."
    note = _newline_note("old_str", old)
    if near is None:
        return (
            f"{start} Nothing there is like it. Read the file, or search for the right one.{note}"
        )
    lines = split_lines(text)[near.start : near.stop][:SHOWN]
    last = near.start + len(lines)
    differing = "\n".join(_differences(old.strip("\n").split("\n"), lines))
    if "\\u" in differing.lower():
        note += "\nEach \\u and its digits stand for one character, by its Unicode number."
    return (
        f"{start} The nearest text is lines {near.start + 1}-{last}:\n"
        f"{numbered(lines, near.start + 1)}\n"
        f"Differences (- old_str, + file):\n{differing}\n"
        f"Give old_str exactly as in the file, without the line numbers.{note}"
    )


def _differences(given: list[str], real: list[str]) -> list[str]:
    """Return the lines in which they differ, with invisible characters made visible."""
    rows: list[str] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, given, real, False).get_opcodes():
        if tag != "equal":
            rows += [f"- {line}" for line in given[i1:i2]] + [f"+ {line}" for line in real[j1:j2]]
    return [clip_line(_visible(row)) for row in rows[:SHOWN]] or ["(only white space at the ends)"]


def _visible(row: str) -> str:
    bare = row[2:].rstrip(" ")
    return row[:2] + "".join(map(_shown, bare)) + "\u00b7" * (len(row) - 2 - len(bare))


def _shown(character: str) -> str:
    """Return an escape for a character that can't be seen or reads like another one."""
    if " " <= character <= "~":
        return character
    if character == "\t":
        return "\\t"
    alike = unicodedata.normalize("NFKC", character) != character
    if not alike and unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _newline_note(name: str, text: str) -> str:
    """Return a note on a text of one line that holds the two characters \\n outside quotes.

    Inside quotes they are usually meant, as in `print("a\\n")`.
    """
    if "\n" in text.strip() or not _ESCAPED_NEWLINE.search(_QUOTED.sub("", text)):
        return ""
    return (
        f"\n{name} holds \\n as two characters, a backslash and an n, and is one line. "
        "If lines were meant, edit again with real line breaks."
    )


def _with_line_endings(original: str, plain: str, change: Replacement) -> str:
    """Apply the change to the original text, keeping every line ending outside of what changed."""
    gone, new = plain[change.start : change.end], change.new
    head = _shared(gone, new)
    tail = _shared(gone[head:][::-1], new[head:][::-1])
    start, end, new = change.start + head, change.end - tail, new[head : len(new) - tail]
    if "\r\n" not in original:
        return original[:start] + new + original[end:]
    begin, stop = _offset(original, start), _offset(original, end)
    if _ending(original, begin) == "\r\n":
        new = new.replace("\n", "\r\n")
    return original[:begin] + new + original[stop:]


def _shared(one: str, other: str) -> int:
    """Return how many characters they begin with that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _offset(original: str, position: int) -> int:
    """Return where a position of the text with bare line feeds lies in the original."""
    place = 0
    for line in original.split("\r\n"):
        if position <= len(line):
            return place + position
        position -= len(line) + 1
        place += len(line) + 2
    return len(original)


def _ending(original: str, place: int) -> str:
    """Return the ending of the line at an offset, or of the one before it at the end."""
    feed = original.find("\n", place)
    if feed < 0:
        feed = original.rfind("\n")
    return "\r\n" if original[max(feed - 1, 0) : feed + 1] == "\r\n" else "\n"


def _report(path: str, before: str, after: str, change: Replacement, new: str) -> Observation:
    lines = split_lines(after)
    first = before.count("\n", 0, change.start) + 1
    last = max(first, first + len(split_lines(change.new)) - 1)
    top, bottom = max(first - CONTEXT, 1), min(last + CONTEXT, len(lines))
    if bottom - top >= SHOWN:
        bottom = top + SHOWN - 1
    told = f"Edited {path}." + (f" {change.note}" if change.note else "")
    view = numbered(lines[top - 1 : bottom], top)
    if view:
        told += f"\nLines {top}-{bottom} are now:\n{view}"
    note = _syntax_note(path, before, after, range(first, last + 1))
    note += _newline_note("new_str", new)
    return Observation(told + note, data=_facts(path, first, last, existed=True))


def _syntax_note(path: str, before: str, after: str, changed: range) -> str:
    """Say where a syntax error is that was not there before; an edit has caused it, so near it."""
    if not is_python(path):
        return ""
    errors = syntax_errors(after)
    if not errors or len(errors) <= len(syntax_errors(before)):
        return ""
    line = next((line for line in errors if line in changed), changed.start)
    source = (split_lines(after)[line - 1 : line] or [""])[0].strip()
    return (
        f"\nSyntax error that was not there before, near line {line} of {path}: "
        f"{clip_line(source, 120)}\nFix it with another edit."
    )


def _facts(path: str, first: int, last: int, *, existed: bool) -> dict[str, object]:
    return {
        "path": path,
        "lines": [first, last],
        "created": not existed,
        "test_file": existed and is_test_file(path),
    }
