"""The tool `bash`: any command, without network and without input."""

from __future__ import annotations

import re

from pydantic import Field

from reapair.sandbox.base import WORKSPACE, ExecResult, Sandbox
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.observation import clip, stable

DEFAULT_TIMEOUT = 60
MOST_SECONDS = 1800

_MARK = "\x1e"  # the ASCII record separator: no program prints it by accident
_NETWORK = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Network is unreachable"
    r"|Name or service not known|Failed to establish a new connection|getaddrinfo"
)
_INTERACTIVE = re.compile(
    r"^\s*(?:vim?|nano|emacs|less|more|top|htop|man|gdb|ipython|python3?|node|irb|bash|sh)\s*$"
    r"|\bgit\s+(?:rebase\s+-i|add\s+-[ip]|commit\s*$)|\bpdb\b|\btail\s+-[fF]\b"
)


class BashParameters(Parameters):
    """What `bash` takes."""

    command: str = Field(description="Command or script for bash.")
    timeout: int | None = Field(
        None, description=f"Seconds after which it is ended. Default {DEFAULT_TIMEOUT}."
    )


class Bash(Tool[BashParameters]):
    """Runs a command."""

    name = "bash"
    description = (
        f"Run a bash command. Every call starts anew in {WORKSPACE}, the repository root: only "
        "files persist. No input, no network. Shows the output and the exit code."
    )
    parameters = BashParameters

    def run(self, arguments: BashParameters, sandbox: Sandbox) -> Observation:
        """Run the command in the sandbox."""
        if not arguments.command.strip():
            raise ToolError("command is empty.")
        seconds = min(max(arguments.timeout or DEFAULT_TIMEOUT, 1), MOST_SECONDS)
        result = sandbox.exec(_script(arguments.command), timeout=seconds)
        output, _, folder = (
            result.text.rpartition(_MARK) if _MARK in result.text else (result.text, "", "")
        )
        shown = stable(clip(output.replace("\r\n", "\n").rstrip("\n"))) or "(no output)"
        notes = [_ending(result, seconds), *_hints(arguments.command, output, result, folder)]
        return Observation(
            "\n".join([shown, *notes]),
            ok=result.ok,
            data={"exit_code": result.exit_code, "timed_out": result.timed_out},
        )


def _script(command: str) -> str:
    """Interleave both streams, and tell at the very end which directory the command ended in."""
    return (
        "exec 2>&1\n__top=$PWD\n"
        '__told() { __code=$?; __at=${PWD#"$__top"}; '
        f"printf '\\036%s' \"${{__at#/}}\"; exit $__code; }}\ntrap __told EXIT\n{command}\n"
    )


def _ending(result: ExecResult, seconds: int) -> str:
    if result.timed_out:
        return f"[ended after {seconds} seconds, with everything it had started]"
    if result.oom:
        return f"[exit code {result.exit_code}; something was killed for using too much memory]"
    return f"[exit code {result.exit_code}]"


def _hints(command: str, output: str, result: ExecResult, folder: str) -> list[str]:
    hints = []
    if result.dropped:
        hints.append(f"[{result.dropped} bytes of output were left out: print less, or use search]")
    if folder:
        hints.append(f"[ended in {folder}; the next call starts in {WORKSPACE} again]")
    if not result.ok and _INTERACTIVE.search(command):
        hints.append("[nothing can be typed in here: give the command all it needs, or a script]")
    elif result.timed_out:
        hints.append("[if it needs more time, set timeout; servers and watchers cannot be used]")
    if not result.ok and _NETWORK.search(output):
        hints.append("[there is no network: work with what is installed]")
    return hints
