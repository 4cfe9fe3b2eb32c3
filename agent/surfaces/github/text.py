"""Making text of strangers harmless: nothing hidden in it, and nothing that it can set off."""

from __future__ import annotations

import re
import unicodedata

# Every repetition is bounded and gives nothing back, so that no text takes long.
_COMMENT = re.compile(r"<!--.*?(?:--!?>|\Z)", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]\n]{0,500}+)\]\(\s{0,9}+<?([^)\s>]{0,2000}+)>?[^)\n]{0,500}+\)")
_IMAGE_REFERENCE = re.compile(r"!\[([^\]\n]{0,500}+)\]\[[^\]\n]{0,200}+\]")
_IMAGE_TAG = re.compile(r"<(?:img|picture|source|video|audio)\b([^>]{0,2000}+)>", re.IGNORECASE)
_LINK_TITLE = re.compile(
    r"(\]\(\s{0,9}+<?[^)\s>]{1,2000}+>?)\s{1,9}+(?:\"[^\"\n]{0,999}+\"|'[^'\n]{0,999}+')\s{0,9}+\)"
)
_DEFINITION = re.compile(r"^ {0,3}\[//\]:.*$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"\b(?:alt|src)\s*=\s*[\"']?([^\"'>\s][^\"'>]*)", re.IGNORECASE)
# Variation selectors and tag characters: whole sentences can be written in them.
_SELECTOR = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_ROUNDS = 20
_HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def sanitised(text: str) -> str:
    """Return the text as a reader of the page sees it.

    HTML comments, invisible, bidirectional and control characters, and titles of links go; of an
    image its name stays. It is the same for the same text, and sanitising again changes nothing.
    """
    text = _visible(text.replace("\r\n", "\n").replace("\r", "\n"))
    for _ in range(_ROUNDS):  # What is taken out may leave something else to take out.
        before, text = text, _without_hidden(text)
        if before == text:
            break
    else:  # Nobody nests that deep by accident.
        text = text.replace("<", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def shortened(text: str, limit: int) -> str:
    """Return the text with at most about `limit` characters: its beginning and its end."""
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[{left_out} characters left out]\n{text[-tail:]}"


def one_line(text: str, limit: int = 200) -> str:
    """Return visible text on one line, at most `limit` characters."""
    return " ".join(sanitised(text).split())[:limit]


def fenced(text: str) -> str:
    """Return text as a code block, in which GitHub sees no mention, link, image or `closes #1`."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{_visible(text).strip()}\n{fence}"


def code(text: str, limit: int = 200) -> str:
    """Return text as code within a line, also within a table."""
    line = " ".join(_visible(text).split())[:limit]
    return "`" + line.replace("`", "'").replace("|", "¦") + "`"


def _visible(text: str) -> str:
    text = _SELECTOR.sub("", text)
    return "".join(
        c for c in text if c in "\n\t" or unicodedata.category(c) not in _HIDDEN_CATEGORIES
    )


def _without_hidden(text: str) -> str:
    text = _DEFINITION.sub("", _COMMENT.sub("", text))
    text = _IMAGE.sub(lambda m: _image(m[1] or m[2]), text)
    text = _IMAGE_REFERENCE.sub(lambda m: _image(m[1]), text)
    return _LINK_TITLE.sub(r"\1)", _IMAGE_TAG.sub(_image_tag, text))


def _image(name: str) -> str:
    name = re.sub(r"[\[\]()<>!]", "", name.rpartition("/")[2])[:80].strip()
    return f"[image: {name}]" if name else "[image]"


def _image_tag(tag: re.Match[str]) -> str:
    found = _ATTRIBUTE.search(tag[1])
    return _image(found[1] if found else "")
