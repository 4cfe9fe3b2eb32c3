"""The nodes of the graph. Each does one thing, logs it, and says where to go."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

from reapair.agent.log.event_log import digest
from reapair.agent.log.formats import Answered
from reapair.agent.log.turns import INTERRUPTED, steps_before
from reapair.agent.loop.context_budget import Budget, budget_notice
from reapair.agent.loop.finish import finish
from reapair.agent.loop.session import opening
from reapair.agent.loop.state import State
from reapair.agent.model.loops import LoopGuard
from reapair.agent.model.recovery import WIRE, decide, wait_until_ready
from reapair.agent.model.types import Message, Outcome, Progress, RequestOptions
from reapair.agent.proof.verify import verify
from reapair.agent.result import INFRASTRUCTURE, Evidence, ExitReason, Verdict
from reapair.sandbox import WORKSPACE, SandboxError
from reapair.tools import Observation, clip

if TYPE_CHECKING:
    from reapair.agent.log.events import Event
    from reapair.agent.loop.session import Session
    from reapair.prompts import Prompts

MAX_PROOFS = 3
"""How often a run may submit: a failed proof goes back to the model, but not for ever."""

MAX_REPLACEMENTS = 3
"""How many sandboxes a run may lose before it ends."""

LONGEST_DISCARDED = 100_000
"""Characters that are logged and shown of a text that the conversation does not keep."""

OUT_OF_TIME = "Not run: the time of this run was up."
"""What answers the calls that are left when the time limit is reached among them."""

ANSWERED: State = {"bad": 0, "wire": 0, "options": {}, "feedback": None}
"""What a clean answer resets."""


class Nodes:
    """The five nodes over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = session.run
        self._guard = LoopGuard()
        self._budget = Budget(session)
        self._replacements = 0

    def prepare(self, state: State) -> State:  # noqa: ARG002
        """Log the environment facts; `Session.open` has found them while the graph was loaded."""
        ready = self._session.workspace.ready
        facts = ready.prepared.facts
        if ready.map:
            facts["notes"] = [*facts["notes"], *ready.map.notes()]
        self._run.append("environment", **facts)
        first = "localise" if self._session.guided else "think"
        return {"next": first, "step": 0, "bad": 0, "wire": 0, "proofs": 0}

    def think(self, state: State) -> State:
        """Send one request; only a clean answer enters the history."""
        session, step = self._session, state["step"] + 1
        session.cancel.check()
        if session.history.unanswered:
            return {"next": "act", **ANSWERED}
        unfinished = {event.kind: event for event in self._run.events[state["seen"] :]}
        if event := unfinished.get("response") or unfinished.get("discarded"):
            return self._recover(event.read(Answered), state)
        if reason := session.limit(state["step"]):
            return {"next": "verify", "exit_reason": reason.value}
        if "request" not in unfinished:
            session.with_deadline(lambda: self._budget.ensure(step))
            self._run.append("request", step, messages=self._new_messages(state))
        answer = self._ask(self._options(state), step).read(Answered)
        if answer.outcome == Outcome.TOOL_CALLS:
            return {"next": "act", **ANSWERED}
        return self._recover(answer, state)

    def _options(self, state: State) -> RequestOptions:
        settings = self._session.settings
        varied = RequestOptions(**state.get("options", {}))
        return replace(varied, rescue=settings.rescue)

    def _ask(self, options: RequestOptions, step: int) -> Event:
        """Ask the model and log what became of it."""
        session = self._session
        answer = session.with_deadline(
            lambda: session.model.ask(
                session.history.messages, session.tools.schemas, options, self._show
            )
        )
        facts: dict[str, Any] = {
            "outcome": answer.outcome,
            "usage": asdict(answer.usage),
            "finish_reason": answer.finish_reason,
            "salvaged": answer.salvaged,
            "detail": answer.detail,
        }
        if answer.message is not None:
            calls = [asdict(call) for call in answer.calls]
            return self._run.append("response", step, message=answer.message, calls=calls, **facts)
        for name, text in (("content", answer.content), ("reasoning", answer.reasoning)):
            facts[name] = self._run.shortened(text, LONGEST_DISCARDED)
        return self._run.append("discarded", step, **facts)

    def act(self, state: State) -> State:
        """Run the calls of the last answer in order, one observation each."""
        with self._session.cancel.step():
            return self._act(state)

    def _act(self, state: State) -> State:
        session, step = self._session, state["step"] + 1
        calls = session.history.unanswered
        for call in calls:
            if session.seconds_left <= 0:
                self._answer(call, step, Observation(OUT_OF_TIME, ok=False))
                continue
            observation = self._observe(call, step)
            if observation.submitted is not None:
                return {
                    "next": "verify",
                    "step": step,
                    "submission": call["id"],
                    "summary": observation.submitted,
                }
            if session.tools.changes_files(call["name"]):
                # Before the result: what a result tells must be in the tree after a crash.
                observation = self._recorded(observation, step)
            last = call is calls[-1]
            done = step - steps_before(self._run.events)
            notice = budget_notice(done, session.settings.max_steps) if last else ""
            self._answer(call, step, observation, notice)
        if self._guard.exhausted:
            self._budget.compact("loop", step)
            self._guard.forget()
        self._run.sync()
        if self._guard.hopeless(len(self._run.of_kind("tree"))):
            return {"next": "verify", "step": step, "exit_reason": ExitReason.LOOP}
        return {"next": "think", "step": step}

    def verify(self, state: State) -> State:
        """Prove the change; a refuted one goes back to the model as its submission's result."""
        self._session.cancel.check()
        session, step = self._session, state["step"]
        workspace = session.workspace
        try:
            workspace.record(step)
        except SandboxError:
            workspace.replace()  # What was recorded last stands.
        patch = workspace.recorded_patch()
        repeated = state["proofs"] > 0 and session.evidence(patch) is not None
        evidence = self.prove(patch, step)
        proofs = state["proofs"] + 1
        submission = state.get("submission")
        if submission is None:
            return {"next": "finish", "proofs": proofs}
        again = _worth_another(evidence, repeated=repeated) and proofs < MAX_PROOFS
        text = _refutation(session.prompts, evidence) if again else "Submitted."
        for call in session.history.unanswered:
            if call["id"] == submission:
                self._answer(call, step, Observation(text, ok=not again))
        if again and session.limit(step) is None:
            return {"next": "think", "proofs": proofs, "submission": None}
        return {"next": "finish", "proofs": proofs, "exit_reason": ExitReason.SUBMITTED.value}

    def prove(self, patch: bytes, step: int) -> Evidence:
        """Return the evidence for a patch; one that was proved last time is not proved again."""
        session, workspace = self._session, self._session.workspace
        if evidence := session.evidence(patch):
            return evidence
        baseline = None
        if patch.strip():
            session.say("verification", "waiting for the baseline")
            baseline = workspace.baseline()
            if baseline and not self._run.of_kind("baseline"):
                counts = dict(Counter(baseline.statuses.values()))
                self._run.append("baseline", step, command=baseline.command, counts=counts)
            session.say("verification", "proving the patch")
        history = workspace.recorded_patches()
        evidence = verify(workspace, patch, baseline=baseline, issue=session.issue, history=history)
        facts = evidence.model_dump(mode="json")
        self._run.append("verification", step, patch=digest(patch), evidence=facts)
        return evidence

    def finish(self, state: State) -> State:
        """Write the result and hand the patch over."""
        reason = ExitReason(state["exit_reason"])
        error = state.get("error", "") if reason in INFRASTRUCTURE else ""
        summary = state.get("summary", "")
        finish(self._session, reason, steps=state["step"], summary=summary, error=error)
        return {}

    def _new_messages(self, state: State) -> list[Message]:
        if not self._session.history.messages:
            repository_map = self._session.workspace.ready.map
            issue = self._session.prompts.render(
                "issue",
                workspace=WORKSPACE,
                issue=clip(self._session.issue, self._budget.issue_bytes),
                test_command=self._session.workspace.prepared.test_command,
                guidance=self._session.workspace.ready.guidance.first(self._session.issue),
                repository_map=repository_map.text(self._session.issue, self._budget.map_tokens)
                if repository_map
                else "",
                known=state.get("known", ""),
            )
            return [
                opening(self._session.prompts, self._session.tools.names),
                {"role": "user", "content": issue},
            ]
        feedback = state.get("feedback")
        return [{"role": "system", "content": feedback}] if feedback else []

    def _recover(self, answer: Answered, state: State) -> State:
        """Do what the table of recoveries says about a bad answer."""
        session = self._session
        outcome = Outcome(answer.outcome)
        counter: Literal["wire", "bad"] = "wire" if outcome in WIRE else "bad"
        count = state[counter] + 1
        recovery = decide(outcome, count, rescue=session.settings.rescue)
        if recovery.action == "stop":
            reason = session.limit(state["step"]) or ExitReason(
                recovery.exit_reason or "model_error"
            )
            return {"next": "verify", "exit_reason": reason.value, "error": answer.detail}
        if recovery.action == "compact":
            self._budget.compact("overflow", state["step"] + 1)
        if recovery.action == "wait":
            session.say("model", f"waiting for the server: {answer.detail}")
            seconds, cancel = min(recovery.seconds, session.seconds_left), session.cancel
            wait_until_ready(session.model.server, seconds, lambda: cancel.requested)
        feedback = recovery.feedback and self._feedback(recovery.feedback)
        told: State = {"next": "think", "options": recovery.options, "feedback": feedback}
        return {**told, "wire": count} if counter == "wire" else {**told, "bad": count}

    def _feedback(self, template: str) -> str:
        """Return what the model is told about its last answer."""
        session, tools = self._session, self._session.tools.schemas
        form = session.with_deadline(lambda: session.model.call_form(tools))
        return session.prompts.render(template, tools=tools, form=form)

    def _observe(self, call: dict[str, Any], step: int) -> Observation:
        """Run one call, or say why it was not run."""
        if call["error"]:
            return Observation("\n".join([call["error"], *call["notes"]]), ok=False)
        begun = self._session.history.interrupted(call["id"])
        if begun and self._session.tools.changes_files(call["name"]):
            return Observation(INTERRUPTED, ok=False)
        self._run.append(
            "tool_intent", step, call_id=call["id"], name=call["name"], arguments=call["arguments"]
        )
        try:
            observation = self._session.tools.call(call["name"], call["arguments"])
        except SandboxError as error:
            return self._replace_sandbox(error)
        warning = self._guard.note(call["name"], call["arguments"], observation.text)
        extra = [f"[{note}]" for note in (*call["notes"], warning) if note]
        text = clip(observation.text, self._budget.observation_bytes)
        told = self._session.workspace.ready.guidance.later(call["arguments"], self._run)
        return replace(observation, text="\n".join([text, *extra, *([told] if told else [])]))

    def _recorded(self, observation: Observation, step: int) -> Observation:
        """Log the change so far; say it instead of the call's result when that has failed."""
        try:
            self._session.workspace.record(step)
        except SandboxError as error:
            return self._replace_sandbox(error)
        return observation

    def _replace_sandbox(self, error: SandboxError) -> Observation:
        self._replacements += 1
        if self._replacements > MAX_REPLACEMENTS:
            raise error
        self._session.workspace.replace()
        return Observation(
            f"The sandbox was lost during this call ({error}) and has been replaced. The tree is "
            "as it was after the last finished step; processes and files outside it are gone.",
            ok=False,
        )

    def _answer(
        self, call: dict[str, Any], step: int, observation: Observation, notice: str = ""
    ) -> None:
        self._run.append(
            "tool_result",
            step,
            call_id=call["id"],
            name=call["name"],
            content=observation.text + notice,
            ok=observation.ok,
            data=observation.data,
        )

    def _show(self, progress: Progress) -> None:
        text = self._run.shortened(progress.text, LONGEST_DISCARDED)
        self._run.append("delta", **asdict(replace(progress, text=text)))


def _worth_another(evidence: Evidence, *, repeated: bool) -> bool:
    """Return whether to ask for a better change; one the model insists on is left unproved."""
    if evidence.verdict is Verdict.UNPROVED:
        return evidence.mendable and not repeated
    return evidence.verdict is Verdict.REFUTED


def _refutation(prompts: Prompts, evidence: Evidence) -> str:
    """Return what tells the model why its change was not accepted, and what to do."""
    if evidence.verdict is Verdict.UNPROVED:
        return prompts.render(
            "unproved",
            problem=evidence.problem,
            tricks=evidence.tricks,
            warnings=evidence.warnings,
            notes=evidence.notes,
        ).strip()
    return prompts.render(
        "refuted",
        problem=evidence.problem,
        violations=evidence.violations,
        tricks=evidence.tricks,
        regressions=evidence.regressions[:20],
        more=max(0, len(evidence.regressions) - 20),
        failure=clip(evidence.failure, 1_500),
    ).strip()
