"""The tool `bash`: any command, without network and without input."""

from __future__ import annotations

import re

from pydantic import Field

from reapair.sandbox.base import WORKSPACE, ExecResult, Sandbox, SandboxError
from reapair.tools.base import Observation, Parameters, Tool, ToolError
from reapair.tools.observation import clip, plain, stable

DEFAULT_TIMEOUT = 60
MOST_SECONDS = 1800

_MARK = b"\x1e"  # the ASCII record separator, which programs do not print
_PRELUDE = (
    "exec 2>&1; __top=$PWD; "
    '__end() { __code=$?; __at=${PWD#"$__top"}; printf "\\036%s" "${__at#/}"; exit $__code; }; '
    "trap __end EXIT\n"
)
_NETWORK = re.compile(
    r"Could not resolve host|[Nn]ame resolution|Network is unreachable|getaddrinfo|NameResolution"
    r"|Name or service not known|Failed to establish a new connection"
)
_INTERACTIVE = re.compile(
    r"^[ \t]*(?:vim?|nano|emacs|less|more|top|htop|man|gdb|ipython|python3?|node|irb|bash|sh)"
    r"[ \t]*$|\bgit\s+(?:rebase\s+-i|add\s+-[ip]|commit[ \t]*$)|\bpdb\b|\btail\s+-[fF]\b",
    re.MULTILINE,
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
        """Run the command in the sandbox, both streams as one. Raises SandboxError."""
        command = arguments.command.replace("\r\n", "\n")
        if not command.strip():
            raise ToolError("command is empty.")
        seconds = min(max(arguments.timeout or DEFAULT_TIMEOUT, 1), MOST_SECONDS)
        result = sandbox.exec(f"{_PRELUDE}{command}\n", timeout=seconds)
        if result.died:
            raise SandboxError("The sandbox ended while a command ran in it.")
        output, folder = _split(result)
        shown = stable(clip(output)) or "(no output)"
        notes = [_ending(result, seconds), *_hints(command, output, result, folder)]
        return Observation(
            "\n".join([shown, *notes]),
            ok=result.ok,
            data={"exit_code": result.exit_code, "timed_out": result.timed_out},
        )


def _split(result: ExecResult) -> tuple[str, str]:
    """Return the output, and the folder below the root that the command ended in."""
    output, mark, folder = result.stdout.rpartition(_MARK)
    text = plain((output if mark else folder) + result.stderr).strip("\n")
    # Bash counts our line too when it tells where an error is.
    text = re.sub(
        r"^((?:\S*/)?bash: (?:-c: )?line )(\d+)(?=:)",
        lambda match: f"{match.group(1)}{int(match.group(2)) - 1}",
        text,
        flags=re.MULTILINE,
    )
    return text, plain(folder) if mark else ""


def _ending(result: ExecResult, seconds: int) -> str:
    if result.timed_out:
        return f"[ended after {seconds} seconds, with everything it had started]"
    if result.oom:
        return f"[exit code {result.exit_code}; something was killed for using too much memory]"
    return f"[exit code {result.exit_code}]"


def _hints(command: str, output: str, result: ExecResult, folder: str) -> list[str]:
    hints = []
    if result.dropped:
        hints.append("[the output was too long to keep: print less of it, or use search]")
    if folder:
        hints.append(f"[ended in {folder}; the next call starts in {WORKSPACE} again]")
    if _INTERACTIVE.search(command) and (not result.ok or not output):
        hints.append("[nothing can be typed in here: give the command all it needs at once]")
    elif result.timed_out:
        hints.append("[if it needs more time, set timeout; servers and watchers cannot be used]")
    if not result.ok and _NETWORK.search(output):
        hints.append("[there is no network: work with what is installed]")
    return hints
