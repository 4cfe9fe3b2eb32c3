"""Runs inside the sandbox beside the tests and writes the outcome of each one as it happens.

The harness never imports it: `test_runner` sends the text, which is stored under two names.
`reapair_recorder` is a pytest plugin; `sitecustomize`, which Python imports at start-up, observes
unittest in whatever program runs it (`python -m unittest`, Django's and nose2's runners, scripts).

Tests replace `open`, `json.dumps` or `os.path` and close file descriptors, and hooks run while they
do so. What a hook needs is therefore bound before the first test, and no exception leaves a hook.
The file has to run on the project's own Python and pytest, whatever their age: no annotations, no
new syntax. PYTEST_DONT_REWRITE: it has no assertions.
"""
# mypy: ignore-errors

import os
import sys

_NAMES = ("REAPAIR_FOLDER", "REAPAIR_SELECTOR", "REAPAIR_TOP", "REAPAIR_OPTIONS")
_FOLDER, _SELECTOR, _TOP, _OPTIONS = [os.environ.get(name, "") for name in _NAMES]
_REPORT = os.path.join(_FOLDER, "report")

_open, _fstat, _os_write = os.open, os.fstat, os.write
_relpath, _realpath, _join = os.path.relpath, os.path.realpath, os.path.join
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


def _restore(name, value):
    if value:
        os.environ[name] = value
    else:
        os.environ.pop(name, None)


def _leave_environment():
    """Remove our variables, so that programs started by the tests are not recorded."""
    for name in _NAMES:
        os.environ.pop(name, None)
    _restore("PYTEST_ADDOPTS", os.environ.get("PYTEST_ADDOPTS", "").replace(_OPTIONS, ""))
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    _restore("PYTHONPATH", os.pathsep.join(path for path in paths if path != _FOLDER))


def _quiet(hook):
    """Return the hook without its exceptions: a failure to record must not change the run."""

    def run(*args, **kwargs):
        try:
            return hook(*args, **kwargs)
        except Exception:
            return None

    return run


