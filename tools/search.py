"""The tool `search`: a regular expression over the tree, summarised by file."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from pydantic import Field

from reapair.sandbox.base import ExecResult, Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.code.definitions import Definition, enclosing, outline
from reapair.tools.code.languages import language_of
from reapair.tools.files import is_test_file, missing, quoted, read_many, relative
from reapair.tools.observation import clip, clip_line, count

DEFAULT_RESULTS = 40
MOST_RESULTS = 200
LINES_OF_A_FILE = 8
"""Matching lines shown of one file when several files match."""

FILES_PARSED = 12
"""Files of which the enclosing definitions are looked up."""

_OUTPUT_LIMIT = 4 * 1024 * 1024
_WIDTH = 160


class SearchParameters(Parameters):
    """What `search` takes."""

    pattern: str = Field(description="Regular expression, matched line by line.")
    path: str | None = Field(
        None, description="File or directory to search in. Default: the whole repository."
    )
    glob: str | None = Field(None, description="Only files with such names, for example *.py.")
    max_results: int | None = Field(
        None, description=f"Most lines to show. Default {DEFAULT_RESULTS}."
    )


@dataclass
class _File:
    path: str
    lines: list[tuple[int, str]] = field(default_factory=list)


class Search(Tool[SearchParameters]):
    """Finds lines by regular expression."""

    name = "search"
    description = (
        "Search file contents for a regular expression. "
        "Shows matching lines by file, files with most matches first, tests last."
    )
    parameters = SearchParameters
    changes_files = False

    def run(self, arguments: SearchParameters, sandbox: Sandbox) -> Observation:
        """Search with what the sandbox has: ripgrep, else git grep, else grep."""
        if not arguments.pattern:
            raise ToolError("pattern is empty. Give a regular expression; read lists a directory.")
        path = relative(arguments.path) if arguments.path and arguments.path.strip() else "."
        found, note = self._find(arguments.pattern, path, arguments.glob, sandbox)
        most = min(max(arguments.max_results or DEFAULT_RESULTS, 1), MOST_RESULTS)
        if not found:
            return Observation(_nothing(arguments, path, note))
        return Observation(_summary(arguments.pattern, found, most, note, sandbox))

    def _find(
        self, pattern: str, path: str, glob: str | None, sandbox: Sandbox
    ) -> tuple[list[_File], str]:
        result = sandbox.exec(_script(pattern, path, glob, fixed=False), output_limit=_OUTPUT_LIMIT)
        note = ""
        if result.exit_code == 44:
            raise missing(path, sandbox)
        if result.exit_code not in (0, 1) and not result.stdout and not result.timed_out:
            reason = _reason(result)
            if "glob" in reason:
                raise ToolError(f"glob cannot be read ({reason}). Give one like *.py or src/**.")
            note = f"Not a valid regular expression ({reason}); searched for the literal text.\n"
            result = sandbox.exec(
                _script(pattern, path, glob, fixed=True), output_limit=_OUTPUT_LIMIT
            )
        if result.timed_out:
            raise ToolError("The search took too long. Narrow it with path or glob.")
        if result.dropped:
            note += "Too many matches to count them all.\n"
        return _parse(result.text), note


def _script(pattern: str, path: str, glob: str | None, *, fixed: bool) -> str:
    """Return a script that prints `path NUL line number : line`, whatever tool there is."""
    pat, where = shlex.quote(pattern), quoted(path)
    rg_glob = f" -g {shlex.quote(glob)}" if glob else ""
    grep_glob = f" --include={shlex.quote(glob.rpartition('/')[2])}" if glob else ""
    spec = shlex.quote(f":(glob){_glob_below(path, glob)}") if glob else where
    # ripgrep needs another engine for look-around and back references.
    rg = "-P" if re.search(r"\(\?<?[=!]|\\[1-9]", pattern) else ""
    rg, git, grep = ("-F", "-F", "-F") if fixed else (rg, "-P", "-P")
    extended = (
        ""
        if fixed
        else (
            f"if [ $? -gt 1 ]; then grep -rHnI -E --null --exclude-dir=.git{grep_glob} "
            f"-e {pat} -- {where}; fi\n"
        )
    )
    return (
        f"[ -e {where} ] || exit 44\n"
        "if command -v rg >/dev/null 2>&1; then\n"
        f"  exec rg --no-config --hidden -g '!.git' -n0H --no-heading --color=never --sort=path "
        f"{rg}{rg_glob} -e {pat} -- {where}\n"
        "elif git rev-parse --git-dir >/dev/null 2>&1 && ! git check-ignore -q -- "
        f"{where} 2>/dev/null; then\n"
        f"  exec git grep -nzI --untracked --no-color {git} -e {pat} -- {spec}\n"
        "fi\n"
        f"grep -rHnI {grep} --null --exclude-dir=.git{grep_glob} -e {pat} -- {where}\n{extended}"
    )


def _glob_below(path: str, glob: str) -> str:
    prefix = "" if path == "." else f"{path}/"
    return prefix + (glob.lstrip("/") if "/" in glob else f"**/{glob}")


def _reason(result: ExecResult) -> str:
    lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
    told = next((line for line in reversed(lines) if line.strip()), "unknown error")
    return re.sub(r"^(?:error|fatal|grep|rg|command line|, '.*'|[: ])+", "", told).strip()


def _parse(output: str) -> list[_File]:
    """Group the output by file: best first, that is not a test, many matches, name."""
    files: dict[str, _File] = {}
    for row in output.split("\n"):
        path, _, rest = row.partition("\0")
        number, separator, line = rest.replace("\0", ":", 1).partition(":")
        if separator and number.isdigit():
            name = path.removeprefix("./")
            files.setdefault(name, _File(name)).lines.append((int(number), line))
    return sorted(
        files.values(), key=lambda file: (is_test_file(file.path), -len(file.lines), file.path)
    )


def _nothing(arguments: SearchParameters, path: str, note: str) -> str:
    where = "the repository" if path == "." else path
    names = f" in files named {arguments.glob}" if arguments.glob else ""
    advice = "Try a shorter pattern, (?i) to ignore case, or a wider path."
    if re.search(r"\\[|(){}+?]", arguments.pattern) and not note:
        advice = "Operators have no backslash: a|b finds both; \\| and \\( are literal."
    return f"{note}No matches for '{_one_line(arguments.pattern)}' in {where}{names}. {advice}"


def _summary(pattern: str, found: list[_File], most: int, note: str, sandbox: Sandbox) -> str:
    total = sum(len(file.lines) for file in found)
    head = (
        f"{note}{count(total, 'match')} for '{_one_line(pattern)}' in {count(len(found), 'file')}"
    )
    blocks, left = [head], most
    share = most if len(found) == 1 else max(LINES_OF_A_FILE, most // len(found))
    shown_files = 0
    parsed = [file.path for file in found if language_of(file.path)][:FILES_PARSED]
    sources = read_many(sandbox, parsed)
    for file in found:
        if left <= 0:
            break
        lines = file.lines[: min(share, left)]
        language, source = language_of(file.path), sources.get(file.path)
        known = outline(language, source) if language and source else []
        blocks.append(_block(file, lines, known, pattern))
        left -= len(lines)
        shown_files += 1
    rest = found[shown_files:]
    if rest:
        names = ", ".join(f"{file.path} ({len(file.lines)})" for file in rest[:10])
        more = f" and {len(rest) - 10} more files" if len(rest) > 10 else ""
        blocks.append(f"Not shown: {names}{more}. Narrow with path, glob or a longer pattern.")
    return clip("\n".join(blocks), tail=0.1)


def _one_line(pattern: str) -> str:
    return clip_line(pattern.replace("\n", "\\n"), _WIDTH)


def _shown(line: str, pattern: str) -> str:
    """Cut a long line around the match, as far as a literal word of the pattern tells its place.

    The expression itself is not run here: some take forever.
    """
    word = max(re.findall(r"\w+", pattern), key=len, default="")
    place = line.find(word)
    if place + len(word) <= _WIDTH:
        return clip_line(line, _WIDTH)
    return f"[...] {clip_line(line[place - _WIDTH // 2 :], _WIDTH)}"


def _block(
    file: _File,
    lines: list[tuple[int, str]],
    known: list[Definition],
    pattern: str,
) -> str:
    rows = [f"{file.path} ({count(len(file.lines), 'match')})"]
    inside: Definition | None = None
    for number, line in lines:
        begins = any(entry.line == number for entry in known)
        around = enclosing(known, number, but_not_at=begins)
        # The line of a definition says itself where it is, unless the last heading says otherwise.
        if around != inside and not (begins and inside is None):
            inside = around
            place = f"in {around.name} (lines {around.start}-{around.end})" if around else "outside"
            rows.append(f"  {place}:")
        rows.append(f"{number:>5}\t{_shown(line.rstrip(), pattern)}")
    if len(lines) < len(file.lines):
        rows.append(f"  [{len(file.lines) - len(lines)} more in this file]")
    return "\n".join(rows)
