"""Cut the requests we make out of GitHub's own OpenAPI description, for the tests' server.

The description comes in the npm package `@octokit/openapi` (MIT). To make the slice again:

    npm pack @octokit/openapi@23.0.2
    python tests/data/slice_github_api.py octokit-openapi-23.0.2.tgz > tests/data/github_api.json

Only what a request must look like is kept: GitHub's own examples of responses do not follow their
schemas, so responses are not checked.
"""

from __future__ import annotations

import json
import sys
import tarfile
from typing import Any

REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = (
    ("get", "/user"),
    ("get", REPOSITORY),
    ("get", f"{REPOSITORY}/issues/{{issue_number}}"),
    ("get", f"{REPOSITORY}/issues/{{issue_number}}/comments"),
    ("post", f"{REPOSITORY}/issues/{{issue_number}}/comments"),
    ("patch", f"{REPOSITORY}/issues/comments/{{comment_id}}"),
    ("get", f"{REPOSITORY}/collaborators/{{username}}/permission"),
    ("get", f"{REPOSITORY}/git/ref/{{ref}}"),
    ("post", f"{REPOSITORY}/git/refs"),
    ("patch", f"{REPOSITORY}/git/refs/{{ref}}"),
    ("post", f"{REPOSITORY}/git/blobs"),
    ("post", f"{REPOSITORY}/git/trees"),
    ("post", f"{REPOSITORY}/git/commits"),
    ("get", f"{REPOSITORY}/git/commits/{{commit_sha}}"),
    ("get", f"{REPOSITORY}/compare/{{basehead}}"),
    ("get", f"{REPOSITORY}/pulls"),
    ("post", f"{REPOSITORY}/pulls"),
    ("get", f"{REPOSITORY}/pulls/{{pull_number}}"),
    ("patch", f"{REPOSITORY}/pulls/{{pull_number}}"),
    ("get", f"{REPOSITORY}/labels/{{name}}"),
    ("post", f"{REPOSITORY}/labels"),
    ("get", f"{REPOSITORY}/actions/permissions/workflow"),
)


def main() -> None:
    """Write the slice to standard output."""
    with tarfile.open(sys.argv[1]) as package:
        member = package.extractfile("package/generated/api.github.com.json")
        assert member is not None
        whole = json.load(member)
    paths: dict[str, Any] = {}
    for method, path in OPERATIONS:
        operation = whole["paths"][path][method]
        kept = {"parameters": operation.get("parameters", [])}
        if "requestBody" in operation:
            body = operation["requestBody"]
            schema = body["content"]["application/json"]["schema"]
            kept["requestBody"] = {"required": body.get("required", False), "schema": schema}
        paths.setdefault(path, {})[method] = _resolved(kept, whole)
    print(json.dumps({"version": whole["info"]["version"], "paths": paths}, indent=1))


def _resolved(part: Any, whole: dict[str, Any]) -> Any:
    """Put what a reference names in its place, and leave out words for people."""
    if isinstance(part, list):
        return [_resolved(item, whole) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        target = whole
        for name in part["$ref"][2:].split("/"):
            target = target[name]
        return _resolved(target, whole)
    words = ("description", "example", "examples", "externalDocs")
    # A property may be called like a word for people; its schema is an object then.
    return {
        name: _resolved(value, whole)
        for name, value in part.items()
        if name not in words or isinstance(value, dict)
    }


if __name__ == "__main__":
    main()
