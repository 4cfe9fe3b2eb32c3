"""Pin the demonstration's tools and prompts as the standard ones are now, before a training.

python scripts/tiny_model/pin.py
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from reapair import prompts
from reapair.agent import demo
from reapair.tools import TestRunner, schema, standard_tools
from reapair.tools.profiles.demonstration import FILE


def main() -> None:
    """Write both."""
    tools = standard_tools(TestRunner(), lambda: None, lambda _: "")
    schemas = json.dumps([schema(tool) for tool in tools], indent=1, ensure_ascii=False)
    Path(str(FILE)).write_text(schemas + "\n", "utf-8")
    for name in ("system.md", "issue.md"):
        shutil.copy(Path(prompts.__file__).with_name(name), demo.PROMPTS / name)


if __name__ == "__main__":
    main()
