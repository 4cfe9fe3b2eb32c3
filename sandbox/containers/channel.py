"""The fast way to run commands in a container: a waiting shell that starts them.

An exec per command costs about fifty milliseconds, a line to a waiting shell two or three. The
shell runs as the same user as the commands, so a command can kill it: that ends this channel, not
the sandbox.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reapair.sandbox.command_limits import CommandLimits, Stop
from reapair.sandbox.containers.docker_exec import POLL_SECONDS, USER, ExecSocket, Outputs
from reapair.sandbox.output import HeadTail

if TYPE_CHECKING:
    from docker import APIClient

REQUEST_LIMIT = 64 * 1024
"""Bytes of command and input up to which the channel is faster than a separate exec."""

# The shell's own messages ("Killed") are discarded; commands write to the copies 3 and 4.
_OPENING = b"""exec 3>&1 4>&2 5<&0 >/dev/null 2>&1
apart=$(command -v setsid)
"""

# `kill -9 -1` kills every process of this user but the calling shell. The subshell waits for a
# line of input while the command runs, and kills without a new process: a fork bomb leaves none.
_BEFORE = """{{ ( read -r stop; kill -9 -1 ) <&5 3>&- 4>&- 5<&- &
{input}( printf {mark} >&3; printf {mark} >&4
exec $apart {command} >&3 2>&4 3>&- 4>&- 5<&- )
"""

# After `wait` the waiting subshell is gone and cannot read from the next request.
_AFTER = """code=$?; kill -9 -1; wait; kills=0
for file in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events
do [ -r $file ] && while read -r name count; do [ $name = oom_kill ] && kills=$count; done <$file
done
printf '{mark}%03d%09d' $code $kills >&3; printf '{mark}%012d' 0 >&4; }}
"""
_TRAILER = 12
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended.

    `exit_code` is None when no answer came: its limits were exceeded (`stop`), or the shell is
    gone, after the command began (`started`) or before. `oom_kills` counts since the start of the
    container.
    """

    started: bool
    exit_code: int | None = None
    oom_kills: int = 0
    stop: Stop = ""


class Channel:
    """One waiting shell in a container."""

    def __init__(self, api: APIClient, container: str, user: str = USER) -> None:
        self._stream = ExecSocket(api, container, ["/bin/sh"], {}, user)
        self._stream.send(_OPENING)

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        stdin: bytes,
        outputs: Outputs,
        limits: CommandLimits,
    ) -> Answer:
        """Run a command, end what it leaves running, and return how it ended.

        After an answer without exit code the channel is unusable: close it.
        """
        mark = secrets.token_hex(16)
        stdout, stderr = sections = [_Section(mark.encode(), output) for output in outputs]
        self._stream.send(_script(mark, argv, env, stdin))
        while not (stdout.ended and stderr.ended):
            stop = limits.stop()
            if stop:
                self._stop()
            frames = None if stop else self._stream.step(limits.left(POLL_SECONDS))
            if frames is None:
                for section in sections:
                    section.flush()
                return Answer(stdout.begun or stderr.begun, stop=stop)
            for kind, data in frames:
                sections[1 if kind == 2 else 0].feed(data)
        return Answer(True, int(stdout.trailer[:3]), int(stdout.trailer[3:]))

    def close(self) -> None:
        """Close the connection; the shell then reads its end of file."""
        self._stream.close()

    def _stop(self) -> None:
        self._stream.send(b"\n")
        end = time.monotonic() + _STOP_SECONDS
        while self._stream.step(POLL_SECONDS) is not None and time.monotonic() < end:
            pass


def fits(argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> bool:
    """Return whether a command is short enough for the channel."""
    words = [*argv, *env, *env.values()]
    return len(stdin) + sum(map(len, words)) <= REQUEST_LIMIT


def _script(mark: str, argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> bytes:
    variables = [f"{name}={value}" for name, value in env.items()]
    command = shlex.join((["env", *variables] if env else []) + list(argv))
    source = "printf %b '{}' | ".format(_escaped(stdin).decode("utf-8", "surrogateescape"))
    before = _BEFORE.format(
        mark=mark,
        input=source if stdin else "",
        command=command if stdin else f"{command} </dev/null",
    )
    return (before + _AFTER.format(mark=mark)).encode("utf-8", "surrogateescape")


def _escaped(data: bytes) -> bytes:
    """Return bytes escaped for `printf %b` between single quotes."""
    return data.replace(b"\\", b"\\\\").replace(b"\0", b"\\0000").replace(b"'", b"'\\''")


class _Section:
    """The part of a stream between two marks, passed to the output without them.

    What precedes the first mark was written by a process of the previous command just before it
    was killed.
    """

    def __init__(self, mark: bytes, output: HeadTail) -> None:
        self._mark = mark
        self._output = output
        self._pending = b""
        self.begun = False
        self.ended = False
        self.trailer = b""

    def feed(self, data: bytes) -> None:
        """Add the next piece of the stream."""
        self._pending += data
        if not self.begun:
            _, mark, after = self._pending.partition(self._mark)
            self.begun = bool(mark)
            self._pending = after if mark else self._pending[-len(self._mark) :]
        if self.begun and not self.ended:
            end = self._pending.rfind(self._mark)
            start = end + len(self._mark)
            if end >= 0 and len(self._pending) >= start + _TRAILER:
                self._output.feed(self._pending[:end])
                self.trailer = self._pending[start : start + _TRAILER]
                self.ended = True
            else:
                self._pass_on(keep=len(self._mark) + _TRAILER)

    def flush(self) -> None:
        """Pass on what was held back, because the end mark will not come."""
        if self.begun and not self.ended:
            self._pass_on(keep=0)

    def _pass_on(self, keep: int) -> None:
        cut = max(0, len(self._pending) - keep)
        self._output.feed(self._pending[:cut])
        self._pending = self._pending[cut:]
