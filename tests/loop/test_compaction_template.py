"""After any compaction, GLM's own template in llama.cpp renders what is left, and it is shorter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import jinja2
import pytest
from conftest import require
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from reapair.agent.log.conversation import OPENING
from reapair.agent.loop.compaction import plan
from reapair.agent.model import request
from reapair.agent.model.servers import detect
from reapair.agent.serve.keep import EmbeddedServer
from support.sse import TOOLS

pytestmark = pytest.mark.llama

MODEL = Path(__file__).parents[1] / "data/random.gguf"
Messages = list[dict[str, Any]]

WORDS = st.sampled_from(["look", "fix", "</think>", "<|user|>", "x = 1\n", " ", "é", "<tool_call>"])
TEXTS = st.lists(WORDS, max_size=6).map("".join)
RESULTS = st.tuples(TEXTS, st.integers(0, 80)).map(lambda pair: pair[0] + "1\tline\n" * pair[1])
FEEDBACK = st.sampled_from(["Call a tool.", "Too long."])
TURNS = st.tuples(TEXTS, TEXTS, st.lists(st.tuples(TEXTS, RESULTS), max_size=3), FEEDBACK)


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Messages], str]:
    """The template as llama.cpp has it, rendered the way it does: that one takes its time."""
    require("the random model", MODEL.is_file(), f"{MODEL.name} is not there")
    log = tmp_path_factory.mktemp("llama") / "log"
    with EmbeddedServer(MODEL, context_tokens=4096, directory=log) as server:
        found = detect(server.base_url, api_key=server.api_key)
        key = {"Authorization": f"Bearer {server.api_key}"}
        root = server.base_url.removesuffix("/v1")
        with httpx2.Client(headers=key, trust_env=False, timeout=60) as client:
            environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
            environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
            template = environment.from_string(client.get(f"{root}/props").json()["chat_template"])

            def rendered(messages: Messages) -> str:
                body = request.prompt(found, messages, TOOLS, thinking=True)
                for call in [call for m in body["messages"] for call in m.get("tool_calls", ())]:
                    call["function"]["arguments"] = json.loads(call["function"]["arguments"])
                kwargs = body["chat_template_kwargs"]
                return template.render(**{**body, **kwargs}, add_generation_prompt=True)

            example = history([("think", "say", [("a.py", "1\tx = 1")], ""), ("", "b", [], "no")])
            body = request.prompt(found, example, TOOLS, thinking=True)
            answer = client.post(f"{root}/apply-template", json=body).json()
    # llama.cpp fills in the descriptions that these tools leave out.
    assert answer["prompt"].replace(', "description": ""', "") == rendered(example)
    return rendered


def history(turns: list[tuple[str, str, list[tuple[str, str]], str]]) -> Messages:
    """Turns with reasoning, calls and results; one without calls is answered by feedback."""
    messages: Messages = [
        {"role": "system", "content": "You fix bugs."},
        {"role": "user", "content": "The issue. " * 20},
    ]
    for number, (reasoning, content, calls, feedback) in enumerate(turns):
        made = [
            {"id": f"{number}.{each}", "type": "function",
             "function": {"name": "read", "arguments": json.dumps({"path": path})}}
            for each, (path, _) in enumerate(calls)
        ]  # fmt: skip
        message = {"role": "assistant", "content": content or "-", "reasoning_content": reasoning}
        messages.append(message | ({"tool_calls": made} if made else {}))
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, (_, result) in zip(made, calls, strict=True)
        ]
        if not made:
            messages.append({"role": "system", "content": feedback})
    return messages


def tokens(messages: Any) -> int:
    return len(json.dumps(messages)) // 3


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(TURNS, min_size=1, max_size=6),
    st.integers(300, 900),
    st.sampled_from(["", "What was done. " * 60]),
    st.booleans(),
)
def test_what_is_left_renders(
    render: Callable[[Messages], str],
    turns: list[tuple[str, str, list[tuple[str, str]], str]],
    target: int,
    summary: str,
    looping: bool,
) -> None:
    messages = history(turns)
    limit = tokens(messages[:OPENING]) + target
    assume(tokens(messages) > limit)
    made = plan(
        messages, [], limit,
        count=tokens, summarise=lambda: summary, diff=lambda: "+ a line\n" * 500, looping=looping,
    )  # fmt: skip
    left = made.apply(messages)
    assert tokens(left) <= limit + 300
    before, after = render(messages), render(left)
    assert len(after) < len(before) + 900
    assert before.partition("<|assistant|>")[0] in after
    assert after.endswith("<|assistant|><think>")
    roles = re.findall(r"<\|(system|user|assistant|observation)\|>", after)
    wanted = ["system"]  # The tools stand before the first message.
    for number, message in enumerate(left):
        if message["role"] != "tool":
            wanted.append(message["role"])
        elif left[number - 1]["role"] != "tool":
            wanted.append("observation")
    assert roles == [*wanted, "assistant"]
    # Results stand in the order of their calls, and no thought of a kept turn is gone.
    shown = [message for message in left if message["role"] == "tool"]
    assert after.count("<tool_response>") == len(shown)
    called = [call["id"] for message in left for call in message.get("tool_calls", ())]
    assert [message["tool_call_id"] for message in shown] == called
    # The template asks whether there is a thought before it strips it: a blank one counts.
    thoughts = [m for m in left if request.render(m).get("reasoning_content")]
    assert after.count("<think>") == len(thoughts) + 1
