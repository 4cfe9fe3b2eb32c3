"""Jest, Vitest, Mocha and `node --test`, called by the script in package.json or by themselves."""

from __future__ import annotations

import re
import shlex

from reapair.tools.testing.runners.base import Finished, Request, Runner, Tree, only
from reapair.tools.testing.test_outcomes import SuiteOutcome, recorded

_MANAGER = re.compile(
    r"\b(?:npm|pnpm|yarn|bun)(?: run(?:-script)?| -s| --silent| -q)* +"
    r"(?P<script>t(?=\s|$)|tst(?=\s|$)|[\w:.-]+)(?: --(?=\s|$))?(?P<rest>[^;&|\n]*)"
)
_ASSIGNED = re.compile(r"(^|[;&|]\s*)((?:\w+=[^\s;&|]+ ?)+?) $")
_ABBREVIATED = {"t": "test", "tst": "test"}
_WORD = re.compile(
    r"(?<![\w@./:=-])(?:npx +(?:--\S+ +)*)?(?:[\w@./-]*/)?"
    r"(?:(?:(?P<jest>jest(?:\.js)?|react-scripts +test)|(?P<mocha>mocha(?:\.[cm]?js)?)"
    r"|(?P<vitest>vitest(?:\.mjs)?(?: +(?:run|dev|watch))?))(?=\s|$|;|&|\|)"
    r"|(?P<node>node)(?=\s[^;&|]*--test(?=[\s=]|$)))"
)
_HIDING = re.compile(
    r"\s+(?:--(?:reporters?|test-reporter(?:-destination)?|bail|changedSince)"
    r"(?:=\S+| +[\w./-]+)?"
    r"|--(?:silent|watch(?:All)?|onlyChanged|onlyFailures|lastCommit|changed|ui|forbid-only)"
    r"(?:=\S+)?|-[bow](?=\s|$)|-R +\S+)"
)
_OPTIONS = {
    "jest": "--ci --watchAll=false --bail=0 --reporters=default --reporters={file}",
    "vitest": "--run --bail=0 --reporter=default --reporter={file}",
    "mocha": "--no-bail --reporter {file}",
    "node": "--test-reporter={file} --test-reporter-destination=stdout",
}
_MOST_INDIRECTIONS = 4
_PREPARATION = (
    'cat > "$d/recorder.cjs" && pwd -P > "$d/top" && for t in jest vitest mocha node; do '
    'echo "module.exports = require(\'./recorder.cjs\').$t" > "$d/$t.cjs"; done'
)


class Node(Runner):
    """The runners of JavaScript. Ids are `path::describe > test`."""

    name = "a JavaScript runner"
    selects_names = True
    called = _WORD
    recorder = "runners/node_recorder.cjs"
    preparation = _PREPARATION

    def takes(self, command: str, tree: Tree) -> bool:
        """Return whether the command, or the script it stands for, calls a runner that we know."""
        return super().takes(_resolved(command, tree), tree)

    def command(self, request: Request) -> str:
        """Put our reporter, and what the selector names, right behind the runner's word."""
        script = _resolved(request.command, request.tree)
        found = _WORD.search(script)
        if found is None:
            return request.command
        tool = str(found.lastgroup)
        head, rest = script[: found.end()], script[found.end() :]
        own, after = _until_separator(rest)
        own = _HIDING.sub("", own)
        options = _OPTIONS[tool].format(file=shlex.quote(f"{request.folder}/{tool}.cjs"))
        chosen, own = _selected(tool, request, own)
        path = "".join(f"$PWD/{'../' * level}node_modules/.bin:" for level in range(4))
        # npm would put these folders into the path, too.
        lines = f'export PATH="{path}$PATH"\n'
        if tool == "node":
            call = f"{head} {options}{own}{chosen}"
        else:  # an option that takes several values would swallow a path behind it
            call = f"{head}{chosen}{own} {options}"
        enter, body = _enter(call + after)
        return f"{enter}{lines}{body}"

    def outcome(self, finished: Finished) -> SuiteOutcome | None:
        """Read our reporter's lines."""
        found = recorded(finished.report.decode("utf-8", "replace"), finished.result)
        if found is None:
            return None
        ran = any(status != "skipped" for status in found.statuses.values())
        if ran and _is_by_name(finished.request):  # what does not match counts as skipped
            found.statuses = {t: s for t, s in found.statuses.items() if s != "skipped"}
        return only(found, finished.request.selector)


def _resolved(command: str, tree: Tree) -> str:
    """Put the text of package.json's scripts in the place of the calls of npm and its like."""
    scripts = tree.scripts
    for _ in range(_MOST_INDIRECTIONS):
        found = _MANAGER.search(command)
        if found is None or _WORD.search(command[: found.start()]):
            break
        name = _ABBREVIATED.get(found["script"], found["script"])
        if name not in scripts:
            break
        text = scripts[name]
        if before := scripts.get(f"pre{name}"):
            text = f"{before} && {text}"
        text += found["rest"].rstrip()
        # What is set for npm holds for every part of the script.
        head = _ASSIGNED.sub(r"\1export \2; ", command[: found.start()])
        command = f"{head}{text}{command[found.end() :]}"
    return command


def _until_separator(text: str) -> tuple[str, str]:
    """Split where the next command of a script begins; quoted separators are none."""
    quote = ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in ";&|\n":
            return text[:place], text[place:]
    return text, ""


def _enter(command: str) -> tuple[str, str]:
    """Split off the `cd folder || exit;` that a command may begin with."""
    found = re.match(r"^cd [^;&|\n]+(?:\|\| *exit *;|&&|;) *", command)
    return (found[0], command[found.end() :]) if found else ("", command)


def _selected(tool: str, request: Request, own: str) -> tuple[str, str]:
    """Return the options for the selector, and the runner's own ones without their paths."""
    path, name = request.path, request.name
    if not path:
        return "", own
    if not name and _is_by_name(request):
        path, name = "", path
    if path:
        own = _without_paths(own)
    words = name.split(" > ")
    pattern = re.escape(words[-1] if tool == "node" else " ".join(words))
    pattern = pattern.replace(r"\ ", " ").replace("\\'", "'")
    by_name = {
        "jest": f" -t {shlex.quote(pattern)}",
        "vitest": f" -t {shlex.quote(pattern)}",
        "mocha": f" --grep {shlex.quote(pattern)}",
        "node": "",
    }
    chosen = by_name[tool] if name else ""
    if name and tool == "node":
        own = f" --test-name-pattern={shlex.quote(pattern)}{own}"
    if path:
        chosen += f" {shlex.quote(path)}"
    return chosen, own


def _is_by_name(request: Request) -> bool:
    """Return whether the selector names tests; what looks like no path is a name."""
    if request.name:
        return True
    path = request.path
    return bool(path) and not re.search(r"[/.]", path) and path not in request.tree.names


def _without_paths(options: str) -> str:
    """Drop the paths and patterns that stand last; those behind an option may be its value."""
    try:
        words = shlex.split(options)
    except ValueError:
        return options
    while (
        words
        and not words[-1].startswith("-")
        and not (len(words) > 1 and re.match(r"^--?[\w-]+$", words[-2]) and words[-2] != "--test")
    ):
        words.pop()
    return "".join(f" {shlex.quote(word)}" for word in words)
