"""What a patch leaves behind in the tree: syntax errors, conflict marks, scratch, debuggers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from reapair.agent.proof.changes import Change
from reapair.agent.proof.tricks import dotted, write_out_names
from reapair.sandbox.git.patch_policy import asks_for, trigger_of
from reapair.tools.python_source import parse_python, syntax_errors

_SCRATCH = re.compile(
    r"(repro|reproduc\w+|reproduction|debug|scratch|tmp|temp|try(out)?|poc|(verify|check)_fix|fix)"
    r"([_-]?\w*)?\.(py|js|ts|sh|rb|go|txt|log|out)",
    re.IGNORECASE,
)
_LEFTOVER = re.compile(r".*\.(orig|rej|bak|swp|swo|pyc)|.*~|\.DS_Store|nohup\.out|core")
_DEBUGGERS = frozenset({"breakpoint", "pdb.set_trace", "ipdb.set_trace", "pudb.set_trace"})
_TEXT_DEBUGGERS = re.compile(
    r"^\s*(debugger;?|binding\.(pry|irb)|byebug|dbg!\(.*|runtime\.Breakpoint\(\))\s*$", re.MULTILINE
)


def breakages(changes: Iterable[Change]) -> list[str]:
    """Return what makes the tree unusable, a sentence each: these refute a patch."""
    found = []
    for change in changes:
        added = change.added_text
        if re.search(r"^<{7} ", added, re.MULTILINE) and re.search(r"^>{7} ", added, re.MULTILINE):
            found.append(f"conflict: {change.path} has conflict marks in it.")
        elif change.python and (line := _new_syntax_error(change)):
            found.append(f"syntax: {change.path} is no valid Python any more: line {line}.")
    return found


def leftovers(changes: list[Change]) -> list[str]:
    """Return what was forgotten in the tree, a sentence each."""
    return [said for change in changes for said in (_scratch(change, changes), _debugger(change))
            if said]  # fmt: skip


def acting_by_itself(changes: Iterable[Change], issue: str) -> list[str]:
    """Return a sentence for each file that acts by itself and that the issue does not ask for."""
    found = []
    for change in changes:
        for path in {name: None for name in (change.new, change.old) if name}:
            trigger = trigger_of(path.encode("utf-8", "replace"))
            if trigger and not asks_for(issue, path, trigger):
                found.append(
                    f"{path} acts by itself, through {trigger.tool}, and the issue does not ask "
                    "for it. Read it before anything else."
                )
    return found


def _new_syntax_error(change: Change) -> int:
    """Return the line of an error that was not there before; 0 when there is none.

    Both readers have to agree: ours may be older than the project's Python.
    """
    try:
        parse_python(change.after)
    except SyntaxError as error:
        line = getattr(error, "lineno", None) or 1
    else:
        return 0
    errors = syntax_errors(change.after)
    return line if errors and not (change.before and syntax_errors(change.before)) else 0


def _scratch(change: Change, changes: list[Change]) -> str:
    if not change.is_new or change.new is None:
        return ""
    folder, _, name = change.new.rpartition("/")
    if _LEFTOVER.fullmatch(name):
        return f"{change.new} was left behind."
    stem = name.partition(".")[0]
    used = any(
        re.search(rf"\b{re.escape(stem)}\b", other.added_text) for other in changes
        if other is not change
    )  # fmt: skip
    if not folder and _SCRATCH.fullmatch(name) and not used:
        return f"{change.new} looks like a scratch file that was left behind."
    return ""


def _debugger(change: Change) -> str:
    if not change.python:
        found = _TEXT_DEBUGGERS.search(change.added_text)
        code = change.path.endswith((".js", ".ts", ".jsx", ".tsx", ".rb", ".rs", ".go", ".mjs"))
        return f"{change.path} calls a debugger: {found[0].strip()}." if found and code else ""
    try:
        tree = parse_python(change.after)
    except SyntaxError:
        return ""
    write_out_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.lineno in change.added:
            name = dotted(node.func)
            if name in _DEBUGGERS:
                return f"{change.path}:{node.lineno} calls a debugger: {name}."
    return ""
