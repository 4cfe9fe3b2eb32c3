"""Make goldens/vllm.jsonl: what vLLM's own parsers for GLM-4.7 make of imperfect output.

Runs vLLM's parser classes as its server does, whole and token by token, without weights or GPU:

    python -m venv v && v/bin/pip install torch transformers xgrammar aiohttp fastapi ...
    v/bin/pip download --no-deps vllm==0.33.0 && unzip -d x vllm-*.whl 'vllm/*.py'
    PYTHONPATH=x v/bin/python make_vllm_goldens.py x > goldens/vllm.jsonl

`pip install vllm` works as well, where there is room for it.
"""

from __future__ import annotations

import json
import sys
import types
from typing import Any

SPECIAL = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>",
           "<|observation|>"]  # fmt: skip
TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
        "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]  # fmt: skip


def pair(key: str, value: str) -> str:
    return f"<arg_key>{key}</arg_key><arg_value>{value}</arg_value>"


def call(name: str, **arguments: str) -> str:
    return f"<tool_call>{name}{''.join(pair(k, v) for k, v in arguments.items())}</tool_call>"


THINK = "I look first.</think>"
READ = call("read", path="a.py")
OUTPUTS: dict[str, tuple[str, str]] = {
    # name: (what the model writes after the opened <think>, why it stopped)
    "normal": (f"{THINK}I read it.{READ}", "stop"),
    "think never closed": (f"I look first.{READ}", "stop"),
    "no arguments": (f"{THINK}<tool_call>read</tool_call>", "stop"),
    "two calls": (f"{THINK}{READ}{call('bash', command='ls')}", "stop"),
    "newlines inside the call": (
        f"{THINK}<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n</tool_call>",
        "stop",
    ),
    "unknown tool": (f"{THINK}I go.{call('teleport', to='x')}", "stop"),
    "unknown tool, no text": (f"{THINK}{call('teleport', to='x')}", "stop"),
    "JSON in the call": (
        f'{THINK}<tool_call>{{"name": "read", "arguments": {{"path": "a"}}}}</tool_call>', "stop",
    ),
    "missing end tag": (f"{THINK}<tool_call>read{pair('path', 'a.py')}", "stop"),
    "cut inside a value": (
        f"{THINK}<tool_call>bash<arg_key>command</arg_key><arg_value>echo hel", "length",
    ),
    "cut inside the second value": (
        f"{THINK}<tool_call>edit{pair('path', 'a.py')}<arg_key>old_str</arg_key><arg_value>x =",
        "length",
    ),
    "cut inside the name": (f"{THINK}<tool_call>re", "length"),
    "string that is a number": (f"{THINK}{call('read', path='123')}", "stop"),
    "word for an integer": (f"{THINK}{call('read', path='a.py', start_line='soon')}", "stop"),
    "integer": (f"{THINK}{call('read', path='a.py', start_line='5')}", "stop"),
    "unknown argument": (f"{THINK}{call('read', path='a.py', colour='red')}", "stop"),
    "argument given twice": (
        f"{THINK}<tool_call>read{pair('path', 'a')}{pair('path', 'b')}</tool_call>", "stop",
    ),
    "text after the call": (f"{THINK}{READ}Then I wait.", "stop"),
    "end of value inside a value": (f"{THINK}{call('bash', command='a </arg_value> x')}", "stop"),
    "end of call inside a value": (f"{THINK}{call('bash', command='echo </tool_call> x')}", "stop"),
    "thinking never ends": ("I look and look.", "stop"),
    "thinking cut": ("I look and look", "length"),
    "second thinking": (f"{THINK}<think>Again.</think>{READ}", "stop"),
    "multi-line value": (THINK + call("bash", command="cat <<E\n<a>\nE"), "stop"),
}  # fmt: skip

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "required": list(required),
        "properties": {key: {"type": "string"} for key in required} | {
            key: {"type": kind} for key, kind in optional.items()},
    }}}
    for name, required, optional in (
        ("read", ("path",), {"start_line": "integer"}),
        ("edit", ("path", "old_str", "new_str"), {}),
        ("bash", ("command",), {"timeout": "integer"}),
    )
]  # fmt: skip


def tokenizer() -> Any:
    """Return a byte-level tokenizer with GLM's control tokens; it needs no training."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    bare.add_tokens([AddedToken(text, special=False, normalized=False) for text in TAGS])
    return PreTrainedTokenizerFast(tokenizer_object=bare)


def main() -> None:
    """Print one JSON object for each output."""
    package = types.ModuleType("vllm")  # its __init__ would look for a GPU
    package.__path__ = [f"{sys.argv[1]}/vllm"]
    package.__version__ = "0.33.0"  # type: ignore[attr-defined]
    sys.modules["vllm"] = package
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser.abstract_parser import DelegatingParser
    from vllm.parser.engine.registered_adapters import Glm47MoeParserReasoningAdapter
    from vllm.tool_parsers.glm47_moe_tool_parser import Glm47MoeModelToolParser

    class Parser(DelegatingParser):
        reasoning_parser_cls = Glm47MoeParserReasoningAdapter
        tool_parser_cls = Glm47MoeModelToolParser

    words = tokenizer()
    prompt = words.encode("[gMASK]<sop><|user|>Go.<|assistant|><think>")
    request = ChatCompletionRequest(
        model="glm-4.7-flash", messages=[{"role": "user", "content": "Go."}], tools=TOOLS
    )
    for name, (output, stopped) in OUTPUTS.items():
        ids = words.encode(output)
        parser = Parser(words, request.tools)
        parser.set_prompt_token_ids(prompt)
        reasoning, content, calls = parser.parse(output, request, True, ids)
        message: dict[str, Any] = {"role": "assistant", "content": content, "reasoning": reasoning}
        message["tool_calls"] = [
            {"id": f"chatcmpl-tool-{number}", "type": "function",
             "function": {"name": entry.name, "arguments": entry.arguments}}
            for number, entry in enumerate(calls or ())
        ]  # fmt: skip
        parser, deltas = Parser(words, request.tools), []
        for number, token in enumerate(ids):
            delta = parser.parse_delta(
                words.decode([token]), [token], request, prompt, finished=number == len(ids) - 1
            )
            if delta is not None:
                deltas.append(delta.model_dump(mode="json", exclude_unset=True))
        golden = {"name": name, "output": output, "stopped": stopped, "message": message}
        print(json.dumps({**golden, "deltas": deltas}, ensure_ascii=False))


if __name__ == "__main__":
    main()
