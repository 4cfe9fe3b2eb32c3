"""A pytest plugin that runs inside the sandbox and writes what became of each test, as it happens.

Never imported here: `tools.testing` sends the text. It speaks the Python and pytest of the project
under repair, whatever their age, so it uses neither annotations nor anything new.
PYTEST_DONT_REWRITE: it has no assertions.
"""
# mypy: ignore-errors

import json
import os
import sys

import pytest

# Out of the environment, so that a pytest started by one of the tests knows nothing of this.
_FOLDER = os.environ.pop("REAPAIR_FOLDER", "")
_SELECTOR = os.environ.pop("REAPAIR_SELECTOR", "")
_TOP = os.environ.pop("REAPAIR_TOP", "")
_OPTIONS = os.environ.pop("REAPAIR_OPTIONS", "")


def _restore(name, value):
    if value:
        os.environ[name] = value
    else:
        os.environ.pop(name, None)


if _FOLDER:
    _restore("PYTEST_ADDOPTS", os.environ.get("PYTEST_ADDOPTS", "").replace(_OPTIONS, ""))
    _paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    _restore("PYTHONPATH", os.pathsep.join(path for path in _paths if path != _FOLDER))


def _text(value, most=20000):
    """Return text that is sound UTF-8 and not endless."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else text[: most // 2] + "\n" + text[-most // 2 :]


def _write(**entry):
    with open(os.path.join(_FOLDER, "report"), "a") as stream:
        stream.write(json.dumps(entry) + "\n")


class _Recorder:
    def __init__(self, root):
        self._root = str(root)

    def _id(self, nodeid):
        """Return the id relative to the top of the repository, wherever pytest was started."""
        path, separator, rest = nodeid.partition("::")
        full = os.path.realpath(os.path.join(self._root, path))
        return _text(os.path.relpath(full, _TOP).replace(os.sep, "/") + separator + rest)

    def pytest_collectreport(self, report):
        if report.failed:
            _write(kind="collect", id=self._id(report.nodeid), text=_text(report.longrepr))

    def pytest_runtest_logstart(self, nodeid):
        _write(kind="start", id=self._id(nodeid))

    def pytest_runtest_logreport(self, report):
        entry = {"kind": "report", "id": self._id(report.nodeid), "when": report.when}
        entry["outcome"] = report.outcome
        if report.failed:
            entry["text"] = _text(report.longrepr)
            entry["output"] = [[title, _text(text, 4000)] for title, text in report.sections]
        _write(**entry)

    def pytest_sessionfinish(self, exitstatus):
        _write(kind="end", code=int(exitstatus))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Take the selector over the command's own paths, and undo what would hide tests."""
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
    config.pluginmanager.register(_Recorder(root), "reapair-recorder")
