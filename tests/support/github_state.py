"""What a repository on GitHub holds: issues, comments, pulls, rights; its git is a real one."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

READS, WRITES, PERSON = "ghs_reads_0123456789", "ghs_writes_0123456789", "ghp_person_0123456789"
"""Tokens of the job that solves, of the job that publishes, and of a person with all rights."""

WRITE = frozenset(("contents", "issues", "pull_requests"))
LONG_AGO = "2026-01-01T10:00:00Z"


class Refusal(Exception):  # noqa: N818
    """An answer that is no success."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            self.body["errors"] = errors


@dataclass
class Caller:
    """Who a token belongs to, and what it may write. A job's token may not ask who it is."""

    login: str
    writes: frozenset[str] = WRITE
    type: str = "User"


@dataclass
class State:
    """One repository. `callers` are known by their tokens."""

    bare: Path
    name: str = "acme/widgets"
    url: str = ""
    archived: bool = False
    private: bool = False
    drafts: bool = True
    actions_may_create_pulls: bool = True
    callers: dict[str, Caller] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    issues: dict[int, Json] = field(default_factory=dict)
    comments: dict[int, Json] = field(default_factory=dict)
    pulls: dict[int, Json] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)

    def git(self, *arguments: str, stdin: bytes = b"", **env: str) -> str:
        done = subprocess.run(
            ["git", "--git-dir", str(self.bare), *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            env=os.environ | env,
        )
        if done.returncode:
            raise Refusal(422, done.stderr.decode("utf-8", "replace").strip())
        return done.stdout.decode("utf-8", "replace").strip()

    def add_issue(self, number: int, title: str, body: str | None, login: str = "reporter") -> Json:
        self.issues[number] = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "user": {"login": login, "type": "User"},
            "author_association": "NONE",
            "html_url": f"{self.url}/{self.name}/issues/{number}",
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "labels": [],
        }
        return self.issues[number]

    def add_comment(
        self,
        number: int,
        body: str,
        login: str,
        *,
        kind: str = "User",
        created: str = LONG_AGO,
        updated: str | None = None,
    ) -> Json:
        identity = len(self.comments) + 1
        self.comments[identity] = {
            "id": identity,
            "issue": number,
            "body": body,
            "user": {"login": login, "type": kind},
            "author_association": "MEMBER" if login in self.permissions else "NONE",
            "created_at": created,
            "updated_at": updated or created,
        }
        return self.comments[identity]

    def repository(self) -> Json:
        return {
            "full_name": self.name,
            "html_url": f"{self.url}/{self.name}",
            "default_branch": "main",
            "archived": self.archived,
            "private": self.private,
            "has_issues": True,
            "fork": False,
        }

    def issue(self, number: int) -> Json:
        if number in self.issues:
            return self.issues[number]
        if number in self.pulls:
            return {**self.pulls[number], "pull_request": {"url": "…"}}
        raise Refusal(404, "Not Found")

    # -- git ---------------------------------------------------------------------------------

    def blob(self, body: Json) -> Json:
        data = base64.b64decode(body["content"], validate=True)
        return {"sha": self.git("hash-object", "-w", "--stdin", stdin=data)}

    def tree(self, body: Json) -> Json:
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            if "base_tree" in body:
                self.git("read-tree", body["base_tree"], **index)
            zeros = "0" * 40
            lines = [
                f"{item['mode'] if item['sha'] else '0'} {item['sha'] or zeros}\t{item['path']}"
                for item in body["tree"]
            ]
            entries = "\0".join([*lines, ""]).encode()
            self.git("update-index", "-z", "--index-info", stdin=entries, **index)
            return {"sha": self.git("write-tree", **index)}

    def commit(self, body: Json, caller: Caller) -> Json:
        parents = [word for parent in body.get("parents", ()) for word in ("-p", parent)]
        who = {}
        for role in ("AUTHOR", "COMMITTER"):
            who |= {f"GIT_{role}_NAME": caller.login, f"GIT_{role}_EMAIL": f"{caller.login}@x.test"}
        sha = self.git("commit-tree", body["tree"], *parents, stdin=body["message"].encode(), **who)
        if "author" in body or "committer" in body:  # GitHub signs only what is wholly its own.
            self.unsigned.append(sha)
        return self.commit_of(sha)

    def commit_of(self, sha: str) -> Json:
        try:
            tree, parents, message = self.git(
                "show", "-s", "--format=%T%x00%P%x00%B", f"{sha}^{{commit}}"
            ).split("\0")
        except Refusal:
            raise Refusal(404, "Not Found") from None
        return {
            "sha": sha,
            "tree": {"sha": tree},
            "parents": [{"sha": parent} for parent in parents.split()],
            "message": message,
            "verification": {"verified": sha not in self.unsigned},
        }

    def ref(self, name: str) -> Json:
        try:
            sha = self.git("rev-parse", "--verify", "--quiet", f"refs/{name}")
        except Refusal:
            raise Refusal(404, "Not Found") from None
        return {"ref": f"refs/{name}", "object": {"sha": sha, "type": "commit"}}

    def create_ref(self, body: Json) -> Json:
        if not re.fullmatch(r"refs/heads/[\w./-]+", body["ref"]):
            raise Refusal(422, "Reference name must start with 'refs' and have two slashes.")
        try:
            self.ref(body["ref"].removeprefix("refs/"))
        except Refusal:
            self.git("update-ref", body["ref"], body["sha"])
            return self.ref(body["ref"].removeprefix("refs/"))
        raise Refusal(422, "Reference already exists")

    def update_ref(self, name: str, body: Json) -> Json:
        old = self.ref(name)["object"]["sha"]
        base = self.git("merge-base", old, body["sha"])
        if base != old and not body.get("force"):
            raise Refusal(422, "Update is not a fast forward")
        self.git("update-ref", f"refs/{name}", body["sha"])
        return self.ref(name)

    def compare(self, basehead: str) -> Json:
        base, _, head = basehead.partition("...")
        try:
            ahead = int(self.git("rev-list", "--count", f"{base}..{head}"))
            behind = int(self.git("rev-list", "--count", f"{head}..{base}"))
        except Refusal:
            raise Refusal(404, "Not Found") from None
        status = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind"}
        files = self.git("diff", "--name-only", f"{base}...{head}").splitlines()
        return {
            "status": status.get((ahead > 0, behind > 0), "diverged"),
            "ahead_by": ahead,
            "behind_by": behind,
            "files": [
                {"filename": path, "patch": self.git("diff", f"{base}...{head}", "--", path)}
                for path in files
            ],
        }

    # -- pull requests -----------------------------------------------------------------------

    def create_pull(self, body: Json, caller: Caller) -> Json:
        if caller.type == "Bot" and not self.actions_may_create_pulls:
            raise Refusal(
                403, "GitHub Actions is not permitted to create or approve pull requests."
            )
        if body.get("draft") and not self.drafts:
            raise Refusal(422, "Draft pull requests are not supported in this repository.")
        head, base = self.ref(f"heads/{body['head']}"), self.ref(f"heads/{body['base']}")
        if any(p["head"]["ref"] == body["head"] for p in self.open_pulls()):
            message = f"A pull request already exists for {self.name}:{body['head']}."
            raise Refusal(422, "Validation Failed", [{"message": message}])
        number = max([*self.issues, *self.pulls, 0]) + 1
        place = {"full_name": self.name}
        self.pulls[number] = {
            "number": number,
            "html_url": f"{self.url}/{self.name}/pull/{number}",
            "state": "open",
            "draft": body.get("draft", False),
            "title": body["title"],
            "body": body.get("body"),
            "user": {"login": caller.login, "type": caller.type},
            "head": {"ref": body["head"], "sha": head["object"]["sha"], "repo": place},
            "base": {"ref": body["base"], "sha": base["object"]["sha"], "repo": place},
        }
        return self.pulls[number]

    def open_pulls(self) -> list[Json]:
        return [pull for pull in self.pulls.values() if pull["state"] == "open"]

    def find_pulls(self, query: dict[str, list[str]]) -> list[Json]:
        head = query.get("head", [""])[0].partition(":")[2]
        found = self.open_pulls() if query.get("state") == ["open"] else list(self.pulls.values())
        return [p for p in found if not head or p["head"]["ref"] == head]
