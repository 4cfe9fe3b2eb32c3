"""A GitHub on loopback: keeps state over a real bare repository and checks each request strictly.

Requests are held to GitHub's own OpenAPI description (`tests/data/github_api.json`), answers to
what the client reads of them. What was wrong with a request stands in `problems`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.github_rules import Rules
from support.github_state import Caller, Json, Refusal, State

R = "/repos/{owner}/{repo}"
NOBODY = Caller("", frozenset())

NEEDS = {
    f"POST {R}/issues/{{issue_number}}/comments": "issues",
    f"PATCH {R}/issues/comments/{{comment_id}}": "issues",
    f"POST {R}/labels": "issues",
    f"POST {R}/pulls": "pull_requests",
    f"PATCH {R}/pulls/{{pull_number}}": "pull_requests",
    f"POST {R}/git/blobs": "contents",
    f"POST {R}/git/trees": "contents",
    f"POST {R}/git/commits": "contents",
    f"POST {R}/git/refs": "contents",
    f"PATCH {R}/git/refs/{{ref}}": "contents",
}
"""The right that each request needs which changes something."""


@dataclass
class Fault:
    """An answer in place of the real one: to the next `times` requests that match.

    With `after` the request is carried out all the same, and only its answer is lost.
    """

    match: str
    status: int
    message: str = "Server Error"
    times: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    after: bool = False


class GitHubServer:
    """Serves one repository until it is closed; a context manager."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.rules = Rules()
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.log: list[str] = []
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()
        self._http = _Quiet(("127.0.0.1", 0), _Handler)
        self._http.github = self  # type: ignore[attr-defined]
        self.url = state.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> GitHubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def writes(self) -> list[str]:
        """The requests that changed something."""
        return [line for line in self.log if re.fullmatch(r"(?!GET).* 20\d", line)]

    def environment(self, token: str) -> dict[str, str]:
        """Return the variables that lead a command here."""
        return {
            "GITHUB_SERVER_URL": self.url,
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": self.state.name,
            "GITHUB_TOKEN": token,
        }


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        github = self.server.github
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with github.lock:
            status, answer, headers = self._answer(github, body)
            github.log.append(f"{self.command} {self.path.partition('?')[0]} {status}")
            github.bodies.append(body)
        self._send(status, answer, headers)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self, github: GitHubServer, body: bytes) -> tuple[int, Any, Any]:
        what = f"{self.command} {self.path}"
        fault = next((f for f in github.faults if f.times and re.search(f.match, what)), None)
        if fault:
            fault.times -= 1
            if fault.after:
                self._real(github, body)
            return fault.status, {"message": fault.message}, fault.headers
        return (*self._real(github, body), ())

    def _real(self, github: GitHubServer, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(self.path.removeprefix("/api/v3"))  # Where GitHub Enterprise has it.
        found = github.rules.route(self.command, parts.path)
        if found is None:
            github.problems.append(f"no route: {self.command} {self.path}")
            return 404, {"message": "Not Found"}
        template, values, operation = found
        query = parse_qs(parts.query, keep_blank_values=True)
        wrong = github.rules.problems(operation, query, self.headers, body)
        if wrong:
            github.problems += [f"{self.command} {template}: {each}" for each in wrong]
            return 422, {"message": "Validation Failed", "errors": wrong}
        try:
            caller = self._caller(github.state)
            _check_rights(github.state, caller, f"{self.command} {template}", values)
            return _carry_out(
                github.state, caller, f"{self.command} {template}", values, query, body
            )
        except Refusal as refusal:
            return refusal.status, refusal.body

    def _caller(self, state: State) -> Caller:
        given = self.headers.get("Authorization")
        if given is None:
            return NOBODY
        if (caller := state.callers.get(given.removeprefix("Bearer "))) is None:
            raise Refusal(401, "Bad credentials")
        return caller

    def _send(self, status: int, answer: Any, headers: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _check_rights(state: State, caller: Caller, what: str, values: dict[str, str]) -> None:
    if "repo" in values and f"{values['owner']}/{values['repo']}" != state.name:
        raise Refusal(404, "Not Found")
    if state.private and caller is NOBODY:
        raise Refusal(404, "Not Found")
    if (needed := NEEDS.get(what)) is None:
        return
    if caller is NOBODY:
        raise Refusal(401, "Requires authentication")
    if needed not in caller.writes:
        raise Refusal(403, "Resource not accessible by integration")
    if state.archived:
        raise Refusal(403, "Repository was archived so is read-only.")


def _carry_out(
    state: State,
    caller: Caller,
    what: str,
    values: dict[str, str],
    query: dict[str, list[str]],
    raw: bytes,
) -> tuple[int, Any]:
    body = json.loads(raw) if raw else {}
    method, _, path = what.partition(" ")
    number = int(next((values[n] for n in ("issue_number", "pull_number") if n in values), 0))
    if path == "/user":
        if caller.type == "Bot":
            raise Refusal(403, "Resource not accessible by integration")
        return 200, {"login": caller.login}
    if path == f"{R}/issues/{{issue_number}}/comments" and method == "POST":
        state.issue(number)
        return 201, _now(state.add_comment(number, body["body"], caller.login, kind=caller.type))
    if path == f"{R}/issues/{{issue_number}}/comments":
        state.issue(number)
        return 200, _page([c for c in state.comments.values() if c["issue"] == number], query)
    if path == f"{R}/issues/comments/{{comment_id}}":
        state.comments[int(values["comment_id"])]["body"] = body["body"]
        return 200, _now(state.comments[int(values["comment_id"])])
    if path == f"{R}/collaborators/{{username}}/permission":
        permission = state.permissions.get(values["username"], "none" if state.private else "read")
        return 200, {"permission": permission, "role_name": permission}
    if path == f"{R}/labels/{{name}}":
        if values["name"] not in state.labels:
            raise Refusal(404, "Not Found")
        return 200, {"name": values["name"]}
    if path == f"{R}/labels":
        state.labels.append(body["name"])
        return 201, {"name": body["name"]}
    if path == f"{R}/actions/permissions/workflow":
        if caller.type == "Bot":
            raise Refusal(403, "Resource not accessible by integration")
        return 200, {"can_approve_pull_request_reviews": state.actions_may_create_pulls}
    if path == f"{R}/pulls/{{pull_number}}":
        pull: Json | None = state.pulls.get(number)
        if pull is None:
            raise Refusal(404, "Not Found")
        pull.update(body)
        pull["head"]["sha"] = state.ref(f"heads/{pull['head']['ref']}")["object"]["sha"]
        return 200, pull
    simple: dict[str, Any] = {
        f"GET {R}": state.repository,
        f"GET {R}/issues/{{issue_number}}": lambda: state.issue(number),
        f"GET {R}/git/ref/{{ref}}": lambda: state.ref(values["ref"]),
        f"POST {R}/git/refs": lambda: state.create_ref(body),
        f"PATCH {R}/git/refs/{{ref}}": lambda: state.update_ref(values["ref"], body),
        f"POST {R}/git/blobs": lambda: state.blob(body),
        f"POST {R}/git/trees": lambda: state.tree(body),
        f"POST {R}/git/commits": lambda: state.commit(body, caller),
        f"GET {R}/git/commits/{{commit_sha}}": lambda: state.commit_of(values["commit_sha"]),
        f"GET {R}/compare/{{basehead}}": lambda: state.compare(unquote(values["basehead"])),
        f"GET {R}/pulls": lambda: _page(state.find_pulls(query), query),
        f"POST {R}/pulls": lambda: state.create_pull(body, caller),
    }
    return (201 if method == "POST" else 200), simple[what]()


def _now(comment: Json) -> Json:
    comment["updated_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return comment


def _page(items: list[Any], query: dict[str, list[str]]) -> list[Any]:
    size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
    return items[(page - 1) * size : page * size]
