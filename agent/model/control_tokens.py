"""Breaks up the chat template's control strings in untrusted text, reversibly.

Message content is inserted into the prompt verbatim and tokenised with control tokens enabled, so a
file that holds `<|user|>` would forge a turn. `encode` puts a mark behind the opening character:
the model is shown `<~|user|>`, and `<~~|user|>` for a file that already holds `<~|user|>`. That
rule makes `decode(encode(text)) == text` hold for every text.
"""

from __future__ import annotations

import re
from typing import Any

MARK = "~"

_TAGS = "think|tool_call|tool_response|arg_key|arg_value|tools|sop|eop"
_FORMS = {
    "<": rf"(?:\|[A-Za-z0-9_-]+\|>|/?(?:{_TAGS})>)",
    r"\[": r"[gs]?MASK\]",
    "/": "nothink",
}


def _pattern(marks: str, ahead: str) -> re.Pattern[str]:
    """Match an opening character and `marks` where `ahead` and a control string's rest follow."""
    return re.compile(
        "|".join(f"{first}{marks}(?={ahead}{rest})" for first, rest in _FORMS.items())
    )


_WITH_ANY_MARKS = _pattern("", f"{MARK}*")
_WITH_MARKS = _pattern(MARK, f"{MARK}*")
_WITHOUT_MARKS = _pattern("", "")


def encode(text: str) -> str:
    """Return untrusted text in a form that tokenises to no control token. Undone by `decode`."""
    return _WITH_ANY_MARKS.sub(lambda match: match[0] + MARK, text)


def decode(text: str) -> str:
    """Undo `encode` in what the model wrote. Control strings without a mark stay as they are."""
    return _WITH_MARKS.sub(lambda match: match[0][0], text)


def decode_values(value: Any) -> Any:
    """Decode every string in a JSON value; keys stay."""
    if isinstance(value, str):
        return decode(value)
    if isinstance(value, list):
        return [decode_values(item) for item in value]
    if isinstance(value, dict):
        return {key: decode_values(item) for key, item in value.items()}
    return value


def shield(text: str) -> str:
    """Break up bare control strings in the model's own text and leave encoded ones alone.

    A model that spells `<|user|>` in ordinary tokens must not find a control token there when its
    message is sent back; what it copied from an encoded text is already broken up.
    """
    return _WITHOUT_MARKS.sub(lambda match: match[0] + MARK, text)


def shield_values(value: Any) -> Any:
    """Shield every string in a JSON value, keys too."""
    if isinstance(value, str):
        return shield(value)
    if isinstance(value, list):
        return [shield_values(item) for item in value]
    if isinstance(value, dict):
        return {shield(key): shield_values(item) for key, item in value.items()}
    return value
