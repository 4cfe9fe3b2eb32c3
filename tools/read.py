"""The tool `read`: numbered lines of a file, or a directory as a tree."""

from __future__ import annotations

from pydantic import Field

from reapair.sandbox.base import Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.code.definitions import outline
from reapair.tools.code.languages import Language, language_of
from reapair.tools.files import (
    HUGE,
    TextFile,
    decode,
    listing,
    missing,
    quoted,
    relative,
    split_lines,
)
from reapair.tools.observation import OBSERVATION_LIMIT, clip_line, count, numbered

LINES = 250
"""Most lines shown at once."""

HEAD = 30
"""Lines shown of a large source file above its outline."""

ENTRIES = 200
"""Most entries of an outline or of a directory."""


class ReadParameters(Parameters):
    """What `read` takes."""

    path: str = Field(description="File or directory, relative to the repository root.")
    start_line: int | None = Field(None, description="First line to show.")
    end_line: int | None = Field(None, description="Last line to show.")


class Read(Tool[ReadParameters]):
    """Shows a file or a directory."""

    name = "read"
    description = (
        f"Show a file with line numbers, {LINES} lines at most, or list a directory. "
        "A long source file without start_line shows its outline."
    )
    parameters = ReadParameters
    changes_files = False

    def run(self, arguments: ReadParameters, sandbox: Sandbox) -> Observation:
        """Read the file in the sandbox and show the part asked for."""
        path = relative(arguments.path)
        try:
            data = sandbox.read(path, limit=HUGE + 1)
        except IsADirectoryError:
            return Observation(_tree(path, listing(sandbox, path)))
        except FileNotFoundError:
            raise missing(path, sandbox) from None
        except OSError:
            raise ToolError(f"{path} cannot be read: no permission, or no regular file.") from None
        if len(data) > HUGE:
            raise ToolError(
                f"{path} is larger than {HUGE // 1024**2} MB. Use search with this path, "
                f"or bash: sed -n 1,100p {quoted(path)}"
            )
        file = decode(data)
        if file is None:
            raise ToolError(
                f"{path} is a binary file ({len(data)} bytes); it has no lines to show."
            )
        return Observation(_show(path, file, arguments.start_line, arguments.end_line))


def _show(path: str, file: TextFile, start: int | None, end: int | None) -> str:
    lines = split_lines(file.text)
    traits = "".join(f"; {trait}" for trait in file.traits)
    if not lines:
        return f"{path} (empty file{traits})"
    language = language_of(path)
    if start is None and end is None and language and _is_long(lines):
        return _outline(path, language, file.text, lines, traits)
    first = max(start or 1, 1)
    last = len(lines) if end is None or end < 0 else min(end, len(lines))
    if first > len(lines):
        raise ToolError(f"{path} has only {count(len(lines), 'line')}; start_line is {first}.")
    if last < first:
        raise ToolError(f"end_line {end} lies before start_line {first}.")
    shown = _bounded(lines[first - 1 : last])
    stop = first + len(shown) - 1
    text = f"{path} (lines {first}-{stop} of {len(lines)}{traits})\n{numbered(shown, first)}"
    if stop < last:
        text += f"\n[cut here: go on with start_line {stop + 1}]"
    return text


def _is_long(lines: list[str]) -> bool:
    return len(_bounded(lines)) < len(lines)


def _bounded(lines: list[str]) -> list[str]:
    """Return as many of the first lines as one observation holds, at least one."""
    size = 0
    for number, line in enumerate(lines[:LINES]):
        size += len(clip_line(line).encode("utf-8", "replace")) + 7
        if size > OBSERVATION_LIMIT and number:
            return lines[:number]
    return lines[:LINES]


def _outline(path: str, language: Language, text: str, lines: list[str], traits: str) -> str:
    found = outline(language, text.encode("utf-8", "replace"))
    if not found:
        return _show(path, TextFile(text, "utf-8"), 1, None)
    shown = found
    for depth in (2, 1):
        if len(shown) > ENTRIES:
            shown = [entry for entry in shown if entry.depth < depth]
    rows = [
        f"{f'{entry.start}-{entry.end}':>11}  {'    ' * entry.depth}{clip_line(entry.header, 120)}"
        for entry in shown[:ENTRIES]
    ]
    if len(rows) < len(found):
        rows.append(f"[{len(found) - len(rows)} more definitions: use search to find one]")
    body = numbered(lines[:HEAD], 1)
    return "\n".join(
        [
            f"{path} (lines 1-{HEAD} of {len(lines)}, then the outline{traits})",
            body,
            "Outline (lines, definition):",
            *rows,
            "[read a part with start_line and end_line]",
        ]
    )


def _tree(path: str, names: list[str]) -> str:
    """Render the files below a directory; the deepest levels fold into counts until it fits."""
    prefix = "" if path == "." else f"{path}/"
    inside = [name.removeprefix(prefix) for name in names]
    title = f"{path.rstrip('/')}/ ({count(len(names), 'file')})"
    depth = max((name.count("/") for name in inside), default=0)
    rows = _rows(inside, depth)
    while depth > 0 and len(rows) > ENTRIES:
        depth -= 1
        rows = _rows(inside, depth)
    if len(rows) > ENTRIES:
        rows = [*rows[:ENTRIES], f"[{len(rows) - ENTRIES} more: list them with bash]"]
    return "\n".join([title, *rows])


def _rows(names: list[str], depth: int) -> list[str]:
    folded: dict[str, int] = {}
    for name in names:
        parts = name.split("/")
        shown = "/".join(parts[: depth + 1]) + "/" if len(parts) > depth + 1 else name
        folded[shown] = folded.get(shown, 0) + 1
    rows: list[str] = []
    opened: list[str] = []
    for name, number in sorted(folded.items()):
        *folders, leaf = name.rstrip("/").split("/")
        for level, folder in enumerate(folders):
            if opened[level : level + 1] != [folder]:
                rows.append(f"{'  ' * level}{folder}/")
                opened = [*opened[:level], folder]
        opened = opened[: len(folders)]
        indent = "  " * len(folders)
        rows.append(
            f"{indent}{leaf}/ ({count(number, 'file')})" if name.endswith("/") else indent + leaf
        )
    return rows
