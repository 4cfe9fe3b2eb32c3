"""What servers and models get wrong, one case each, played through the whole graph.

    python tests/support/faults.py

prints the table `fault · outcome · recovered?`. Every case stands between good turns of one run
per dialect; a case with `ends` gets a run of its own and must end it by that name.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from reapair.agent.log.events import Event
from reapair.agent.model.client import Client
from reapair.agent.model.server_errors import WORDS, Words
from reapair.agent.model.servers import detect
from reapair.agent.model.types import Outcome, ServerKind
from reapair.agent.result import ExitReason, Result
from reapair.agent.settings.settings import Settings
from reapair.agent.solve import solve
from support.scripted_dialects import Json
from support.scripted_server import ScriptedServer
from support.tasks import Task, own_tasks, turn

BOTH = ("llama.cpp", "vllm")
LLAMA, VLLM = BOTH[:1], BOTH[1:]
OLLAMA, LMSTUDIO = ("ollama",), ("lmstudio",)
ALL = (*BOTH, *OLLAMA, *LMSTUDIO)
READ = "<arg_key>path</arg_key><arg_value>calc.py</arg_value>"
CALL = f"<tool_call>read{READ}</tool_call>"


@dataclass(frozen=True)
class Case:
    """A fault: the turns that show it, what they must be classified as, how the run must end."""

    name: str
    turns: tuple[Json, ...]
    outcome: Outcome
    dialects: tuple[str, ...] = ALL
    ends: ExitReason | None = None


@dataclass
class Row:
    """What became of a case in one dialect."""

    case: Case
    dialect: str
    outcomes: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def recovered(self) -> bool:
        """Tell whether a good turn followed the fault, or the run ended by the right name."""
        if not self.outcomes or self.outcomes[0] != self.case.outcome:
            return False
        if self.case.ends:
            return self.reason == self.case.ends
        return self.outcomes[-1] == Outcome.TOOL_CALLS

    def __str__(self) -> str:
        end = f"ends: {self.reason}" if self.case.ends else "recovered"
        shown = self.outcomes[0] if self.outcomes else "never seen"
        verdict = end if self.recovered else "LOST"
        return f"{self.dialect:9} · {self.case.name:58} · {shown:14} · {verdict}"


def _case(name: str, outcome: Outcome, *turns: Json, **more: Any) -> Case:
    return Case(name, turns, outcome, **more)


def _fault(fault: str, name: str, outcome: Outcome, **more: Any) -> Case:
    return Case(name, ({**turn("read", path="calc.py"), "fault": fault},), outcome, **more)


def _raw(arguments: str, name: str = "read", **more: Any) -> Json:
    return {"reasoning": "So.", "tool_calls": [{"name": name, "raw_arguments": arguments}], **more}


def _text(content: str = "", reasoning: str = "Let me see.", **more: Any) -> Json:
    return {"content": content, "reasoning": reasoning, **more}


EMPTY = [_text(reasoning="")] * 2  # the first in a row is asked for again without a stream
CUT_EDIT = '{"path":"calc.py","old_str":"len(values) - 1","new_str":"le'
O = Outcome  # noqa: E741 - two tables full of it
E = ExitReason

PARSED = [
    # What a server's parser makes of imperfect output.
    _case("unknown tool dropped by the server", O.REASONING_ONLY, _text(), dialects=VLLM),
    _case("JSON-style call dropped by the server", O.EMPTY, *EMPTY, dialects=VLLM),
    _case("unknown tool", O.TOOL_CALLS, _raw('{"path":"calc.py"}', "glob")),
    _case("tool under another name", O.TOOL_CALLS, _raw('{"file_path":"calc.py"}', "read_file")),
    _case("no arguments", O.TOOL_CALLS, _raw("{}")),
    _case("empty arguments", O.TOOL_CALLS, _raw("")),
    _case("null arguments", O.TOOL_CALLS, _raw("null")),
    _case("word for an integer", O.TOOL_CALLS, _raw('{"path":"calc.py","start_line":"soon"}')),
    _case("integer as a string", O.TOOL_CALLS, _raw('{"path":"calc.py","start_line":"2"}')),
    _case("unknown argument", O.TOOL_CALLS, _raw('{"path":"calc.py","colour":"red"}')),
    _case("arguments encoded twice", O.TOOL_CALLS, _raw(json.dumps('{"path":"calc.py"}'))),
    _case("same argument twice, same value", O.TOOL_CALLS, _raw('{"path":"a","path":"a"}')),
    _case("same argument twice", O.FORMAT_ERROR, _raw('{"path":"a","path":"b"}')),
    _case("argument twice, broken by the stream", O.FORMAT_ERROR, _raw('{"path":"a""path":"b"}')),
    _case("arguments that are a list", O.FORMAT_ERROR, _raw("[1]")),
    _case("end tag inside a value", O.FORMAT_ERROR, _raw('{"path":"calc.py"'), dialects=VLLM),
    _case(
        "call cut inside a value",
        O.TRUNCATED,
        _raw(CUT_EDIT, "edit", finish_reason="length"),
    ),
    _case(
        "call cut, argument removed, valid JSON",
        O.TRUNCATED,
        _raw('{"path":"calc.py","old_str":"len(values) - 1"}', "edit", finish_reason="length"),
    ),
    _case("cut inside the name", O.TRUNCATED, _text(finish_reason="length")),
    _case("thinking never ends", O.REASONING_ONLY, _text(reasoning="Hm. " * 9)),
    _case("thinking cut at the limit", O.TRUNCATED, _text("", "Hm. " * 9, finish_reason="length")),
    _case("text after the call", O.TOOL_CALLS, {**turn("read", path="calc.py"), "content": "Now."}),
    _case("second block of thinking in the text", O.TOOL_CALLS, _text(f"<think>No.</think>{CALL}")),
    _case("two calls in one reply", O.TOOL_CALLS, {"tool_calls": [
        {"name": "read", "arguments": {"path": "calc.py"}},
        {"name": "search", "arguments": {"pattern": "mean"}},
    ]}),
]  # fmt: skip

MARKUP = [
    # Calls that arrive as text, in the forms the family has been seen to use.
    _case("call inside open thinking", O.TOOL_CALLS, _text("", f"First I read it.{CALL}")),
    _case("two calls inside open thinking", O.TOOL_CALLS, _text("", f"Both.{CALL}\n{CALL}")),
    _case("invoke inside thinking", O.TOOL_CALLS, _text(
        "", 'So.<invoke name="read"><parameter name="path">calc.py</parameter></invoke>')),
    _case("call in the text", O.TOOL_CALLS, _text(f"I read it.{CALL}")),
    _case("call on several lines", O.TOOL_CALLS, _text(
        f"<tool_call>read\n{READ.replace('><', '>' + chr(10) + '<')}\n</tool_call>")),
    _case("JSON in the call", O.TOOL_CALLS, _text(
        '<tool_call>{"name": "read", "arguments": {"path": "calc.py"}}</tool_call>')),
    _case("JSON alone", O.TOOL_CALLS, _text('{"name":"read","arguments":{"path":"calc.py"}}')),
    _case("function and parameter tags", O.TOOL_CALLS, _text(
        "<tool_call><function=read><parameter=path>\ncalc.py\n</parameter></function></tool_call>")),
    _case("tool>value", O.TOOL_CALLS, _text("<tool_call>read>calc.py</tool_call>")),
    _case("tool> and lines", O.TOOL_CALLS, _text("<tool_call>read>\npath: calc.py\n</tool_call>")),
    _case("tool with attributes", O.TOOL_CALLS, _text('<tool_call>read path="calc.py" />')),
    _case("tool(...)", O.TOOL_CALLS, _text('<tool_call>read(path="calc.py")</tool_call>')),
    _case("wrong end tag", O.TOOL_CALLS, _text("<tool_call>read>calc.py</invoke>")),
    _case("unclosed call in the text", O.FORMAT_ERROR, _text(f"<tool_call>read{READ}")),
    _case("call of no tool in the text", O.FORMAT_ERROR, _text(CALL.replace("read", "nope", 1))),
    _case("narration without a call", O.FINAL_TEXT, _text("Now I will edit the file.")),
    _case("thinking left in the text", O.TOOL_CALLS, {
        "content": "I read it.</think>", **_raw('{"path":"calc.py"}'), "reasoning": ""}),
    _case("end-of-turn token in the text", O.TOOL_CALLS, _text(f"{CALL}<|observation|>")),
    _case("made-up result after the call", O.TOOL_CALLS, _text(
        f"{CALL}<tool_response>all fine</tool_response>Then I submit.")),
]  # fmt: skip

WIRE = [
    # What goes wrong between the server and us.
    _fault("peg_native", "output that the server can't parse", O.FORMAT_ERROR),
    _fault("overloaded", "503", O.UNAVAILABLE),
    _fault("rate_limit", "429", O.UNAVAILABLE),
    _fault("gateway", "502 with a page of HTML", O.UNAVAILABLE),
    _fault("internal", "500 of the engine", O.UNAVAILABLE, dialects=VLLM),
    _fault("no_answer", "connection closed before a header", O.BROKEN_STREAM),
    _fault("cut", "connection closed in mid-stream", O.BROKEN_STREAM),
    _fault("error_in_stream", "error in mid-stream, no [DONE]", O.BROKEN_STREAM),
    _fault("error_then_done", "error in mid-stream, then [DONE]", O.BROKEN_STREAM),
    _fault("garbage", "chunk that is no JSON", O.BROKEN_STREAM),
    _fault("bad_utf8", "chunk that is no UTF-8", O.BROKEN_STREAM),
    _fault("stall", "silence in mid-stream", O.BROKEN_STREAM),
    _fault("not_streamed", "whole body instead of a stream", O.TOOL_CALLS),
    _fault("no_done", "stream without [DONE]", O.TOOL_CALLS),
    _fault("noise", "comments, empty choices, null deltas", O.TOOL_CALLS),
    _fault("no_usage", "no usage, no timings", O.TOOL_CALLS),
    _fault("endless", "the same sentence without end", O.REPETITION),
    _fault("filtered", "content filter", O.REFUSED),
    _case("stream without a finish reason", O.BROKEN_STREAM, _text("So", finish_reason=None)),
    _case("repetition stopped by the server", O.REPETITION,
          _text("ha ", finish_reason="repetition"), dialects=VLLM),
    _case("answer aborted by the server", O.BROKEN_STREAM,
          _text("So", finish_reason="abort"), dialects=VLLM),
    _case("bad answers of several kinds in a row", O.EMPTY,
          *EMPTY, _raw("{"), _text("", "Hm."), _raw("{")),
]  # fmt: skip

ENDING = [
    _case("nothing but empty answers", O.EMPTY, *EMPTY * 3, ends=E.FORMAT_ERROR),
    _case("nothing but thinking", O.REASONING_ONLY, *[_text()] * 4, ends=E.FORMAT_ERROR),
    _case("nothing but broken calls", O.FORMAT_ERROR, *[_raw("{")] * 6, ends=E.FORMAT_ERROR),
    _case("nothing but cut answers", O.TRUNCATED,
          *[_raw(CUT_EDIT, "edit", finish_reason="length")] * 4, ends=E.FORMAT_ERROR),
    _case("nothing but narration", O.FINAL_TEXT, *[_text("I will.")] * 5, ends=E.NO_SUBMIT),
    _case("nothing but refusals", O.REFUSED, *[{"fault": "filtered"}] * 3, ends=E.FORMAT_ERROR),
    _case("nothing but repetition", O.REPETITION, *[{"fault": "endless"}] * 5, ends=E.LOOP),
    _case("prompt that never fits", O.OVERFLOW, *[{"fault": "overflow"}] * 9, ends=E.CONTEXT_LIMIT),
    _case("mistake of ours", O.BAD_REQUEST, {"fault": "bad_request"}, ends=E.MODEL_ERROR),
    _case("500 that must not be retried", O.BAD_REQUEST, {"fault": "internal"},
          dialects=LLAMA, ends=E.MODEL_ERROR),
    _case("500 for the history", O.BAD_HISTORY, {"fault": "history"}, ends=E.MODEL_ERROR),
    _case("key refused in mid-run", O.AUTH, {"fault": "unauthorized"}, ends=E.MODEL_ERROR),
    _case("model gone in mid-run", O.NOT_FOUND, {"fault": "not_found"}, ends=E.MODEL_ERROR),
]  # fmt: skip


def _said(server: ServerKind, outcome: Outcome) -> list[Case]:
    """Return a case for each of the words by which this server means `outcome`."""
    status = 400 if server == "lmstudio" else 500
    return [
        _case(f"{words.example[:40]!r}", outcome, _says(status, words), dialects=(server,))
        for words in WORDS
        if words.server == server and words.outcome is outcome
    ]


def _says(status: int, words: Words) -> Json:
    error = {"message": words.example, "type": "api_error"} if status == 500 else words.example
    return {"fault": "says", "status": status, "body": {"error": error}}


# The words of servers that can't be had here, as reported; one overflow each is enough.
SAID = [
    *_said("ollama", O.FORMAT_ERROR), *_said("ollama", O.OVERFLOW)[:1],
    *_said("ollama", O.UNAVAILABLE), *_said("lmstudio", O.FORMAT_ERROR),
    *_said("lmstudio", O.OVERFLOW)[:1], *_said("lmstudio", O.UNAVAILABLE),
]  # fmt: skip
ENDING += [
    replace(case, ends=E.MODEL_ERROR)
    for case in (
        *_said("ollama", O.BAD_REQUEST), *_said("lmstudio", O.BAD_REQUEST),
        *_said("lmstudio", O.BAD_HISTORY),
    )
]  # fmt: skip
LASTING = [*PARSED, *MARKUP, *WIRE, *SAID]


def play_lasting(dialect: str, folder: Path) -> tuple[list[Row], Result, list[Event]]:
    """Play every fault that a run survives in one run; return rows, its result and its log."""
    task = own_tasks(folder / "tasks")[0]
    cases = [case for case in LASTING if dialect in case.dialects]
    turns: list[tuple[Case | None, Json]] = [(None, turn("search", pattern="def "))]
    for number, case in enumerate(cases):
        turns += [(case, entry) for entry in case.turns]
        # The tree changes now and then: many cases make one call, which would end as a loop.
        between = turn("bash", command=f"echo {number} > scratch.txt")
        turns.append((case, turn("read", path="calc.py", start_line=1 + number % 15)))
        turns += [(None, between)] * (number % 4 == 3)
    turns.append((None, turn("bash", command="rm scratch.txt")))
    path, old, new = task.gold[0]
    for name, arguments in (
        ("edit", {"path": path, "old_str": old, "new_str": new}),
        # Reviewed, sent back because no test shows the fix, submitted as it is.
        *[("submit", {"summary": "Done."})] * 3,
    ):
        turns.append((None, turn(name, **arguments)))
    played = _play(dialect, task, turns, folder)
    result = played[1]
    assert result.exit_reason is E.SUBMITTED, f"{result.exit_reason} after {played[0][-1]}"
    return played


def play_ending(case: Case, dialect: str, folder: Path) -> Row:
    """Play a fault that ends a run."""
    task = own_tasks(folder / "tasks")[0]
    looking = (None, turn("search", pattern="def "))
    rows, result, _ = _play(
        dialect, task, [looking, *((case, entry) for entry in case.turns)], folder
    )
    rows[0].reason = result.exit_reason
    return rows[0]


def _play(
    dialect: str, task: Task, turns: list[tuple[Case | None, Json]], folder: Path
) -> tuple[list[Row], Result, list[Event]]:
    rows: dict[str, Row] = {}
    playing: list[Case | None] = []
    log: list[Event] = []

    def scripted(case: Case | None, entry: Json) -> Any:
        def answer(_: Json) -> Json:
            playing.append(case)
            return entry

        return answer

    def note(event: Event) -> None:
        log.append(event)
        case = playing[-1] if playing else None
        if event.kind in ("response", "discarded") and case:
            row = rows.setdefault(case.name, Row(case, dialect))
            row.outcomes.append(event.data["outcome"])

    script = [scripted(*entry) for entry in turns]
    with ScriptedServer(script, dialect=dialect, context=202_752) as server:
        client = Client(detect(server.base_url), api_key=None, idle_seconds=1.5)
        settings = Settings(
            runs=folder / "runs", sandbox="none", patch=folder / "patch.diff", max_steps=200
        )
        result = solve(task.issue, task.repository, settings, model=client, on_event=note)
        compacted = any(event.kind == "compaction" for event in log)
        assert compacted or not server.rewritten(), "a request did not start with the last one"
    return list(rows.values()), result, log


def main() -> None:
    """Print the table."""
    lost = 0
    for dialect in ALL:
        with tempfile.TemporaryDirectory() as name:
            rows, *_ = play_lasting(dialect, Path(name))
        for case in ENDING:
            if dialect in case.dialects:
                with tempfile.TemporaryDirectory() as name:
                    rows.append(play_ending(case, dialect, Path(name)))
        lost += sum(not row.recovered for row in rows)
        print(*rows, sep="\n")
    print(f"{lost} lost")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
