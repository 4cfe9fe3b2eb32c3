"""Runs tests inside the sandbox so that hardly anything looks like a test run; never imported here.

Started as `python app.py` in a copy of the repository, with `plan.json` beside it. User, host, date,
folder, process arguments, environment, file and function names are others than usual, the order is
reversed, and while a test runs its runner is in no frame and no list of modules.
"""
# mypy: ignore-errors
# ruff: noqa

import datetime
import json
import os
import platform
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HIDDEN = ("pytest", "_pytest", "pluggy", "py.test", "sitecustomize")
YEAR = 366 * 86400


def disguise():
    """Change what a program may look at to know where it is."""
    for name in list(os.environ):
        if "PYTEST" in name or "REAPAIR" in name or name == "CI":
            del os.environ[name]
    os.environ.update(USER="ada", LOGNAME="ada", HOSTNAME="harbour")
    sys.argv[:] = ["app"]
    os.getuid = os.geteuid = lambda: 4217
    os.getlogin = lambda: "ada"
    os.getppid = lambda: 1
    socket.gethostname = platform.node = lambda: "harbour"
    later_clock()


def later_clock():
    now, ns = time.time, time.time_ns
    time.time, time.time_ns = (lambda: now() + YEAR), (lambda: ns() + YEAR * 10**9)
    real, day = datetime.datetime, datetime.date

    class Meta(type):
        def __instancecheck__(cls, other):
            return isinstance(other, real if cls.__name__ == "datetime" else day)

        def __subclasscheck__(cls, other):
            return issubclass(other, real if cls.__name__ == "datetime" else day)

    class Later(real, metaclass=Meta):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + datetime.timedelta(seconds=YEAR)

        @classmethod
        def utcnow(cls):
            return real.utcnow() + datetime.timedelta(seconds=YEAR)

        @classmethod
        def today(cls):
            return real.today() + datetime.timedelta(seconds=YEAR)

    class LaterDay(day, metaclass=Meta):
        @classmethod
        def today(cls):
            return day.today() + datetime.timedelta(seconds=YEAR)

    Later.__name__, LaterDay.__name__ = "datetime", "date"
    datetime.datetime, datetime.date = Later, LaterDay


def quietly(call):
    """Run a call in a thread of its own, with the runner out of sight, and raise what it raises."""
    raised = []

    def run():
        try:
            call()
        except BaseException as error:
            raised.append(error)

    hidden = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in HIDDEN}
    variables = {n: v for n, v in os.environ.items() if "PYTEST" in n}
    for name in hidden:
        del sys.modules[name]
    for name in variables:
        del os.environ[name]
    try:
        thread = threading.Thread(target=run, name="MainThread")
        thread.start()
        thread.join()
    finally:
        sys.modules.update(hidden)
        os.environ.update(variables)
    if raised:
        raise raised[0]


class Plugin(object):
    """Runs each test out of sight and keeps what became of it."""

    def __init__(self):
        self.results = {}

    def pytest_collection_modifyitems(self, items):
        items.reverse()

    def pytest_pyfunc_call(self, pyfuncitem):
        function = getattr(pyfuncitem.obj, "__func__", pyfuncitem.obj)
        code = getattr(function, "__code__", None)
        if code is None or code.co_flags & 0x380 or hasattr(pyfuncitem, "_testcase"):
            return None
        function.__code__ = code.replace(co_name="case")
        names = pyfuncitem._fixtureinfo.argnames
        given = {name: pyfuncitem.funcargs[name] for name in names}
        quietly(lambda: pyfuncitem.obj(**given))
        return True

    def pytest_runtest_logreport(self, report):
        crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
        name = report.nodeid.partition("::")[2]
        if report.failed:
            self.results[name] = ["failed", str(crash or report.longrepr)[:2000]]
        elif report.when == "call" or report.skipped:
            self.results.setdefault(name, [report.outcome, ""])


def by_pytest(files):
    import pytest

    pytest.hookimpl(tryfirst=True)(Plugin.pytest_pyfunc_call)
    plugin = Plugin()
    pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[plugin])
    return plugin.results


def by_unittest(files):
    import unittest

    results = {}

    class Result(unittest.TestResult):
        def addSuccess(self, test):
            self.keep(test, "passed", "")

        def addFailure(self, test, error):
            self.keep(test, "failed", str(error[1]))

        addError = addFailure

        def keep(self, test, outcome, text):
            name = type(test).__qualname__ + "::" + getattr(test, "_testMethodName", "?")
            results[name] = [outcome, text[:2000]]

    names = [name[:-3].replace(os.sep, ".") for name in files]
    suites = list(unittest.defaultTestLoader.loadTestsFromNames(names))
    for suite in reversed(suites):
        for group in reversed(list(suite)):
            tests = list(group) if hasattr(group, "__iter__") else [group]
            for test in reversed(tests):
                test.run(Result())
    return results


def main():
    with open(os.path.join(HERE, "plan.json")) as stream:
        plan = json.load(stream)
    os.environ.update(plan["environment"])
    sys.path[0] = os.getcwd()
    for name in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if name and os.path.abspath(name) not in sys.path:
            sys.path.insert(0, os.path.abspath(name))
    disguise()
    results = (by_unittest if plan["unittest"] else by_pytest)(plan["files"])
    with open(os.path.join(HERE, "results.json"), "w") as stream:
        json.dump(results, stream)


main()
