"""Runs inside the sandbox as `sitecustomize` and writes down which changed lines are executed.

Never imported here: `reach` sends the text. It speaks the Python of the project under repair. It
follows subprocesses, which inherit the variables it needs.
"""
# mypy: ignore-errors
# ruff: noqa: ARG002, S102, UP004, UP031

import os
import sys
import threading

_FOLDER = os.environ.get("REAPAIR_PROBE", "")


# Kept from the beginning, because tests replace them.
_open, _put, _close = os.open, os.write, os.close
_SEEN = os.path.join(_FOLDER, "seen")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def _write(text):
    stream = _open(_SEEN, _FLAGS, 0o666)
    _put(stream, text.encode("utf-8", "replace") + b"\n")
    _close(stream)


def _targets():
    """Return the lines to look for, by the real path of their file."""
    found = {}
    with open(os.path.join(_FOLDER, "top"), encoding="utf-8") as stream:
        top = stream.read().rstrip("\n")
    with open(os.path.join(_FOLDER, "targets"), encoding="utf-8") as stream:
        for line in stream:
            numbers, _, path = line.rstrip("\n").partition(" ")
            found[os.path.realpath(os.path.join(top, path))] = {
                int(number) for number in numbers.split(",")
            }
    return found


class _Watch(object):
    def __init__(self, targets):
        self._targets = targets
        self._known = {}
        self._phase = ""
        self._traces = False
        self._names = set(map(os.path.basename, targets))
        with open(os.path.join(_FOLDER, "top")) as stream:
            self._top = os.path.realpath(stream.read().strip()) + os.sep

    def enter(self, phase):
        """Begin anew under another name: tests say when they try an input beside their own."""
        if phase != self._phase:
            self._phase, self._known = phase, {}
            monitoring = getattr(sys, "monitoring", None)
            if monitoring is not None:
                monitoring.restart_events()

    def lines(self, code):
        """Return the lines to look for in a code object's file; None for most files."""
        name = code.co_filename
        if name not in self._known:
            lines = self._targets.get(os.path.realpath(name))
            self._known[name] = lines and set(lines)
        return self._known[name]

    def hit(self, code, number):
        """Write a line down, the first time that it is executed."""
        lines = self.lines(code)
        if lines and number in lines:
            lines.discard(number)
            _write("%s|%d %s" % (self._phase, number, code.co_filename))

    def opened(self, path):
        """Write down which file's code opens a changed one."""
        name = path if isinstance(path, str) else ""
        if os.path.basename(name) not in self._names:
            return
        place = os.path.realpath(name)
        frame = sys._getframe(2)
        while frame and not os.path.realpath(frame.f_code.co_filename).startswith(self._top):
            frame = frame.f_back
        if place in self._targets and frame:
            _write(
                "open|%s %s"
                % (
                    place[len(self._top) :],
                    os.path.realpath(frame.f_code.co_filename)[len(self._top) :],
                )
            )

    def load(self, event, arguments):
        """Begin to trace when the code of a changed file is about to run; note who opens one."""
        if event == "open":
            self.opened(arguments[0])
        if event == "exec" and not self._traces and self.lines(arguments[0]):
            if getattr(sys, "monitoring", None) is not None:
                return
            self._traces = True
            threading.settrace(self.call)
            sys.settrace(self.call)

    def call(self, frame, event, argument):
        """Trace the frames of changed files only."""
        return self.line if self.lines(frame.f_code) else None

    def line(self, frame, event, argument):
        """Take one line of a changed file."""
        self.hit(frame.f_code, frame.f_lineno)
        return self.line

    def start(self):
        """Begin to watch, by the cheaper way where Python has it."""
        sys._reapair_phase = self.enter
        if hasattr(sys, "addaudithook"):
            sys.addaudithook(self.load)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            return  # Tracing slows everything down: it begins when a changed file is loaded.

        def on_line(code, number):
            self.hit(code, number)
            return monitoring.DISABLE

        monitoring.use_tool_id(4, "reapair")
        monitoring.register_callback(4, monitoring.events.LINE, on_line)
        monitoring.set_events(4, monitoring.events.LINE)


def _run_the_next():
    """Run the `sitecustomize` that this one stands before, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    places = [os.path.abspath(folder) for folder in sys.path]
    # What stands before it on the path has run already, and has led here.
    for folder in places[places.index(here) + 1 if here in places else 0 :]:
        file = os.path.join(folder, "sitecustomize.py")
        if os.path.isfile(file):
            with open(file, "rb") as stream:
                exec(compile(stream.read(), file, "exec"), {"__name__": "sitecustomize"})
            return


if _FOLDER:
    try:
        _Watch(_targets()).start()
        _write("started")
    except Exception:
        _write("broken")
    _run_the_next()
