"""What the server reads before the first request, and keeps for a run that is stopped.

None of this is a step, none of it is logged as a request, and no failure of it is anybody's
business: the first request then pays what it would have paid anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reapair.agent.model.connection import Hangup, brief_client, http_client, server_root
from reapair.agent.model.limits import parse_json
from reapair.agent.model.request import Rendering, prompt

if TYPE_CHECKING:
    import httpx2

    from reapair.agent.model.types import Message, Server

_QUICK = 5.0
_SAVE_SECONDS = 10.0
_RESTORE_SECONDS = 60.0


class Ahead:
    """Speaks to one server beside the chat requests, with the same key and address.

    Args:
        server: only llama.cpp and vLLM can be asked for such things.
        api_key, headers: sent to this server only; None sends none.
    """

    def __init__(
        self, server: Server, api_key: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._server = server
        self._root = server_root(server.base_url)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._headers |= headers or {}

    def idle_slot(self) -> int | None:
        """Return the slot of llama.cpp that nobody has used for longest; None when not told."""
        if self._server.kind == "llama.cpp":
            with self._quietly(), self._brief(_QUICK) as client:
                slots = parse_json(client.get(f"{self._root}/slots").raise_for_status().content)
                idle = [slot for slot in slots if not slot["is_processing"]] or slots
                # Tasks are counted up. Between two steps of another run its slot is idle, too.
                return int(min(idle, key=lambda slot: slot.get("id_task", -1))["id"])
        return None

    def save(self, slot: int, name: str) -> None:
        """Keep what a slot has read under a name, where the server has `--slot-save-path`."""
        self._move("save", slot, name, _SAVE_SECONDS)

    def restore(self, slot: int, name: str) -> None:
        """Read back what was saved."""
        self._move("restore", slot, name, _RESTORE_SECONDS)

    def read(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        slot: int | None,
        rendering: Rendering | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the server read the start of every request that begins with these messages.

        Args:
            messages, tools: as in a chat request.
            slot: of llama.cpp.
            rendering: as for the chat requests.
            on_sent: called when the server has been told; to read can take it minutes.
        """

        def trace(event: str, _: object) -> None:
            if event.endswith("send_request_body.complete"):
                on_sent()

        with self._quietly(), self._client() as client:
            # What does not depend on the words of the next message is the part that stays.
            bodies = [
                prompt(self._server, [*messages, {"role": "user", "content": word}], tools,
                       thinking=True, rendering=rendering)
                for word in ("x", "Y")
            ]  # fmt: skip
            request: dict[str, Any] = {"model": self._server.model}
            # Without its number, the request could take another slot than the run's.
            if self._server.kind == "llama.cpp" and slot is not None:
                texts = [self._post(client, "/apply-template", body)["prompt"] for body in bodies]
                request |= {"prompt": common_start(*texts), "n_predict": 0, "cache_prompt": True}
                request["id_slot"] = slot
                self._post(client, "/completion", request, trace)
            elif self._server.kind == "vllm":
                tokens = [self._post(client, "/tokenize", body)["tokens"] for body in bodies]
                request |= {"prompt": common_start(*tokens), "max_tokens": 1}
                self._post(client, "/v1/completions", request, trace)

    def _move(self, action: str, slot: int, name: str, seconds: float) -> None:
        with self._quietly(), self._brief(seconds) as client:
            self._post(client, f"/slots/{slot}?action={action}", {"filename": f"{name}.bin"})

    def _client(self) -> httpx2.Client:
        return http_client(self._root, timeout=_QUICK, hangup=Hangup(), headers=self._headers)

    def _brief(self, seconds: float) -> contextlib.AbstractContextManager[httpx2.Client]:
        return brief_client(self._root, seconds, Hangup(), headers=self._headers)

    def _post(
        self,
        client: httpx2.Client,
        path: str,
        body: dict[str, Any],
        trace: Callable[[str, object], None] | None = None,
    ) -> Any:
        """Return the answer's JSON; with a trace, however long it takes."""
        more: dict[str, Any] = {"timeout": None, "extensions": {"trace": trace}} if trace else {}
        answer = client.post(f"{self._root}{path}", json=body, **more).raise_for_status()
        return parse_json(answer.content)

    @staticmethod
    def _quietly() -> contextlib.AbstractContextManager[None]:
        import httpx2

        # A server that does not know the endpoint, or answers it in another way.
        return contextlib.suppress(
            httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError, AttributeError
        )


def common_start(one: Any, other: Any) -> Any:
    """Return the common start of two strings or two lists."""
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))]
