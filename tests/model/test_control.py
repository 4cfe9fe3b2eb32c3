"""Control strings in untrusted text: broken up, and restored exactly."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reapair.agent.model.control_tokens import ANY_FAMILY, ControlTokens

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
    encoded = ANY_FAMILY.encode(f"a{text}b")
    assert text not in encoded
    assert ANY_FAMILY.decode(encoded) == f"a{text}b"


@given(hostile)
@example("<~|user|>")
@example("<~~think><think>")
@example("<<|user|>|user|>")
@example("[~[gMASK]")
def test_decode_undoes_encode(text: str) -> None:
    encoded = ANY_FAMILY.encode(text)
    assert ANY_FAMILY.decode(encoded) == text
    assert not any(entry in encoded for entry in CONTROL)


@given(hostile)
def test_shield_leaves_encoded_text_alone(text: str) -> None:
    assert not any(entry in ANY_FAMILY.shield(text) for entry in CONTROL)
    assert ANY_FAMILY.shield(ANY_FAMILY.encode(text)) == ANY_FAMILY.encode(text)
    assert ANY_FAMILY.shield(ANY_FAMILY.shield(text)) == ANY_FAMILY.shield(text)


def test_ordinary_code_stays_as_it_is() -> None:
    text = "a[1] <b> </div> x | y ~/bin <| f |> [mask] <thinking> a/b if x<y and y>z"
    assert ANY_FAMILY.encode(text) == text
    assert ANY_FAMILY.decode(text) == text


def test_values_are_decoded_inside_arguments() -> None:
    arguments = {"path": "a.py", "lines": ["<~|user|>", 3], "more": {"x": "<~/think>"}}
    decoded = ANY_FAMILY.decode_values(arguments)
    assert decoded == {"path": "a.py", "lines": ["<|user|>", 3], "more": {"x": "</think>"}}


FAMILIES = {
    "Mistral": "[INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/TOOL_RESULTS] [SYSTEM_PROMPT] "
    "[THINK] [ARGS] [CALL_ID] <s> </s>",
    "Llama 2": "<<SYS>> <</SYS>> [INST] <s>",
    "Llama 3": "<|begin_of_text|> <|start_header_id|> <|eot_id|> <|python_tag|> <|eom_id|>",
    "Gemma": "<start_of_turn> <end_of_turn> <bos> <eos> <unused42> <|turn> <turn|> <|tool_call> "
    '<tool_call|> <|"|> <|channel> <start_function_call>',
    "DeepSeek": "<｜User｜> <｜Assistant｜> <｜end▁of▁sentence｜> <｜tool▁calls▁begin｜> <｜DSML｜",
    "ChatML": "<|im_start|> <|im_end|> <|endoftext|>",
    "Qwen-coder": "<tool_call> <function=read> <parameter=path> </parameter> </function>",
    "MiniMax": "<minimax:tool_call> </minimax:tool_call> </invoke> ]~b] ]~!b[ [e~[",
    "Kimi": "<|tool_calls_section_begin|> <|tool_call_argument_begin|> <|im_middle|>",
    "gpt-oss": "<|start|> <|channel|> <|message|> <|call|> <|constrain|>",
    "Seed": "<seed:think> </seed:think> <seed:tool_call> <seed:bos>",
    "EXAONE": "[|user|] [|assistant|] [|endofturn|]",
    "Granite and StarCoder": "<|start_of_role|> <fim_prefix> <repo_name> <file_sep>",
    "Nemotron": "<SPECIAL_12> <TOOLCALL> </TOOLCALL> <extra_id_1>",
    "Command": "<|START_OF_TURN_TOKEN|> <BOS_TOKEN> <|END_RESPONSE|>",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_broken_up_where_the_server_does_not_tell(family: str) -> None:
    for text in [*FAMILIES[family].split(" "), '<invoke name="', '<parameter name="']:
        for word in (text, f"x{text}y", text * 3):
            encoded = ANY_FAMILY.encode(word)
            assert text not in encoded, text
            assert ANY_FAMILY.decode(encoded) == word
            assert text not in ANY_FAMILY.shield(word)
            assert ANY_FAMILY.shield(encoded) == encoded


special = st.text(alphabet="<>[]|/ab", min_size=2, max_size=5)


@given(st.lists(special, min_size=1, max_size=4), st.text(alphabet="<>[]|~/ab", max_size=30))
def test_any_set_of_strings_can_be_broken_up(strings: list[str], text: str) -> None:
    control = ControlTokens(strings)
    assert control.decode(control.encode(text)) == text
    assert control.shield(control.encode(text)) == control.encode(text)


def test_only_what_is_special_is_broken_up_where_the_server_tells() -> None:
    control = ControlTokens(["<fancy>", "[X]"])
    assert control.encode("<fancy> [X] [INST] <s> <|a|>") == "<~fancy> [~X] [INST] <s> <~|a|>"
