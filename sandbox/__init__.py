"""Sandboxes, where all commands run, and the engines that make them."""

from reapair.sandbox.base import (
    OUTPUT_LIMIT,
    WORKSPACE,
    ExecResult,
    Kind,
    Sandbox,
    SandboxError,
)
from reapair.sandbox.engines import choose
from reapair.sandbox.environment import Engine, Environment, SetupError

__all__ = [
    "OUTPUT_LIMIT",
    "WORKSPACE",
    "Engine",
    "Environment",
    "ExecResult",
    "Kind",
    "Sandbox",
    "SandboxError",
    "SetupError",
    "choose",
]
