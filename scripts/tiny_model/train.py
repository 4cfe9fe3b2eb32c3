"""Train the tiny model on sampled conversations; one thread, about a quarter of an hour.

The loss counts on the model's own turns only, and the worst tokens count again: a model that is
99 % right makes a wrong call in every episode. Short conversations come first, because accuracy
follows the number of steps and short steps are cheap.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import network
import template
import tokenizer as vocabulary
import torch
from sampler import Sample, Sampler
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedTokenizerFast

BATCH = 2
PEAK_RATE = 2e-3
WARM_UP_STEPS = 30
WORST_TOKENS, WORST_WEIGHT = 24, 0.2
SHORT_BEFORE, SHORT_AFTER = 0.92, 0.15
"""Share of short conversations in the first phase and in the second."""
IGNORED = -100


def encode(
    sample: Sample, tokenizer: PreTrainedTokenizerFast, chat: str
) -> tuple[list[int], list[int]]:
    """Return token ids and labels; labels are set only in turns that are to be imitated."""
    text = template.render(chat, sample.messages, sample.tools) + template.OBSERVATION
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    begin, *ends = tokenizer.convert_tokens_to_ids(
        ["<|assistant|>", "<|observation|>", "<|user|>", "<|system|>"]
    )
    labels = [IGNORED] * len(ids)
    starts = (at for at, token in enumerate(ids) if token == begin)
    for start, learn in zip(starts, sample.learn, strict=True):
        end = next(at for at in range(start, len(ids)) if ids[at] in ends)
        if learn:  # <think> is part of the prompt.
            labels[start + 2 : end + 1] = ids[start + 2 : end + 1]
    return ids, labels


def batch(
    samples: list[Sample], tokenizer: PreTrainedTokenizerFast, chat: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return padded ids and labels. Padding is at the right, where causal attention never looks."""
    encoded = [encode(sample, tokenizer, chat) for sample in samples]
    length = max(len(ids) for ids, _ in encoded)
    pad = tokenizer.pad_token_id
    ids = [row + [pad] * (length - len(row)) for row, _ in encoded]
    labels = [row + [IGNORED] * (length - len(row)) for _, row in encoded]
    return torch.tensor(ids), torch.tensor(labels)


def train(arguments: argparse.Namespace) -> None:
    """Train from the recording and save everything that the converter needs."""
    torch.set_num_threads(1)
    recorded = json.loads(arguments.recorded.read_text())
    chat = template.load(arguments.llama_cpp)
    vocabulary.train(recorded, chat, arguments.out)
    vocabulary.train(recorded, chat, arguments.random_out)
    tokenizer = AutoTokenizer.from_pretrained(arguments.out)
    network.stand_in(tokenizer).save_pretrained(arguments.random_out)
    model = network.demonstration(tokenizer)
    torch.manual_seed(arguments.seed)
    sampler, draw = Sampler(recorded, arguments.seed), random.Random(arguments.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01
    )
    began, total = time.process_time(), arguments.short_steps + arguments.steps
    for step in range(total):
        short_share = SHORT_BEFORE if step < arguments.short_steps else SHORT_AFTER
        short = draw.random() < short_share
        rate = PEAK_RATE * min(1.0, (step + 1) / WARM_UP_STEPS)
        rate *= 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / total))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, labels = batch([sampler.draw(short=short) for _ in range(BATCH)], tokenizer, chat)
        loss, accuracy = learn(model, optimizer, ids, labels)
        if step % 20 == 0 or step == total - 1:
            print(
                f"step {step} of {total}: loss {loss:.4f}, accuracy {accuracy:.4f}, "
                f"{ids.shape[1]} tokens, {time.process_time() - began:.0f} CPU seconds",
                flush=True,
            )
    model.save_pretrained(arguments.out)


def learn(
    model: Any, optimizer: torch.optim.Optimizer, ids: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float]:
    """Take one step; return the loss and the share of right tokens."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    targets = labels[:, 1:]
    counts = targets != IGNORED
    logits = model.lm_head(hidden[:, :-1][counts].float())
    losses = functional.cross_entropy(logits, targets[counts], reduction="none")
    worst = losses.topk(min(WORST_TOKENS, losses.numel())).values
    loss = losses.mean() + WORST_WEIGHT * worst.mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    right = (logits.argmax(-1) == targets[counts]).float().mean()
    return loss.item(), right.item()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recorded", type=Path, help="what record.py wrote")
    parser.add_argument("llama_cpp", type=Path, help="llama.cpp's source tree")
    parser.add_argument("out", type=Path, help="directory for the trained model")
    parser.add_argument("random_out", type=Path, help="directory for the untrained one")
    parser.add_argument("--short-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
