"""Maven and Gradle, read from the XML files that both leave behind."""

from __future__ import annotations

import re
import shlex

from reapair.tools.observation import clip, stable
from reapair.tools.testing.runners.base import Finished, Request, Runner, only
from reapair.tools.testing.runners.junit import outcome_of
from reapair.tools.testing.test_outcomes import FAILURE_LIMIT, SuiteOutcome

_MAVEN = re.compile(r"(?<![\w-])(?:\./|/)?(?:mvnw?|mvnd)(?=\s)")
_GRADLE = re.compile(r"(?<![\w-])(?:\./|/)?gradlew?(?=\s)")
_GOAL = re.compile(r"(?<=\s)(test|verify|check|build)(?=\s|$|;|&|\|)")
_WITH_GOAL = re.compile(
    rf"(?s)\A(?=.*?(?:{_MAVEN.pattern}|{_GRADLE.pattern}))(?=.*?{_GOAL.pattern})"
)
_REPORTS = (
    r"\( -path '*/target/surefire-reports/TEST-*.xml' -o -path "
    r"'*/target/failsafe-reports/TEST-*.xml' -o -path '*/build/test-results/*/TEST-*.xml' \)"
)
_RUN = re.compile(
    r"^\[\w+\] +Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$", re.M
)
_BROKEN = re.compile(
    r"^(?:\[ERROR\] (?:COMPILATION ERROR|Failed)|.*error: |\* What went wrong)", re.M
)
_NOISE = re.compile(
    r"^\[(?:INFO|WARNING)\].*\n|^\[ERROR\] *(?:\[Help|To see|Re-run|For more).*\n", re.M
)


class Java(Runner):
    """Maven and Gradle. Ids are `package.Class::method`.

    Reports of earlier runs are deleted first, so that what is read was written by this one.
    """

    name = "Maven or Gradle"
    selects_names = True
    called = _WITH_GOAL

    def command(self, request: Request) -> str:
        """Run all modules whatever fails, and gather the reports where we read them."""
        maven = bool(_MAVEN.search(request.command))
        wanted = _class_and_method(request)
        if maven:
            options = (
                " --fail-at-end -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false"
                " -Dsurefire.skipAfterFailureCount=0 -DskipTests=false -Dmaven.test.skip=false"
            )
            options += f" -Dtest={shlex.quote('#'.join(wanted))}" if wanted else ""
        else:
            options = " --continue"
            options += f" --tests {shlex.quote('.'.join(wanted))}" if wanted else ""
        head, goal, rest = _GOAL.split(request.command, maxsplit=1)
        gather = (
            f'find "$REAPAIR_TOP" {_REPORTS} -type f | LC_ALL=C sort | head -n 20000 '
            rf"| while IFS= read -r f; do printf '\n%s\n' {_mark(request.folder)}; "
            f'cat "$f"; done > {request.folder}/report'
        )
        return (
            f'find "$REAPAIR_TOP" {_REPORTS} -delete\n'
            f"( {head}{goal}{options}{rest}\n)\n__code=$?\n{gather}\nexit $__code"
        )

    def outcome(self, finished: Finished) -> SuiteOutcome | None:
        """Read the reports; a build that fails without one is an error of its own."""
        found = outcome_of(_documents(finished.report, finished.request.folder))
        if found is not None:
            found.log = _NOISE.sub("", finished.output)
            counted = [tuple(map(int, numbers)) for numbers in _RUN.findall(finished.output)]
            if counted:
                bad = sum(row[1] + row[2] for row in counted)
                total = sum(row[0] - row[3] for row in counted)
                found.told = {"passed": total - bad, "failed": bad}
            return only(found, finished.request.selector)
        if finished.result.ok or not _BROKEN.search(finished.output):
            return None
        said = _NOISE.sub("", finished.output).strip()
        return SuiteOutcome(
            {"build": "error"}, {"build": stable(clip(said, FAILURE_LIMIT))}, collected_ok=False
        )


def _class_and_method(request: Request) -> list[str]:
    """Return the class and perhaps the method that a selector means, [] for everything."""
    path, name = request.path, request.name
    if not path:
        return []
    if path.endswith((".java", ".kt", ".groovy", ".scala")):
        path = re.sub(r"^.*?src/\w+/(?:java|kotlin|groovy|scala)/", "", path.rpartition(".")[0])
        path = path.replace("/", ".")
    elif "/" in path:
        found = re.search(r"src/\w+/(?:java|kotlin|groovy|scala)/(.+)$", path)
        path = f"{found[1].strip('/').replace('/', '.')}.*" if found else ""
    return [part for part in (path, re.sub(r"[\[(].*$", "", name)) if part]


def _documents(gathered: bytes, folder: str) -> list[bytes]:
    """Take apart what was gathered: a line with the folder's name stands before each document."""
    parts = gathered.split(f"\n{_mark(folder)}\n".encode())
    return [part.strip() for part in parts if part.strip()]


def _mark(folder: str) -> str:
    return folder.rpartition("/")[2]