def _text(value, most=20000):
    """Return valid Unicode text of bounded length."""
    try:
        text = str(value).encode("utf-8", "replace").decode("utf-8")
    except Exception:
        text = "(the text of this failure cannot be shown)"
    return text if len(text) <= most else text[: most // 2] + "\n" + text[-most // 2 :]


class _Report:
    """The report file, open before the first test; opened again where a test closed it."""

    def __init__(self):
        self._descriptor = None

    def _usable(self):
        try:
            found = _fstat(self._descriptor)
        except Exception:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def open(self):
        # Not at the top, because every Python that a build starts imports this file.
        from json import JSONEncoder

        self._encode = getattr(self, "_encode", None) or JSONEncoder().encode
        self._descriptor = _open(_REPORT, _FLAGS, 0o644)
        found = _fstat(self._descriptor)
        self._identity = (found.st_dev, found.st_ino)

    def write(self, **entry):
        if not self._usable():
            self.open()
        _os_write(self._descriptor, (self._encode(entry) + "\n").encode("ascii"))


_report = _Report()
_write = _quiet(_report.write)


# pytest


class _Recorder:
    def __init__(self, root):
        self._root = str(root)
        self._paths = {}

    def _id(self, nodeid):
        """Return the id relative to the top of the repository, wherever pytest was started."""
        path, separator, rest = nodeid.partition("::")
        if path not in self._paths:
            full = _realpath(_join(self._root, path))
            self._paths[path] = _relpath(full, _TOP).replace(os.sep, "/")
        return _text(self._paths[path] + separator + rest)

    @_quiet
    def pytest_itemcollected(self, item):
        self._id(item.nodeid)  # Resolved before a test can replace what this needs.

    def pytest_collectreport(self, report):
        self._take("collect", report)

    def pytest_runtest_logstart(self, nodeid):
        self._start(nodeid)

    def pytest_runtest_logreport(self, report):
        self._take("report", report)

    def pytest_sessionfinish(self, exitstatus):
        self._finish(exitstatus)

    @_quiet
    def _start(self, nodeid):
        _write(kind="start", id=self._id(nodeid))

    @_quiet
    def _finish(self, exitstatus):
        _write(kind="end", code=int(exitstatus))

    @_quiet
    def _take(self, kind, report):
        if kind == "collect":
            if report.failed:
                _write(kind=kind, id=self._id(report.nodeid), text=_text(report.longrepr))
            return
        entry = {"kind": kind, "id": self._id(report.nodeid), "when": report.when}
        entry["outcome"] = report.outcome
        if report.failed:
            entry["text"] = _text(report.longrepr)
            entry["output"] = [[title, _text(text, 4000)] for title, text in report.sections]
        _write(**entry)


def pytest_configure(config):
    """Apply the selector instead of the command's own paths, and undo what would hide tests."""
    if not _FOLDER or hasattr(config, "workerinput") or hasattr(sys, "_reapair_recorder"):
        return
    sys._reapair_recorder = True
    if _SELECTOR:
        config.args[:] = [os.path.join(_TOP, _SELECTOR)]
        config.option.dist = "no"  # workers of pytest-xdist would take the command's own paths
    own = [str(word) for word in getattr(getattr(config, "invocation_params", None), "args", ())]
    if not any(word.startswith("-k") for word in own):
        config.option.keyword = ""  # it stood in the settings, not in the user's command
    if not any(word.startswith("--co") for word in own):
        config.option.collectonly = False
    config.option.stepwise = False
    config.option.maxfail = 0
    config.option.continue_on_collection_errors = True
    config.option.tbstyle = "short"
    config.option.showlocals = False
    root = getattr(config, "rootdir", None) or os.getcwd()
    _quiet(_report.open)()
    config.pluginmanager.register(_Recorder(root), "reapair-recorder")


# unittest


class _Observer:
    """Wraps the methods of result objects, so that every runner and result class is covered."""

    def __init__(self):
        from traceback import format_exception

        self._format = format_exception
        self._current = None
        self._begun = False

    def attach(self, result):
        """Record what is reported to this result; a run inside of a test has one of its own."""
        if result is None or hasattr(sys, "_reapair_recorder"):
            return
        if self._current is not None or getattr(result, "_reapair_attached", False):
            return
        if type(result).__module__.startswith("_pytest"):
            return
        if not self._begun:
            self._begun = True
            _leave_environment()
            _quiet(_report.open)()
        try:
            result._reapair_attached = True
            for name in (*_PHASES, "startTest", "addError", "addSubTest"):
                if hasattr(result, name):
                    setattr(result, name, self._wrapped(result, name))
        except AttributeError:
            return

    def _wrapped(self, result, name):
        method = getattr(result, name)

        def report(test, *args, **kwargs):
            if self._current in (None, result):
                if name in ("startTest", "stopTest"):
                    self._current = result if name == "startTest" else None
                self._record(name, test, args)
            return method(test, *args, **kwargs)

        return report

    @_quiet
    def _record(self, name, test, args):
        test_id = _unittest_id(test)
        if name == "startTest":
            return _write(kind="start", id=test_id)
        if name == "addError" and type(test).__name__ == "_FailedTest":
            return _write(kind="collect", id=test_id, text=self._traceback(args))
        if name == "addSubTest":
            if len(args) < 2 or args[1] is None:
                return None
            args = args[1:]
            failed = issubclass(args[0][0], getattr(test, "failureException", AssertionError))
            name = "addFailure" if failed else "addError"
        # As in pytest's reports, a failure outside of the test's own checks is an error.
        when, outcome = _PHASES.get(name, ("setup", "failed"))
        entry = {"kind": "report", "id": test_id, "when": when, "outcome": outcome}
        if outcome == "failed":
            entry["text"] = self._traceback(args)
        return _write(**entry)

    def _traceback(self, args):
        if args and isinstance(args[0], tuple):
            return _text("".join(self._format(*args[0])))
        return "It passed, although a failure is expected of it."


_PHASES = {
    "addSuccess": ("call", "passed"),
    "addFailure": ("call", "failed"),
    "addSkip": ("call", "skipped"),
    "addExpectedFailure": ("call", "skipped"),
    "addUnexpectedSuccess": ("call", "failed"),
    "stopTest": ("teardown", "passed"),
}


def _unittest_id(test):
    """Return the dotted id; `setUpClass (package.Class)` is turned round as for a method."""
    name, _, place = str(test.id()).partition(" (")
    return _text(place[:-1] + "." + name if place.endswith(")") else name)


def _is_selected(test):
    """Return whether the selector, a path with or without a name or a dotted id, names a test."""
    path, _, name = _SELECTOR.partition("::")
    dotted = _unittest_id(test)
    if not path.endswith(".py") and os.sep not in path:
        return dotted == path or dotted.startswith(path + ".")
    module = sys.modules.get(type(test).__module__)
    inside = _relpath(_realpath(getattr(module, "__file__", "") or ""), _realpath(_TOP))
    if path.endswith(".py"):
        own = ".".join([type(test).__qualname__, getattr(test, "_testMethodName", "")])
        wanted = name.replace("::", ".")
        return inside == path and (own + ".").startswith(wanted + "." if wanted else "")
    return inside.startswith(path.rstrip(os.sep) + os.sep)


def _prune(suite):
    """Remove the tests that are not selected; those that could not be loaded stay."""
    kept = []
    for test in getattr(suite, "_tests", ()):
        if hasattr(test, "_tests"):
            _prune(test)
            kept.append(test)
        elif type(test).__name__ == "_FailedTest" or _is_selected(test):
            kept.append(test)
    suite._tests = kept


def _observe(unittest):
    """Let every run of a unittest test or suite attach the observer to its result."""
    observer = _Observer()

    def wrap(owner, prepare):
        original = owner.run

        def run(self, result=None, *args, **kwargs):
            prepare(self, result)
            return original(self, result, *args, **kwargs)

        owner.run = run

    @_quiet
    def before_suite(suite, result):
        observer.attach(result)
        if _SELECTOR and getattr(result, "_reapair_attached", False):
            _prune(suite)

    wrap(unittest.TestSuite, before_suite)
    wrap(unittest.TestCase, lambda _, result: _quiet(observer.attach)(result))


class _WhenImported:
    """A finder that finds nothing itself and observes `unittest` once it has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "unittest":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        for finder in others:
            spec = getattr(finder, "find_spec", lambda *_: None)(name, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader):
        original = loader.exec_module

        def exec_module(module):
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            original(module)
            _quiet(_observe)(module)

        loader.exec_module = exec_module


def _run_next_sitecustomize():
    """Run the module of this name that would have been imported without us."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    paths = [path for path in sys.path if _realpath(path) != _realpath(_FOLDER)]
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize" and _FOLDER:
    if "unittest" in sys.modules:
        _quiet(_observe)(sys.modules["unittest"])
    else:
        sys.meta_path.insert(0, _WhenImported())
    _run_next_sitecustomize()
elif _FOLDER:
    _leave_environment()
