"""Write the table of settings in docs/configuration.md from agent/settings/settings.py.

python scripts/document_settings.py [--check]
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
MARK = "<!-- settings -->"


def page(text: str) -> str:
    """Return the page with the table as it should be."""
    head, _, rest = text.partition(MARK)
    tail = rest[rest.index("\n## ") :]
    return f"{head}{MARK}\n<!-- Made by scripts/document_settings.py. -->\n\n{_table()}{tail}"


def _table() -> str:
    from reapair.agent.settings.settings import Settings

    flags = (ROOT / "agent/surfaces/cli/solve.py").read_text("utf-8")
    rows = ["| setting | flag | default | |", "|---|---|---|---|"]
    meanings = _meanings()
    for name, field in Settings.model_fields.items():
        flag = f"`--{name.replace('_', '-')}`" if f'"{name}"' in flags else ""
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, [], {}) else f"`{str(default).lower()}`"
        meaning = " ".join(meanings[name].split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {flag} | {shown} | {meaning} |")
    return "\n".join(rows) + "\n"


def _meanings() -> dict[str, str]:
    """Return the string that stands below each field."""
    tree = ast.parse((ROOT / "agent/settings/settings.py").read_text("utf-8"))
    found: dict[str, str] = {}
    for block in ast.walk(tree):
        if isinstance(block, ast.ClassDef):
            for field, below in zip(block.body, block.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                    found[ast.unparse(field.target)] = ast.literal_eval(below.value)
    return found


if __name__ == "__main__":
    now = PAGE.read_text("utf-8")
    wanted = page(now)
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, "utf-8")
    elif re.sub(r"\s+$", "", now) != re.sub(r"\s+$", "", wanted):
        sys.exit("docs/configuration.md is out of date: run scripts/document_settings.py")
