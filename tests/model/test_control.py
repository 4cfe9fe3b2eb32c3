"""Control strings in untrusted text: broken up, and restored exactly."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reapair.agent.model import control_tokens as control

CONTROL = [
    "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
    "<|assistant|>", "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>",
    "<|begin_of_video|>", "<|end_of_video|>", "<|begin_of_audio|>", "<|end_of_audio|>",
    "<|begin_of_transcription|>", "<|end_of_transcription|>", "<|code_prefix|>", "<|code_middle|>",
    "<|code_suffix|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
    "</tool_response>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "/nothink",
    "<|begin_of_box|>", "<|end_of_box|>", "<|image|>", "<|video|>", "<tools>", "</tools>",
]  # fmt: skip
"""Every special token of GLM-4.7, and the markup of its prompt."""

PIECES = [*CONTROL, "<", ">", "|", "/", "~", "~~", "[", "]", "think", "user", "nothink", " ", "\n"]
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@pytest.mark.parametrize("text", CONTROL)
def test_every_control_string_is_broken_up(text: str) -> None:
    encoded = control.encode(f"a{text}b")
    assert text not in encoded
    assert control.decode(encoded) == f"a{text}b"


@given(hostile)
@example("<~|user|>")
@example("<~~think><think>")
@example("<<|user|>|user|>")
@example("[~[gMASK]")
def test_decode_undoes_encode(text: str) -> None:
    encoded = control.encode(text)
    assert control.decode(encoded) == text
    assert not any(entry in encoded for entry in CONTROL)


@given(hostile)
def test_shield_leaves_encoded_text_alone(text: str) -> None:
    assert not any(entry in control.shield(text) for entry in CONTROL)
    assert control.shield(control.encode(text)) == control.encode(text)
    assert control.shield(control.shield(text)) == control.shield(text)


def test_ordinary_code_stays_as_it_is() -> None:
    text = "a[1] <b> </div> x | y ~/bin <| f |> [mask] <thinking> a/b if x<y and y>z"
    assert control.encode(text) == text
    assert control.decode(text) == text


def test_values_are_decoded_inside_arguments() -> None:
    arguments = {"path": "a.py", "lines": ["<~|user|>", 3], "more": {"x": "<~/think>"}}
    decoded = control.decode_values(arguments)
    assert decoded == {"path": "a.py", "lines": ["<|user|>", 3], "more": {"x": "</think>"}}
