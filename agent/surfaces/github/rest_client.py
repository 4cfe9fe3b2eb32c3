"""The few requests to GitHub that we make: tried again where that helps, else one clear line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from reapair.agent.surfaces.github.reference import api_url, token_for
from reapair.sandbox.secrets import HIDDEN

if TYPE_CHECKING:
    import httpx2

TRIES = 4
LONGEST_WAIT = 90.0
"""Seconds that a limit is waited for at most; a longer one ends the work."""

PAGE = 100
_WORDS_LIMIT = 200


class GitHubError(Exception):
    """GitHub refused or was not there. The message says why and what to do, in one line.

    `status` is that of the answer, 0 when there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class GitHub:
    """A client of one server's API.

    Args:
        server: its address for people, as `https://github.com`.
        token: None asks without: public things only, sixty requests an hour.
        sleep: waits some seconds; tests need not.
    """

    def __init__(
        self, server: str, token: str | None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        import httpx2

        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "reapair",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.server = server
        self._token = token
        self._sleep = sleep
        self._http = httpx2.Client(base_url=api_url(server), headers=headers, timeout=30.0)

    @classmethod
    def at(cls, server: str) -> Self:
        """Return a client with the user's own token for the server. Raises NoSuchPlaceError."""
        return cls(server, token_for(server))

    def get(self, path: str, **query: str | int) -> Any:
        """Return what is at a path, as JSON. Raises GitHubError."""
        return self._ask("GET", path, query=query)

    def find(self, path: str, **query: str | int) -> Any:
        """Return what is at a path, None where there is nothing. Raises GitHubError."""
        try:
            return self.get(path, **query)
        except GitHubError as error:
            if error.status == 404:
                return None
            raise

    def pages(self, path: str, most: int, **query: str | int) -> Iterator[Any]:
        """Yield the items of a list, at most so many. Raises GitHubError."""
        for page in range(1, -(-most // PAGE) + 1):
            items = self.get(path, per_page=PAGE, page=page, **query)
            yield from items
            if len(items) < PAGE:
                return

    def post(self, path: str, *, once: bool = False, **body: Any) -> Any:
        """Create something and return it. Raises GitHubError.

        With `once` an answer that got lost is an error, where a second request would make a
        second thing.
        """
        return self._ask("POST", path, body=body, once=once)

    def patch(self, path: str, **body: Any) -> Any:
        """Change something and return it. Raises GitHubError."""
        return self._ask("PATCH", path, body=body)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        once: bool = False,
    ) -> Any:
        import httpx2

        for attempt in range(1, TRIES + 1):
            wait: float | None = float(2 ** (attempt - 1))
            try:
                # Only what is read may be followed to a new name: a POST would become a GET.
                response = self._http.request(
                    method, path, params=query, json=body, follow_redirects=method == "GET"
                )
            except httpx2.HTTPError as error:
                problem = self._unreachable(error)
                wait = None if once else wait
            else:
                if response.is_success:
                    return _json(response)
                problem = self._refused(method, path, response)
                wait = _wait(response, wait, once=once)
            if wait is None or attempt == TRIES:
                raise problem
            self._sleep(wait)
        raise AssertionError

    def _unreachable(self, error: Exception) -> GitHubError:
        words = self._clean(str(error)) or type(error).__name__
        return GitHubError(f"{self._http.base_url} cannot be reached ({words}). Try again later.")

    def _refused(self, method: str, path: str, response: httpx2.Response) -> GitHubError:
        status, said = response.status_code, self._clean(_message(response))
        what = f"{method} {path}"
        if _limit_ends(response) is not None:
            words = self._limit_words(response)
        elif status == 401:
            words = "GitHub does not accept the token. Set GITHUB_TOKEN anew, or gh auth login."
        elif "archived" in said.lower():
            words = "The repository is archived, so nothing in it can be changed. Unarchive it."
        elif "not permitted to create or approve pull requests" in said:
            words = (
                "GitHub Actions may not create pull requests here. Allow it in the repository's "
                "settings under Actions, General, Workflow permissions."
            )
        elif status == 403:
            words = f"The token may not do this ({what}: {said}). Give it the right to."
        elif status in (404, 410):
            words = f"GitHub has nothing at {path} that this token may see ({said})."
            words += "" if self._token else " Private things need GITHUB_TOKEN or gh auth login."
        elif status >= 500:
            words = f"GitHub failed ({status}) at {what}. Try again later."
        else:
            words = f"GitHub refused {what} ({status}: {said})."
        return GitHubError(words, status)

    def _limit_words(self, response: httpx2.Response) -> str:
        ends = time.strftime("%H:%M UTC", time.gmtime(_limit_ends(response)))
        more = "" if self._token else " With GITHUB_TOKEN set there is far more of it."
        return f"GitHub's rate limit is used up until {ends}. Go on then.{more}"

    def _clean(self, text: str) -> str:
        """Return words from outside on one line, without the token."""
        if self._token:
            text = text.replace(self._token, HIDDEN)
        printable = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(printable.split())[:_WORDS_LIMIT]


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise GitHubError(
            f"{response.url.host} did not answer like GitHub. Check the server's address.",
            response.status_code,
        ) from None


def _message(response: httpx2.Response) -> str:
    """Return GitHub's own words, those on each wrong field too."""
    try:
        answer = response.json()
        said = [str(answer.get("message", ""))]
        errors = answer.get("errors") or []
        said += [
            str(e.get("message") or e.get("code")) if isinstance(e, dict) else e for e in errors
        ]
        return "; ".join(map(str, said))
    except (ValueError, AttributeError, TypeError):
        return response.reason_phrase


def _limit_ends(response: httpx2.Response) -> float | None:
    """Return when a rate limit ends, in seconds since the epoch; None when it is none."""
    headers = response.headers
    if response.status_code not in (403, 429):
        return None
    if headers.get("retry-after", "").isdigit():
        return time.time() + int(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        return float(reset) if reset.isdigit() else time.time() + 60
    if "secondary rate limit" in _message(response).lower() or response.status_code == 429:
        return time.time() + 60
    return None


def _wait(response: httpx2.Response, usual: float | None, *, once: bool) -> float | None:
    """Return the seconds after which the request is worth repeating, None when it never is."""
    ends = _limit_ends(response)
    if ends is not None:  # A limited request was not carried out, so it can always be repeated.
        left = max(ends - time.time(), 1.0)
        return left if left <= LONGEST_WAIT else None
    return usual if response.status_code >= 500 and not once else None
