"""Train the tokenizer: byte-level BPE on the texts of the demonstration, GLM-4.7's special tokens.

Whole words of the prompts become single tokens, so that the prompt is short enough for a tiny model
and still made of words, not of whole sentences: those would break with the first changed sentence.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import episode
from sampler import Sampler
from template import render
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
# The pre-tokenizer that llama.cpp calls "glm4".
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL = re.findall(
    r"\S+",
    """
    <|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|>
    <|observation|> <|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|>
    <|begin_of_audio|> <|end_of_audio|> <|begin_of_transcription|> <|end_of_transcription|>
    <|code_prefix|> <|code_middle|> <|code_suffix|>
    """,
)
MARKUP = re.findall(
    r"\S+",
    """
    <think> </think> <tool_call> </tool_call> <tool_response> </tool_response> <arg_key>
    </arg_key> <arg_value> </arg_value> /nothink <|begin_of_box|> <|end_of_box|> <|image|> <|video|>
    """,
)
OWN_TEXT_WEIGHT = 200


def train(recorded: dict[str, Any], template: str, directory: Path) -> None:
    """Write tokenizer.json, its configuration and the chat template into `directory`."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL) - len(MARKUP),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(recorded, template), trainer)
    tokenizer.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in CONTROL])
    tokenizer.add_tokens([AddedToken(x, special=False, normalized=False) for x in MARKUP])
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(template)
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "[MASK]",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 32768,
        "chat_template": template,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(configuration, indent=1))


def _texts(recorded: dict[str, Any], template: str) -> Iterator[str]:
    for file in sorted(Path(os.__file__).parent.glob("*.py"))[:40]:
        yield file.read_text("utf-8")
    sampler = Sampler(recorded, seed=0)
    plain = sampler.draw(vary=False)
    own = [render(template, plain.messages, plain.tools)]
    own += [text for part in episode.ISSUE_PARTS for text in part]
    own += episode.FILLER + episode.RULES
    own += [step.reasoning for step in episode.STEPS.values()]
    own += [text for texts in recorded["mistyped"].values() for text in texts]
    own += [recorded[name] for name in ("not_reproduced", "not_fixed")]
    for text in own:
        for _ in range(OWN_TEXT_WEIGHT):
            yield text
