"""Going round in circles: inside one answer, and from one call to the next."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

SHORTEST_PATTERN = 20
LONGEST_PATTERN = 200
REPEATS = 8


class RepetitionDetector:
    """Notices a text that ends in a pattern of 20 to 200 characters, repeated eight times.

    Works on the last 1,600 characters, and only each time that the text has grown by 400, so the
    time is linear in the length of the text. Of a piece longer than any model writes, only the end
    is looked at: nothing can end a run meanwhile.
    """

    _WINDOW = LONGEST_PATTERN * REPEATS
    _STRIDE = 400
    _LARGEST = 200_000

    def __init__(self) -> None:
        self._tail = ""
        self._unchecked = 0

    def feed(self, text: str) -> str:
        """Take the next piece of the text; return the repeated pattern, or an empty string."""
        found, text = "", text[-self._LARGEST :]
        for start in range(0, len(text), self._STRIDE):
            piece = text[start : start + self._STRIDE]
            self._tail = (self._tail + piece)[-self._WINDOW :]
            self._unchecked += len(piece)
            if self._unchecked >= self._STRIDE:
                self._unchecked = 0
                found = found or self._pattern()
        return found

    def _pattern(self) -> str:
        tail = self._tail
        for size in range(SHORTEST_PATTERN, min(LONGEST_PATTERN, len(tail) // REPEATS) + 1):
            # A text of period `size` equals itself moved by `size`.
            span = size * REPEATS
            if tail[-span + size :] == tail[-span:-size]:
                pattern = tail[-size:]
                # A ruler of dashes or a gap of blanks is no loop, unless it fills the whole window.
                if len(set(pattern)) > 2 or tail.count(pattern) >= self._WINDOW // size:
                    return pattern
        return ""


class LoopGuard:
    """Counts calls by what they do and warns; it never refuses one.

    Forced breaking of loops lowered the share of solved issues where it was measured, so a warning
    in the result is all a model gets; `exhausted` lets the loop cut turns from the history, and
    `hopeless`, when that has not helped and the tree is still the same, ends the run.
    """

    _SAME_RESULT = 3
    _SAME_KIND = 6
    _SAME_VIEW = 4
    _END = 6
    _HOPELESS = 9

    def __init__(self) -> None:
        self._identical: Counter[str] = Counter()
        self._unchanged: Counter[str] = Counter()
        self._tree = 0
        self._kinds: Counter[str] = Counter()
        self.exhausted = False

    def note(self, name: str, arguments: dict[str, Any], observation: str) -> str | None:
        """Count a call that was made; return a warning to put into its result, or None."""
        if name == "edit":
            self._kinds.clear()  # after a change, looking again is work and no loop
        self._unchanged[json.dumps([name, arguments], sort_keys=True)] += 1
        exact = json.dumps([name, arguments, observation], sort_keys=True, ensure_ascii=False)
        self._identical[exact] += 1
        same = self._identical[exact]
        self.exhausted = same >= self._END
        if same >= self._SAME_RESULT:
            return (
                f"This same call has now given this same result {same} times. It will not give "
                "another one: do something else."
            )
        kind = base_command(name, arguments)
        self._kinds[kind] += 1
        limit = self._SAME_VIEW if name == "read" else self._SAME_KIND
        if self._kinds[kind] >= limit and self._kinds[kind] % 2 == limit % 2:
            return (
                f"{kind} was called {self._kinds[kind]} times since the last edit. If what you "
                "need is there, act on it; else search for it in another way."
            )
        return None

    def hopeless(self, tree: int) -> bool:
        """Return whether one call was made again and again while the tree stayed the same.

        Args:
            tree: another number for each change of the tree.
        """
        if tree != self._tree:
            self._unchanged.clear()
        self._tree = tree
        return max(self._unchanged.values(), default=0) >= self._HOPELESS

    def forget(self) -> None:
        """Start counting anew, after the loop was cut from the history."""
        self._identical.clear()
        self._kinds.clear()
        self.exhausted = False


def base_command(name: str, arguments: dict[str, Any]) -> str:
    """Return what a call does, without the details that vary between repeats."""
    if name == "bash":
        command = str(arguments.get("command", ""))
        # `cd somewhere && X=1 grep …` is a grep.
        steps = [step for step in re.split(r"&&|;|\n", command) if step.strip()]
        doing = [step for step in steps if step.split()[0] != "cd"] or steps
        words = [word for word in (doing[0].split() if doing else []) if "=" not in word]
        return f"bash {words[0]}" if words else "bash"
    if name == "read":
        return f"read {arguments.get('path', '')}"
    return name
