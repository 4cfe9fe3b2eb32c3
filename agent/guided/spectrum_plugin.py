"""A pytest plugin that runs inside the sandbox and writes down what each test executes.

Never imported here: `recording` sends the text. It speaks the Python and pytest of the project
under repair, whatever their age, so it uses neither annotations nor anything new.
PYTEST_DONT_REWRITE: it has no assertions.
"""
# mypy: ignore-errors
# ruff: noqa: ARG002, S110, UP004, UP031

import json
import os
import sys
import threading

import pytest

_FOLDER = os.environ.pop("REAPAIR_SPECTRUM", "")
_TOP = os.path.realpath(os.environ.get("REAPAIR_TOP") or os.getcwd())
_LINES = 3000  # of one function in one test; a loop says no more after that
_MOST = 48 * 1024 * 1024  # bytes in all
_LATEST = 40  # functions, by when they were entered last
_CALLS = 3  # of one function in one test
_WIDTH = 400  # characters of one value
_NAME = "reapair_spectrum"


def _without(name, part, separator):
    kept = [each for each in os.environ.get(name, "").split(separator) if each != part]
    os.environ[name] = separator.join(kept)
    if not os.environ[name].strip():
        del os.environ[name]


if _FOLDER:
    # Out of the environment, so that a pytest started by one of the tests knows nothing of this.
    _without("PYTHONPATH", _FOLDER, os.pathsep)
    _ADDED = "-p %s" % _NAME
    os.environ["PYTEST_ADDOPTS"] = os.environ.get("PYTEST_ADDOPTS", "").replace(_ADDED, "")
    with open(os.path.join(_FOLDER, "task")) as _stream:
        _TASK = json.load(_stream)
    # Opened once, because tests replace `open`.
    _OUT = os.open(os.path.join(_FOLDER, "seen"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


class _Writer(object):
    def __init__(self):
        self._left = _MOST
        self._put = os.write
        self._dump = json.dumps

    def write(self, entry):
        data = (self._dump(entry) + "\n").encode("utf-8", "replace")
        self._left -= len(data)
        if self._left > 0:
            while data:
                data = data[self._put(_OUT, data) :]


class _Files(object):
    """Which files are the repository's, by the names that code objects have."""

    def __init__(self, top):
        self._top = top + os.sep
        self._known = {}
        self._real = os.path.realpath

    def path(self, name):
        known = self._known.get(name)
        if known is None:
            try:
                full = "" if name.startswith("<") else self._real(name)
            except Exception:
                full = ""
            inside = full.startswith(self._top) and "site-packages" not in full
            known = self._known[name] = full[len(self._top) :] if inside else ""
        return known


class _Lines(object):
    """The executed lines of functions in the repository."""

    def __init__(self, files):
        self._files = files
        self.begin()

    def begin(self):
        self._seen, self._left, self._last, self._count = {}, {}, {}, 0

    def call(self, frame, event, argument):
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            # Bodies of modules and classes run on import, and say nothing of a test.
            wanted = code.co_flags & 1 and self._files.path(code.co_filename)
            left = self._left[code] = _LINES if wanted else 0
            if wanted:
                self._seen[code] = set()
        if code in self._seen:
            self._count += 1
            self._last[code] = self._count
        return self.line if left > 0 else None

    def line(self, frame, event, argument):
        code = frame.f_code
        if event == "line":
            left = self._left.get(code, 0)
            if left <= 0:
                return None
            self._left[code] = left - 1
            self._seen[code].add(frame.f_lineno)
        return self.line

    def result(self):
        found = {}
        for code, lines in self._seen.items():
            found.setdefault(self._files.path(code.co_filename), set()).update(lines)
        seen = {path: sorted(lines) for path, lines in found.items() if lines}
        latest = sorted(self._last, key=self._last.get, reverse=True)
        order = [[self._files.path(code.co_filename), code.co_firstlineno] for code in latest]
        return {"seen": seen, "latest": order[:_LATEST]}


def _shown(value, depth=3):
    """Return a value as text without running code of the project."""
    kind = type(value)
    if value is None or kind in (bool, int, float, complex):
        return repr(value)[:_WIDTH]
    if kind in (str, bytes):
        short = value[:_WIDTH]
        return repr(short) + ("..." if len(value) > len(short) else "")
    if depth <= 0:
        return "..."
    if kind in (list, tuple, set, frozenset):
        inner = [_shown(each, depth - 1) for each in list(value)[:20]]
        inner += ["..."] * (len(value) > 20)
        first, last = {list: "[]", tuple: "()"}.get(kind, "{}")
        return first + ", ".join(inner) + ("," if kind is tuple and len(value) == 1 else "") + last
    if kind is dict:
        pairs = list(value.items())[:20]
        inner = [_shown(key, 1) + ": " + _shown(each, depth - 1) for key, each in pairs]
        return "{" + ", ".join(inner + ["..."] * (len(value) > 20)) + "}"
    if kind in (type, type(len), type(_shown)):
        return getattr(value, "__name__", "?")
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    pairs = ["%s=%s" % (name, _shown(each, depth - 2)) for name, each in list(own.items())[:8]]
    return "%s(%s)" % (kind.__name__, ", ".join(pairs))


def _safely(value):
    try:
        return _shown(value)[:_WIDTH]
    except Exception:
        return "<%s>" % type(value).__name__


class _Values(object):
    """What some functions are called with, and what they return."""

    def __init__(self, files, wanted):
        self._files = files
        self._wanted = {(path, line) for path, line in wanted}
        self._known = {}
        self.begin()

    def begin(self):
        self._calls, self._open = {}, {}

    def call(self, frame, event, argument):
        code = frame.f_code
        key = self._known.get(code)
        if key is None:
            key = (self._files.path(code.co_filename), code.co_firstlineno)
            key = self._known[code] = key if key in self._wanted else ()
        if not key:
            return None
        calls = self._calls.setdefault(key, [])
        if len(calls) >= _CALLS:
            return None
        count = code.co_argcount + getattr(code, "co_kwonlyargcount", 0)
        count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
        names = [name for name in code.co_varnames[:count] if name in frame.f_locals]
        entry = {"path": key[0], "line": key[1]}
        entry["arguments"] = [[name, _safely(frame.f_locals[name])] for name in names]
        calls.append(entry)
        self._open[frame] = entry
        frame.f_trace_lines = False
        return self.inside

    def inside(self, frame, event, argument):
        entry = self._open.get(frame)
        if entry is None:
            return self.inside
        if event == "exception":
            entry["raised"] = "%s: %s" % (argument[0].__name__, _safely(argument[1].args))
        elif event == "return":
            if argument is not None or "raised" not in entry:
                entry["returned"] = _safely(argument)
                entry.pop("raised", None)
            self._open.pop(frame, None)
        return self.inside

    def result(self):
        return {"calls": [entry for calls in self._calls.values() for entry in calls]}


class _Spectrum(object):
    def __init__(self, root):
        self._root = str(root)
        files = _Files(_TOP)
        self._watch = _Values(files, _TASK) if _TASK else _Lines(files)
        self._writer = _Writer()
        self._real, self._relative = os.path.realpath, os.path.relpath

    def _id(self, nodeid):
        """Return the id relative to the top of the repository, wherever pytest was started."""
        path, separator, rest = nodeid.partition("::")
        full = self._real(os.path.join(self._root, path))
        return self._relative(full, _TOP).replace(os.sep, "/") + separator + rest

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_call(self):
        yield
        self._stop()  # What tells of a failure runs code of the project as well.

    def _stop(self):
        sys.settrace(self._before)
        threading.settrace(self._before)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        self._watch.begin()
        self._before = sys.gettrace()
        threading.settrace(self._watch.call)
        sys.settrace(self._watch.call)
        try:
            yield
        finally:
            self._stop()
            try:
                entry = self._watch.result()
                entry["test"] = self._id(item.nodeid)
                self._writer.write(entry)
            except Exception:
                pass


@pytest.hookimpl
def pytest_configure(config):
    """Begin to watch."""
    if _FOLDER and not hasattr(sys, "_reapair_spectrum"):
        sys._reapair_spectrum = True
        root = getattr(config, "rootdir", None) or os.getcwd()
        config.pluginmanager.register(_Spectrum(root), "reapair-spectrum-recorder")
