"""Plain unified diffs, as `diff -u` and many harnesses write them, headed as git heads its own."""

from __future__ import annotations

import re

_FILE = re.compile(
    rb"^--- (?P<old>[^\n\t]+)(?:\t[^\n]*)?\n\+\+\+ (?P<new>[^\n\t]+)(?:\t[^\n]*)?\n(?=@@ -)", re.M
)
_NOTHING = b"/dev/null"


def with_git_headers(patch: bytes) -> bytes:
    """Return the patch as git would write it; one that git wrote is returned as it is."""
    if re.search(rb"^diff --git ", patch, re.M):
        return patch
    return _FILE.sub(_headed, patch)


def _headed(found: re.Match[bytes]) -> bytes:
    old, new = found["old"].rstrip(), found["new"].rstrip()
    name = (new if old == _NOTHING else old).partition(b"/")[2]
    mode = b""
    if old == _NOTHING:
        mode = b"new file mode 100644\n"
    elif new == _NOTHING:
        mode = b"deleted file mode 100644\n"
    return b"diff --git a/%s b/%s\n%s--- %s\n+++ %s\n" % (name, name, mode, old, new)
