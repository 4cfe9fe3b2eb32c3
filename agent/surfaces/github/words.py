"""What people read on GitHub: the pull request, the comment, the job's summary."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from reapair.agent.result import Evidence
from reapair.agent.surfaces.github.artifact import Facts
from reapair.agent.surfaces.github.issues import MARKER
from reapair.agent.surfaces.github.reference import Reference
from reapair.agent.surfaces.github.text import code, fenced, one_line, shortened
from reapair.agent.words.run_words import VERDICTS
from reapair.sandbox.git.patch_policy import trigger_of

MOST_TESTS = 20
SUMMARY_LIMIT = 4_000

_BUILDS = re.compile(
    r"(?:.*/)?(?:setup\.(?:py|cfg)|conftest\.py|pyproject\.toml|tox\.ini|noxfile\.py|pytest\.ini|"
    r"sitecustomize\.py|package\.json|[^/]*lock(?:\.ya?ml|\.json|b)?|go\.(?:mod|sum)|"
    r"[^/]*requirements[^/]*\.txt|Cargo\.toml|build\.rs|Gemfile|Rakefile|composer\.json|pom\.xml|"
    r"[^/]*\.gradle(?:\.kts)?|gradlew(?:\.bat)?|CMakeLists\.txt|[Mm]akefile|GNUmakefile|[Jj]ustfile|"
    r"[^/]*Dockerfile[^/]*|(?:docker-)?compose[^/]*\.ya?ml|"
    r"[^/]*\.(?:sh|bash|ps1|bat|cmd|pth)|[^/]*\.config\.[cm]?[jt]s)"
)


def run_by_ci(paths: Sequence[str]) -> list[str]:
    """Return those files that builds, tests or hooks execute by themselves."""
    return [path for path in paths if _BUILDS.fullmatch(path) or trigger_of(os.fsencode(path))]


def title_of(issue_title: str, number: int) -> str:
    """Return the title of commit and pull request."""
    return f"{one_line(issue_title, 72) or 'Change'} (#{number})"


def pull_body(facts: Facts, files: Sequence[str], reference: Reference, run_url: str = "") -> str:
    """Return the text of a pull request.

    Args:
        facts: of the patch; everything in them was written by a model or a repository.
        files: that the patch changes.
        reference: the issue.
        run_url: address of the job, empty outside of one.
    """
    parts = [f"Fixes #{reference.number}", *_warnings(files), _verdict(facts.evidence)]
    if facts.summary.strip():
        parts.append("**What the model says of it**\n\n" + _fenced(facts.summary))
    parts.append(_evidence(facts.evidence))
    parts.append(_reproduce(facts.evidence, reference))
    parts.append(_made_by(facts, run_url))
    parts.append(
        "Ask for changes with a comment that begins with `/agent`. "
        f"<!-- agent:issue-{reference.number} -->"
    )
    return "\n\n".join(parts) + "\n"


def published_comment(url: str, facts: Facts, *, created: bool) -> str:
    """Return the issue's comment when there is a pull request."""
    done = "opened a draft pull request" if created else "brought the pull request up to date"
    return f"{MARKER}\nI have {done}: {url}\n\n{_verdict(facts.evidence)}\n"


def unsolved_comment(facts: Facts, run_url: str) -> str:
    """Return the issue's comment when there is a result but no pull request."""
    parts = [f"{MARKER}\nI have no change that I could stand up for.", _verdict(facts.evidence)]
    if facts.summary.strip():
        parts.append("**What the model says**\n\n" + _fenced(facts.summary))
    parts += [_evidence(facts.evidence), _made_by(facts, run_url)]
    return "\n\n".join(parts) + "\n"


def failed_comment(why: str, run_url: str) -> str:
    """Return the issue's comment when nothing came out, with the reason in one line."""
    where = f" The [job's log]({run_url}) says more." if run_url else ""
    return f"{MARKER}\nI could not work on this: {code(why, 400)}.{where}\n"


def job_summary(facts: Facts, files: Sequence[str], url: str = "") -> str:
    """Return Markdown for the job's page: verdict, evidence, files."""
    parts = [_verdict(facts.evidence), _evidence(facts.evidence)]
    if url:
        parts.insert(0, f"Pull request: {url}")
    if files:
        parts.append("Files: " + ", ".join(code(path) for path in files[:50]))
    return "\n\n".join([*parts, _made_by(facts, "")]) + "\n"


def _verdict(evidence: Evidence) -> str:
    return f"**{evidence.verdict}**: {VERDICTS[evidence.verdict][1]}"


def _warnings(files: Sequence[str]) -> Iterator[str]:
    if executed := run_by_ci(files):
        names = "\n".join(f"> - {code(path)}" for path in executed[:30])
        yield (
            "> [!WARNING]\n> Builds, tests or hooks execute these files by themselves. Read them "
            f"before anything runs on this branch:\n{names}"
        )


def _fenced(text: str) -> str:
    return fenced(shortened(text, SUMMARY_LIMIT))


def _evidence(evidence: Evidence) -> str:
    lines = []
    if evidence.reproduction:
        lines += ["| test | before | after | |", "|---|---|---|---|"]
        for shown in evidence.reproduction[:MOST_TESTS]:
            row = (code(shown.test), shown.before, shown.after, shown.origin)
            lines.append(f"| {' | '.join(row)} |")
        lines.append("")
    suite = evidence.suite
    if suite.command:
        part = "A part of the suite" if evidence.scope == "sampled" else "The suite"
        lines.append(
            f"{part} with the patch: {suite.passed} passed, {suite.failed} failed, "
            f"{suite.error} errors, {suite.skipped} skipped, {suite.missing} missing."
        )
    said = {"Regression": evidence.regressions, "Flaky": evidence.flaky}
    said |= {"Not to be trusted": evidence.tricks, "Against the rules": evidence.violations}
    said |= {"Note": [*evidence.warnings, *evidence.notes]}
    if evidence.problem:
        said |= {"Problem": [evidence.problem]}
    for name, items in said.items():
        lines += [f"- {name}: {code(item)}" for item in items[:MOST_TESTS]]
    return "\n".join(lines) or "No test was run."


def _reproduce(evidence: Evidence, reference: Reference) -> str:
    branch = f"agent/issue-{reference.number}"
    tests = [shown.test for shown in evidence.reproduction[:3]]
    command = evidence.suite.command or "the test suite"
    lines = [f"git fetch origin {branch} && git switch --detach FETCH_HEAD", command]
    lines += [f"# fails on the commit before, passes here: {test}" for test in tests]
    return "**To reproduce**\n\n" + fenced("\n".join(" ".join(line.split()) for line in lines))


def _made_by(facts: Facts, run_url: str) -> str:
    used = facts.usage
    job = f" [Job]({run_url})." if run_url else ""
    return (
        f"Made by {code(facts.model)} in {facts.steps} steps, {used.prompt_tokens} tokens in, "
        f"{used.completion_tokens} out; the run ended with {code(facts.exit_reason)}.{job}"
    )


def outcome_line(facts: Facts) -> str:
    """Return the outcome in one line for a log."""
    return f"{facts.evidence.verdict}: {VERDICTS[facts.evidence.verdict][1]}"
