"""Put into a test file inside the sandbox, in front of copies of its tests; never imported here.

It speaks the Python of the project under repair.
"""
# mypy: ignore-errors
# ruff: noqa

import re as _reapair_re
import signal as _reapair_signal
import sys as _reapair_sys


class _ReapairOther(Exception):
    pass


def _reapair_altered(value, depth=0):
    """Return a value that is not equal to this one, of its type where that is known."""
    kind = type(value)
    if kind is bool:
        return not value
    if kind in (int, float, complex):
        return value * 10 + 7
    if kind is str:
        return value + "~"
    if kind is bytes:
        return value + b"~"
    if kind is list:
        return value + [_ReapairOther]
    if kind is tuple:
        return value + (_ReapairOther,)
    if kind in (set, frozenset):
        return kind(list(value) + [_ReapairOther])
    if kind is dict:
        return dict(value, **{"_reapair": _ReapairOther})
    return _ReapairOther


def _reapair_neighbours(value):
    """Return values next to this one; none for those at a border, whose neighbours differ by right."""
    kind = type(value)
    if kind in (int, float):
        if value in (-1, 0, 1):
            return []
        return [value + 1, value * 10, value - 1, value + 10, value + 100, -value, value * 2]
    if kind is bytes:
        return [each.encode("latin-1") for each in _reapair_neighbours(value.decode("latin-1"))]
    if kind is str:
        places = [place for place, letter in enumerate(value) if letter.isalnum()]
        if not value:
            return []
        found = [value + value[-1], value[0] + value]
        for place in (places or [-1])[-1], (places or [0])[0], (places or [0])[len(places) // 2]:
            found.append(value[:place] + _reapair_letter(value[place]) + value[place:][1:])
        return found + ([value[:-1], value[1:]] if len(value) > 1 else [])
    if kind in (list, tuple):
        if not value:
            return []
        found = [value + value[-1:]] + ([value[:-1]] if len(value) > 1 else [])
        for place in (0, len(value) - 1):
            for near in _reapair_neighbours(value[place])[:3]:
                found.append(value[:place] + kind([near]) + value[place + 1 :])
        return found
    if kind is dict and value:
        key = list(value)[-1]
        return (
            [dict(value, **{key: near}) for near in _reapair_neighbours(value[key])]
            if type(key) is str
            else []
        )
    return []


def _reapair_letter(letter):
    if letter.isdigit():
        return str((int(letter) + 1) % 10) if letter in "0123456789" else letter
    if letter in "zZ" or not letter.isalpha():
        return chr(ord(letter) - 1)
    return chr(ord(letter) + 1)


_reapair_seen = []


def _reapair_nudged(value, number):
    near = _reapair_neighbours(value)
    if number >= len(near):
        import unittest

        raise unittest.SkipTest("no neighbour")
    _reapair_seen.insert(0, "of " + repr(value)[:200])
    return near[number]


def _reapair_shown(value):
    try:
        return _reapair_re.sub(r"0x[0-9a-fA-F]+", "0x", repr(value))[:2000]
    except Exception as error:
        return "no repr: " + type(error).__name__


def _reapair_note(value):
    _reapair_seen.append("= " + _reapair_shown(value))


def _reapair_call(kind, function, *args, **kwargs):
    with _reapair_raised():
        function(*args, **kwargs)


class _reapair_raised(object):
    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        _reapair_seen.append("! " + (kind.__name__ + _reapair_shown(str(error)) if kind else "-"))
        skipped = kind is not None and kind.__name__ in ("SkipTest", "Skipped")
        return kind is not None and issubclass(kind, Exception) and not skipped


class _reapair_outcome(object):
    """Ends a copy with what was seen; one that runs on for ever is stopped, the next not begun."""

    late = 0

    def __enter__(self):
        del _reapair_seen[:]
        if _reapair_outcome.late > 3:
            import unittest

            raise unittest.SkipTest("inputs like this run on for ever")
        _reapair_phase("near")
        try:
            self._old = _reapair_signal.signal(_reapair_signal.SIGALRM, self._stop)
            _reapair_signal.setitimer(_reapair_signal.ITIMER_REAL, 1)
        except Exception:
            self._old = None

    def _stop(self, number, frame):
        _reapair_outcome.late += 1
        raise _ReapairOther("too long")

    def __exit__(self, kind, error, trace):
        _reapair_phase("")
        if self._old is not None:
            _reapair_signal.setitimer(_reapair_signal.ITIMER_REAL, 0)
            _reapair_signal.signal(_reapair_signal.SIGALRM, self._old)
        if kind and (kind.__name__ in ("SkipTest", "Skipped") or not issubclass(kind, Exception)):
            return False
        if kind:
            _reapair_seen.append("E " + kind.__name__ + _reapair_shown(str(error)))
        import hashlib

        text = "\n".join(_reapair_seen[1:])
        told = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
        of = _reapair_seen[0] if _reapair_seen and _reapair_seen[0][:3] == "of " else "of ?"
        way = "raises" if kind and kind is not _ReapairOther else "gives"
        raise AssertionError("reapair-outcome %s %s %s" % (way, told, of))


def _reapair_phase(name):
    """Tell the probe of lines whose input is at work from here on: the test's, or one beside it."""
    getattr(_reapair_sys, "_reapair_phase", str)(name)
