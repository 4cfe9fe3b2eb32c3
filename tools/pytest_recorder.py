"""A pytest plugin that runs inside the sandbox and writes what became of each test, as it happens.

Never imported here: `tools.testing` sends the text. It speaks the Python and pytest of the project
under repair, whatever their age, so it uses neither annotations nor anything new.
"""
# mypy: ignore-errors

import json
import os

_REPORT = os.environ.get("REAPAIR_REPORT")
_SELECTOR = os.environ.get("REAPAIR_SELECTOR")


def _write(**entry):
    with open(_REPORT, "a") as stream:
        stream.write(json.dumps(entry) + "\n")


class _Recorder:
    def pytest_collectreport(self, report):
        if report.failed:
            _write(kind="collect", id=report.nodeid, text=str(report.longrepr))

    def pytest_collection_finish(self, session):
        _write(kind="collected", number=len(session.items))

    def pytest_runtest_logstart(self, nodeid):
        _write(kind="start", id=nodeid)

    def pytest_runtest_logreport(self, report):
        entry = {"kind": "report", "id": report.nodeid, "when": report.when}
        entry["outcome"] = report.outcome
        if report.failed:
            entry["text"] = str(report.longrepr)
            entry["output"] = [[title, text[-4000:]] for title, text in report.sections]
        _write(**entry)

    def pytest_sessionfinish(self, exitstatus):
        _write(kind="end", code=int(exitstatus))


def pytest_configure(config):
    """Take the selector over the command's own paths, and undo what would hide tests."""
    if hasattr(config, "workerinput") or not _REPORT:
        return
    if _SELECTOR:
        config.args[:] = [_SELECTOR]
    config.option.maxfail = 0
    config.option.tbstyle = "short"
    config.option.showlocals = False
    config.pluginmanager.register(_Recorder(), "reapair-recorder")
