"""Write the table of settings in docs/configuration.md from agent/settings/table.py.

python scripts/document_settings.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from reapair.agent.settings.table import SETTINGS
from reapair.agent.surfaces.cli.options import flags_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
MARK = "<!-- settings -->"


def page(text: str) -> str:
    """Return the page with the table as it should be."""
    head, _, rest = text.partition(MARK)
    tail = rest[rest.index("\n## ") :]
    return f"{head}{MARK}\n<!-- Made by scripts/document_settings.py. -->\n\n{_table()}{tail}"


def _table() -> str:
    rows = ["| setting | flag | default | |", "|---|---|---|---|"]
    for name, setting in SETTINGS.items():
        flags = [] if setting.option == "" else flags_of(name).split("/")
        flag = ", ".join(f"`{each}`" for each in flags)
        default = setting.unset or f"`{str(setting.default).lower()}`"
        meaning = f"{setting.help} {setting.more}".strip().replace("|", "\\|")
        rows.append(f"| `{name}` | {flag} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    now = PAGE.read_text("utf-8")
    wanted = page(now)
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, "utf-8")
    elif re.sub(r"\s+$", "", now) != re.sub(r"\s+$", "", wanted):
        sys.exit("docs/configuration.md is out of date: run scripts/document_settings.py")
