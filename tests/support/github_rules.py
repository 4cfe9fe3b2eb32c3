"""What GitHub lets a request look like: checked strictly, by its own OpenAPI description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SLICE = Path(__file__).parents[1] / "data/github_api.json"


class Rules:
    """The routes of the slice, and what a request to them may hold."""

    def __init__(self) -> None:
        self._routes = [
            (method.upper(), _pattern(path, operation), path, operation)
            for path, methods in json.loads(SLICE.read_text())["paths"].items()
            for method, operation in methods.items()
        ]

    def route(self, method: str, path: str) -> tuple[str, dict[str, str], Any] | None:
        """Return the route's template, the path's values and the operation; None for no route."""
        for known, pattern, template, operation in self._routes:
            found = pattern.fullmatch(path)
            if known == method and found:
                values = {name: unquote(value) for name, value in found.groupdict().items()}
                return template, values, operation
        return None

    def problems(
        self, operation: Any, query: dict[str, list[str]], headers: Any, body: bytes
    ) -> list[str]:
        """Return what is wrong with a request; stricter than GitHub, which ignores what is new."""
        found = [
            f"header {name} is missing"
            for name in ("User-Agent", "X-GitHub-Api-Version")
            if not headers.get(name)
        ]
        if headers.get("Accept") != "application/vnd.github+json":
            found.append(f"Accept is {headers.get('Accept')}")
        known = {each["name"]: each for each in operation["parameters"] if each["in"] == "query"}
        for name, values in query.items():
            if name not in known:
                found.append(f"query {name} is unknown")
                continue
            found += _schema_problems(known[name]["schema"], _read(values[0]), f"query {name}")
        return found + self._body_problems(operation.get("requestBody"), body)

    def _body_problems(self, described: Any, body: bytes) -> list[str]:
        if described is None:
            return ["there must be no body"] if body else []
        try:
            value = json.loads(body)
        except ValueError:
            return ["the body is no JSON"] if body or described["required"] else []
        schema = described["schema"]
        unknown = set(value) - set(schema.get("properties", {}))
        found = [f"body: {name} is unknown" for name in sorted(unknown)]
        return found + _schema_problems(schema, value, "body")


def _schema_problems(schema: Any, value: Any, where: str) -> list[str]:
    from openapi_schema_validator import OAS30Validator

    errors = OAS30Validator(schema).iter_errors(value)
    return [f"{where}: {error.message[:200]}" for error in errors]


def _read(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _pattern(path: str, operation: Any) -> re.Pattern[str]:
    several = {each["name"] for each in operation["parameters"] if each.get("x-multi-segment")} | {
        "basehead"
    }
    return re.compile(
        re.sub(
            r"\\\{(\w+)\\\}",
            lambda m: f"(?P<{m[1]}>{'.+' if m[1] in several else '[^/]+'})",
            re.escape(path),
        )
    )
