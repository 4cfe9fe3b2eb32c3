"""How Ollama and LM Studio put an answer on the wire, as far as reports and documents tell.

Neither could be asked itself: what is here is known from their documents, their sources and from
bug reports (see `agent.model.server_errors`), not from a capture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.scripted_dialects import Counts, Json, LlamaCpp, identifier


class Ollama(LlamaCpp):
    """Ollama: tells its context once the model is loaded, and cuts a longer prompt silently."""

    name = "ollama"
    reasoning_key = "reasoning"
    closes_after_stream = False
    cuts = True

    def __init__(self, model: str, context: int) -> None:
        super().__init__(model, context)
        self.headers = {}
        self.loaded = False

    def get(self, path: str) -> Json | None:
        """Answer a GET beside the API, or None."""
        if path == "/v1/models":
            entry = {"id": self.model, "object": "model", "created": 0, "owned_by": "library"}
            return {"object": "list", "data": [entry]}
        if path == "/api/version":
            return {"version": "0.32.6"}
        if path == "/api/ps":
            running = {"name": self.model, "model": self.model, "context_length": self.context}
            return {"models": [running] if self.loaded else []}
        return None

    def post(self, path: str, body: Json, prompt: int) -> Json | None:
        """Answer a POST beside the chat endpoint, or None."""
        return {"parameters": "temperature    0.7"} if path == "/api/show" else None

    def error(self, status: int, kind: str, message: str, **extra: Any) -> Json:
        """Return an error body."""
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def overflow(self, prompt: int) -> Json:
        """Return the body for a prompt that does not fit."""
        return self.error(400, "", "the input length exceeds the context length")

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        """Return the error for a request that this server does not take, or None."""
        self.loaded = True
        return None

    def call_id(self, *seed: object) -> str:
        """Return the id of a call."""
        return f"call_{identifier(*seed, length=8)}"

    def usage(self, counts: Counts) -> Json:
        """Return the usage."""
        total = counts.prompt + counts.completion
        told = {"prompt_tokens": counts.prompt, "completion_tokens": counts.completion}
        return {"usage": {**told, "total_tokens": total}}

    def opening(self, body: Json, counts: Counts) -> Iterator[Json]:
        """Yield the chunks in front of the text."""
        yield from ()

    def call_deltas(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Json]:
        """Yield the deltas of one call: all of it in one."""
        function = {"name": name, "arguments": arguments}
        yield {"index": index, "id": call_id, "type": "function", "function": function}


class LmStudio(Ollama):
    """LM Studio: errors are a text, and the reasoning is apart where its setting says so."""

    name = "lmstudio"
    reasoning_key = "reasoning_content"

    def get(self, path: str) -> Json | None:
        """Answer a GET beside the API, or None."""
        if path == "/v1/models":
            entry = {"id": self.model, "object": "model", "owned_by": "organization_owner"}
            return {"object": "list", "data": [entry]}
        if path == "/api/v0/models":
            loaded = {"state": "loaded", "loaded_context_length": self.context}
            return {"data": [{"id": self.model, **loaded}]}
        return None

    def error(self, status: int, kind: str, message: str, **extra: Any) -> Json:
        """Return an error body."""
        return {"error": message}

    def overflow(self, prompt: int) -> Json:
        """Return the body for a prompt that does not fit."""
        words = (
            f"Trying to keep the first {prompt} tokens when context the overflows. However, the "
            f"model is loaded with context length of only {self.context} tokens"
        )
        return self.error(400, "", words)

    def call_id(self, *seed: object) -> str:
        """Return the id of a call."""
        return identifier(*seed, length=9)

    def call_deltas(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Json]:
        """Yield the deltas of one call: the name, then the arguments."""
        yield from LlamaCpp.call_deltas(self, index, call_id, name, arguments)
