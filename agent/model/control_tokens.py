"""Breaks up the chat template's control strings in untrusted text, reversibly.

Message content is inserted into the prompt verbatim and tokenised with control tokens enabled, so a
file that holds `<|user|>` would forge a turn. `encode` puts a mark behind the opening character:
the model is shown `<~|user|>`, and `<~~|user|>` for a file that already holds `<~|user|>`. That
rule makes `decode(encode(text)) == text` hold for every text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MARK = "~"

_TAGS = """
think tool_call tool_calls tool_response tool_responses tool_result arg_key arg_value tools sop eop
s unk pad bos eos mask cls sep start_of_turn end_of_turn start_of_image end_of_image
image_soft_token start_function_call end_function_call start_function_response
end_function_response start_function_declaration end_function_declaration escape function_calls
function_results minimax:tool_call longcat_tool_call longcat_s longcat_system longcat_user
longcat_assistant BOS_TOKEN EOS_TOKEN PAD_TOKEN UNK_TOKEN fim_prefix fim_middle fim_suffix fim_pad
repo_name reponame file_sep filename gh_stars jupyter_start jupyter_text jupyter_code
jupyter_output empty_output commit_before commit_msg commit_after issue_start issue_comment
issue_closed role TOOLCALL TOOL_RESPONSE
""".split()  # noqa: SIM905 - easier to read
_BRACKETED = """
INST AVAILABLE_TOOLS TOOL_CALLS TOOL_RESULTS TOOL_CONTENT SYSTEM_PROMPT MODEL_SETTINGS THINK ARGS
CALL_ID IMG IMG_BREAK IMG_END AUDIO BEGIN_AUDIO PREFIX MIDDLE SUFFIX gMASK sMASK MASK CLS SEP PAD
UNK
""".split()  # noqa: SIM905
KNOWN = (
    *(f"<{slash}{word}>" for word in _TAGS for slash in ("", "/")),
    *(f"[{slash}{word}]" for word in _BRACKETED for slash in ("", "/")),
    *("/nothink", "/no_think"),
    *("<<SYS>>", "<</SYS>>", "]~b]", "]~!b[", "[e~[", "]!p~[", "]!d~["),
)
"""Strings that are tokens of their own in some family of models, but for those of a shape."""

# First characters, and shapes of what follows them.
_ALWAYS = {
    "<": (r"\|[^<>\s|]{1,40}\|>", r"｜[^<>\s｜]{1,40}｜"),  # nearly every family
}
_FALLBACK = {
    "<": (
        r'\|[a-z_"]{1,30}>|[a-z_]{1,30}\|>',  # Gemma 4
        r"/?seed:[a-z_]{1,30}>",
        r"/?(?:unused|extra_id_|SPECIAL_|reserved_token_|mask:)\d{1,5}>",
        r'(?:function|parameter)=|(?:invoke|parameter) name="',  # Qwen-coder, MiniMax, DeepSeek
        r"/(?:function|parameter|invoke)>",
    ),
    "[": (r"\|[a-z_]{1,30}\|\]", r"control_\d{1,4}\]", r"REFERENCE_DOC_\d{1,3}\]"),
}


class ControlTokens:
    """A set of strings to break up, and the ways to do and undo it.

    Args:
        special: the strings that the server takes as tokens of their own; None where it would not
            tell: then all that any family is known to use.
    """

    def __init__(self, special: Iterable[str] | None = None) -> None:
        rests: dict[str, list[str]] = {first: list(forms) for first, forms in _ALWAYS.items()}
        if special is None:
            for first, forms in _FALLBACK.items():
                rests.setdefault(first, []).extend(forms)
        for text in sorted(KNOWN if special is None else special):
            rests.setdefault(text[0], []).append(re.escape(text[1:]))
        self._with_any_marks = _pattern(rests, "", f"{MARK}*")
        self._with_marks = _pattern(rests, MARK, f"{MARK}*")
        self._without_marks = _pattern(rests, "", "")

    def encode(self, text: str) -> str:
        """Return untrusted text in a form that tokenises to no control token; see `decode`."""
        return self._with_any_marks.sub(lambda match: match[0] + MARK, text)

    def decode(self, text: str) -> str:
        """Undo `encode` in what the model wrote. Bare control strings stay as they are."""
        return self._with_marks.sub(lambda match: match[0][0], text)

    def decode_values(self, value: Any) -> Any:
        """Decode every string in a JSON value; keys stay."""
        if isinstance(value, str):
            return self.decode(value)
        if isinstance(value, list):
            return [self.decode_values(item) for item in value]
        if isinstance(value, dict):
            return {key: self.decode_values(item) for key, item in value.items()}
        return value

    def shield(self, text: str) -> str:
        """Break up bare control strings in the model's own text and leave encoded ones alone.

        A model that spells `<|user|>` in ordinary tokens must not find a control token there when
        its message is sent back; what it copied from an encoded text is already broken up.
        """
        return self._without_marks.sub(lambda match: match[0] + MARK, text)

    def shield_values(self, value: Any) -> Any:
        """Shield every string in a JSON value, keys too."""
        if isinstance(value, str):
            return self.shield(value)
        if isinstance(value, list):
            return [self.shield_values(item) for item in value]
        if isinstance(value, dict):
            return {self.shield(key): self.shield_values(item) for key, item in value.items()}
        return value


def _pattern(rests: dict[str, list[str]], marks: str, ahead: str) -> re.Pattern[str]:
    """Match an opening character and `marks` where `ahead` and a control string's rest follow."""
    return re.compile(
        "|".join(
            f"{re.escape(first)}{marks}(?={ahead}(?:{'|'.join(forms)}))"
            for first, forms in rests.items()
        )
    )


ANY_FAMILY = ControlTokens()
"""For servers that can't be asked which strings are special."""

encode, decode = ANY_FAMILY.encode, ANY_FAMILY.decode
