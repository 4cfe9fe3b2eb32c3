"""Every setting once: its type, its default, its words, and where the command line shows it.

The settings model, the options of the commands and the table in the documents are made from it. It
imports nothing heavy, because `agent --help` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

SandboxKind = Literal["auto", "docker", "podman", "bubblewrap", "none"]
ToolProfile = Literal["standard", "swe-smith", "bash", "demonstration"]
Strategy = Literal["auto", "guided", "loop"]
Part = Literal["execution", "reproduction", "values"]
Accepted = Literal["proved", "shown", "regression_free"]

MODEL, WORK, EFFORT, RESULT = "Model", "Repository and tests", "Effort", "Result"


class Setting(NamedTuple):
    """One setting.

    Attributes:
        kind: type of a value on the command line.
        default: value where nothing is set.
        group: heading of its options in the help.
        help: what it does, in a line.
        unset: what happens where it is not set, if the default does not say so.
        more: what the documents say besides.
        option: names on the command line, where they are not made from its own; "" for none.
        metavar: what stands for a value in the help.
    """

    kind: Any
    default: Any
    group: str
    help: str
    unset: str = ""
    more: str = ""
    option: str | None = None
    metavar: str | None = None


SETTINGS: dict[str, Setting] = {
    "base_url": Setting(
        str | None, None, MODEL, "OpenAI-compatible endpoint.",
        unset="looks on the usual local ports", metavar="URL",
    ),
    "api_key": Setting(
        str | None, None, MODEL, "Key for the endpoint.", unset="none", metavar="KEY",
        more="Sent to `base_url` only, never to a server that was found by looking.",
    ),
    "headers": Setting(
        dict[str, str], {}, MODEL,
        "More HTTP headers for `base_url`, by name; never stored, never shown.", option="",
        unset="none",
    ),
    "model": Setting(
        str | None, None, MODEL, "Name of the model.", unset="the one that the server has",
        metavar="NAME",
    ),
    "sandbox": Setting(
        SandboxKind, "auto", WORK, "Where commands run.",
        more="`auto` takes the first of Docker, podman, bubblewrap that works.",
    ),
    "image": Setting(
        str | None, None, WORK, "Container image to work in, or ./Dockerfile to build.",
        unset="our base image", metavar="IMAGE",
    ),
    "project": Setting(
        Path | None, None, WORK, "Folder whose nearest project, upwards, is set up and tested.",
        unset="the current folder", metavar="FOLDER",
    ),
    "include": Setting(
        list[str], [], WORK,
        "Ignored files that go into the sandbox too, as a pattern of .gitignore; may be repeated.",
        unset="none", metavar="PATTERN",
    ),
    "history": Setting(
        bool, True, WORK,
        "Give the sandbox the newest commits and tags; else one commit with the files.", option="",
    ),
    "setup_command": Setting(
        str | None, None, WORK,
        "Installs what the tests need; run once with network before the first step.",
        unset="found from the manifests", metavar="COMMAND",
    ),
    "test_command": Setting(
        str | None, None, WORK, "Runs the whole test suite.", unset="found from the files",
        metavar="COMMAND",
    ),
    "attempts": Setting(
        int, 1, EFFORT, "Attempts at the issue; the best is taken.",
        more="As many run at once as the server can hold.",
    ),
    "early_stop": Setting(
        bool, True, EFFORT,
        "Of several attempts, end the others when one is proved with a small change.",
    ),
    "test": Setting(
        list[str], [], WORK,
        "Id of a test that must fail before the change and pass with it; may be repeated.",
        unset="none", metavar="ID",
    ),
    "without_tests": Setting(
        bool, False, RESULT, "Hand over the change without the tests in it.",
        option="--without-tests/--with-tests",
    ),
    "tools": Setting(
        ToolProfile, "standard", MODEL,
        "Tools of the model: ours, those of SWE-smith's trajectories, or bash alone.",
        more="`demonstration` has ours as they were when the demonstration's model was trained.",
    ),
    "strategy": Setting(
        Strategy, "auto", EFFORT, "Who decides what is done next: the program or the model.",
        more="`guided`: the program finds the place and the test, the model only writes the "
        "change; `loop`: the model decides, with tools; `auto`: the first where it fits, then the "
        "second.",
    ),
    "samples": Setting(int, 8, EFFORT, "Guided: answers drawn at most for one function."),
    "repairs": Setting(
        int, 2, EFFORT,
        "Guided: further tries at a function with the output of the test that still fails.",
    ),
    "without": Setting(
        list[Part], [], EFFORT, "Guided: parts to leave out, to measure what they are worth.",
        unset="none", option="",
    ),
    "prompts": Setting(
        Path | None, None, MODEL,
        "Folder with prompts that replace ours, file by file (issue.md, system.md).",
        unset="ours", metavar="FOLDER",
    ),
    "max_steps": Setting(
        int, 75, EFFORT, "Steps before the run ends with the tree as it is.",
        more="A step is one model turn and its tool calls.",
    ),
    "max_minutes": Setting(
        float, 120, EFFORT, "Minutes before the run ends with the tree as it is."
    ),
    "max_tokens": Setting(
        int | None, None, EFFORT, "Tokens of all prompts and answers before the run ends so.",
        unset="no limit",
    ),
    "rescue": Setting(
        bool, True, MODEL,
        "Ask again after a bad answer and take calls from the text they were left in; false, for "
        "training, ends the run there: each answer in it is then the model's first.", option="",
    ),
    "accept": Setting(Accepted, "proved", RESULT, "The weakest verdict that exits with 0."),
    "patch": Setting(
        Path | None, None, RESULT, "Write the patch to this file and make no branch.",
        unset="no file", metavar="FILE",
    ),
    "apply": Setting(bool, False, RESULT, "Put the change into the work tree; make no branch."),
    "pr": Setting(
        str | None, None, RESULT,
        "Address of the issue on GitHub to open a draft pull request for, beside the branch.",
        unset="none", option="",
    ),
    "branch": Setting(
        str, True, RESULT,
        "Name of the branch for the change; a number is added to one that is taken.",
        unset="agent/ and the issue's title", metavar="NAME",
        more="false makes none. There is none either with `patch` or `apply`.",
    ),
    "runs": Setting(
        Path | None, None, RESULT, "Folder that keeps the runs.", option="",
        unset="the user's state folder",
    ),
    "keep": Setting(
        bool, True, RESULT,
        "Keep the run's folder; false removes it once there is a result, which then has it all.",
        option="",
    ),
}  # fmt: skip
