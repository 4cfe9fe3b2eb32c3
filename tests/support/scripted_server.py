"""The scripted model server for the tests, and for other programs from the command line.

python tests/support/scripted_server.py SCRIPT.jsonl --dialect vllm --port 8000
"""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path

from reapair.agent.lab.evaluate.scripted.dialects import DIALECTS
from reapair.agent.lab.evaluate.scripted.server import ScriptedServer

__all__ = ["ScriptedServer"]


def main() -> None:
    """Serve a script until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("script", type=Path, help="one JSON object a line")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="llama.cpp")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--context", type=int, default=32_768, metavar="TOKENS")
    chosen = parser.parse_args()
    lines = chosen.script.read_text("utf-8").splitlines()
    turns = [json.loads(line) for line in lines if line.strip()]
    with ScriptedServer(
        turns, dialect=chosen.dialect, port=chosen.port, context=chosen.context
    ) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
