"""Print docs/events.md, made from the models that every stored event is checked against.

python scripts/document_events.py > docs/events.md
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic.fields import FieldInfo

from reapair.agent.log.events import VERSION, Event
from reapair.agent.log.formats import MODELS

HEAD = """# The event log

<!-- Made by scripts/document_events.py from agent/log/formats.py: change it there. -->

Each run keeps its whole story in `events.jsonl`, one JSON object a line, in ASCII; nothing in it is
ever changed. `agent show RUN --json` prints it, `agent solve --json` prints it while it grows. This
is version {version}.

- A reader passes over fields that it does not know, and refuses a line of a later version or of an
  unknown kind.
- A last line that is not whole is what a crash has left: it is cut off when the run is resumed.
- The directory is open to its owner only (0700, files 0600). Keys are never written: not the API
  key, not what stands before the `@` of an address or in its query.
- Text holds whatever was there, also lone halves of surrogate pairs (`\\ud800`) and NUL.

## Every event

| field | type | |
|---|---|---|
| v | integer | Version of the format. |
| run | string | Id of the run. |
| seq | integer | Counts the stored events from 1; 0 for events that are not stored. |
| ts | number | Seconds since the epoch. |
| attempt | integer | One of several tries at the issue, from 1. |
| step | integer | The step that it belongs to, from 1; 0 before the first. |
| kind | string | One of those below. |
| data | object | As its kind says. |

Two kinds are shown only while they happen and never stored: `delta` (a part of an answer) and
`progress` (a line about what takes its time)."""


def main() -> None:
    """Print the document."""
    assert "data" in Event.__slots__
    print(HEAD.replace("{version}", str(VERSION)))
    for kind, model in MODELS.items():
        print(f"\n## {kind}\n\n{inspect.getdoc(model)}\n\n| field | type | |\n|---|---|---|")
        for name, field in model.model_fields.items():
            print(f"| {name} | {_type(field)} | {field.description} |")


def _type(field: FieldInfo) -> str:
    """Name a field's type in JSON's words."""
    annotation: Any = field.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"typing\.Annotated\[str, [^]]*\]", "str", text)
    text = re.sub(r"typing\.Optional\[(.*)\]", r"\1 | None", text)
    text = re.sub(r"typing\.Literal\[(.*)\]", r"\1", text).replace("typing.", "")
    text = re.sub(r"dict\[str, ([^]]*)\]", r"object of \1", text).replace("object of Any", "object")
    text = re.sub(r"list\[(.*)\]", r"list of \1", text).replace(" | ", " or ")
    words = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
    words |= {"dict": "object", "None": "null", "NoneType": "null"}
    text = re.sub(r"(?<!')\b\w+\b(?!')", lambda found: words.get(found[0], found[0]), text)
    return text + (f" (default {json.dumps(field.default)})" if not field.is_required() else "")


if __name__ == "__main__":
    main()
