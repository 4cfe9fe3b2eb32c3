"""The page that tells a run to people: one file, from disk, without a network."""

from reapair.agent.surfaces.report.page import render
from reapair.agent.surfaces.report.run_report import FILE_NAME, write_report

__all__ = ["FILE_NAME", "render", "write_report"]
