"""Event logs of any size and any wickedness, for what shows runs to people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reapair.agent.log.event_log import Run
from reapair.agent.result import (
    Candidate,
    Choice,
    Evidence,
    ExitReason,
    Reproduction,
    Result,
    Suite,
    Verdict,
)

USAGE = {
    "prompt_tokens": 9_000, "cached_tokens": 8_600, "generated_reused_tokens": 100,
    "completion_tokens": 180, "reasoning_tokens": 90, "prefill_tokens_per_second": 900.0,
    "decode_tokens_per_second": 42.0, "seconds_to_first_token": 0.5, "prefill_seconds": 0.44,
    "decode_seconds": 4.3,
}  # fmt: skip

SERVER = {
    "kind": "llama.cpp", "base_url": "http://127.0.0.1:8080/v1", "model": "glm-4.7-flash",
    "context_tokens": 32_768, "version": "b1", "family": "",
}  # fmt: skip


def write_story(
    directory: Path, *, steps: int, text: str, observation: str = "", finished: bool = True
) -> Path:
    """Write the log of a run with `text` in each of its fields, and return its directory."""
    run = Run(directory, directory.name)
    run.append("run_started", issue=text, repository=f"/home/me/{text.replace('/', ' ')}",
               server=SERVER | {"model": text, "version": text},
               settings={"max_steps": 500, "test_command": text, "include": [text]},
               tools=[])  # fmt: skip
    run.append("snapshot", name="a", tree="b", head="c" * 40, dirty=True, left_out=[text])
    run.append("environment", sandbox="docker", project=text, test_command=text, reused=False,
               notes=[text], failure=text)  # fmt: skip
    run.append("baseline", command=text, counts={"passed": 2})
    for step in range(1, steps + 1):
        _step(run, step, text, observation or text)
    run.append("instruction", steps, text=text)
    run.append("discarded", steps, outcome="malformed", usage=USAGE, finish_reason=text,
               salvaged=False, detail=text, content=text, reasoning=text)  # fmt: skip
    run.append("compaction", steps, reason="budget", before=2, after=1, plan={})
    (directory / "patch.diff").write_bytes(_patch(text))
    if finished:
        result = _result(directory, steps, text)
        run.append("run_finished", steps, result=result.model_dump(mode="json"))
    run.close()
    return directory


def _step(run: Run, step: int, text: str, observation: str) -> None:
    arguments: dict[str, Any] = {"path": text, "old_str": text, "new_str": f"{text}\n{text}"}
    call = {"id": f"call-{step}", "name": "edit", "arguments": arguments}
    call |= {"error": None, "notes": []}
    message = {"role": "assistant", "content": text, "reasoning_content": text}
    run.append("request", step, messages=[{"role": "system", "content": text}])
    run.append("response", step, outcome="tool_calls", usage=USAGE, finish_reason="stop",
               salvaged=False, detail="", message=message, calls=[call])  # fmt: skip
    run.append("tool_intent", step, call_id=call["id"], name="edit", arguments=arguments)
    run.append("tool_result", step, call_id=call["id"], name="edit", content=observation,
               ok=step % 7 > 0, data={})  # fmt: skip


def _patch(text: str) -> bytes:
    line = text.replace("\n", " ").encode("utf-8", "surrogatepass")
    head = b"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n"
    return head + b"-" + line + b"\n+" + line + b"\n+\xff not UTF-8\n"


def _result(directory: Path, steps: int, text: str) -> Result:
    shows = Reproduction(test=text, author="model", before="failed", after="passed")
    evidence = Evidence(
        verdict=Verdict.PROVED, scope="sampled", reproduction=[shows], regressions=[text],
        flaky=[text], tricks=[text], violations=[text], warnings=[text], notes=[text],
        failure=text, problem=text, suite=Suite(command=text, passed=2),
    )  # fmt: skip
    taken = Candidate(attempt=1, exit_reason=ExitReason.SUBMITTED, verdict=Verdict.PROVED)
    return Result(
        run_id=directory.name, directory=directory, exit_reason=ExitReason.SUBMITTED,
        evidence=evidence, summary=text, files=[text], steps=steps, branch=text, error=text,
        patch_file=Path(text.replace("/", " ").replace("\0", "")), note=text,
        choice=Choice(attempt=1, why=text, candidates=[taken, taken]),
    )  # fmt: skip
