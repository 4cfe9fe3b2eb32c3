"""How llama.cpp and vLLM put an answer on the wire, as captured from real servers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PEG_ERROR = {
    "error": {
        "code": 500,
        "message": "The model produced output that does not match the expected peg-native format",
        "type": "server_error",
    }
}


@dataclass(frozen=True)
class Counts:
    """Tokens of one exchange."""

    prompt: int
    cached: int
    completion: int


def count_tokens(text: str) -> int:
    """Return a size in tokens that depends on the text alone."""
    return len(re.findall(r"\w{1,5}|[^\w\s]|\s+", text))


def pieces(text: str) -> list[str]:
    """Cut a text into token-like pieces."""
    return re.findall(r"\s*\w{1,5}|[^\w\s]|\s+", text)


def identifier(*parts: object, length: int = 32) -> str:
    """Return letters and digits that look random and depend on the parts alone."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:length]


class LlamaCpp:
    """llama.cpp's server: `reasoning_content`, timings, 32-character ids, no connection reuse."""

    name = "llama.cpp"
    reasoning_key = "reasoning_content"
    closes_after_stream = True
    slots = 1
    cuts = False
    """Whether a prompt that is too long loses its start instead of being refused."""

    def __init__(self, model: str, context: int) -> None:
        self.model, self.context = model, context
        self.headers = {"Server": "llama.cpp", "Access-Control-Allow-Origin": ""}

    def get(self, path: str) -> Json | None:
        """Answer a GET beside the API, or None."""
        if path in ("/health", "/v1/health"):
            return {"status": "ok"}
        if path == "/props":
            return {
                "default_generation_settings": {"params": {}, "n_ctx": self.context},
                "total_slots": self.slots,
                "model_alias": self.model,
                "model_path": "model.gguf",
                "chat_template": "[gMASK]<sop>{{ clear_thinking }}{{ reasoning_content }}",
                "chat_template_caps": {"supports_tools": True, "supports_preserve_reasoning": True},
                "build_info": "b99999-0c1e57098",
            }
        if path == "/v1/models":
            meta = {"n_ctx": self.context, "n_ctx_train": 202_752}
            entry = {"id": self.model, "object": "model", "owned_by": "llamacpp", "meta": meta}
            return {"object": "list", "data": [entry]}
        if path == "/slots":
            return [{"id": 0, "n_ctx": self.context, "is_processing": False}]  # type: ignore[return-value]
        return None

    def post(self, path: str, body: Json, prompt: int) -> Json | None:
        """Answer a POST beside the chat endpoint, or None."""
        if path == "/tokenize":
            return {"tokens": list(range(count_tokens(body.get("content", ""))))}
        if path == "/apply-template":
            return {"prompt": json.dumps(body["messages"])}
        if path == "/v1/chat/completions/input_tokens":
            return {"input_tokens": prompt, "object": "response.input_tokens"}
        return None

    def error(self, status: int, kind: str, message: str, **extra: Any) -> Json:
        """Return an error body."""
        kind = kind or {401: "authentication_error", 404: "not_found_error"}.get(status, kind)
        return {"error": {"code": status, "message": message, "type": kind, **extra}}

    def overflow(self, prompt: int) -> Json:
        """Return the body for a prompt that does not fit."""
        message = (
            f"request ({prompt} tokens) exceeds the available context size ({self.context} "
            "tokens), try increasing it"
        )
        sizes = {"n_prompt_tokens": prompt, "n_ctx": self.context}
        return self.error(400, "exceed_context_size_error", message, **sizes)

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        """Return the error for a request that this server does not take, or None."""
        for message in body["messages"]:
            for call in message.get("tool_calls") or ():
                try:
                    arguments = json.loads(call["function"]["arguments"])
                except ValueError:
                    text = "Failed to parse tool call arguments as JSON: [json.exception]"
                    return 500, self.error(500, "server_error", text)
                if not isinstance(arguments, dict):
                    text = "Unable to generate parser for this template."
                    return 400, self.error(400, "invalid_request_error", text)
        return None

    def call_id(self, *seed: object) -> str:
        """Return the id of a call."""
        return identifier(*seed)

    def usage(self, counts: Counts) -> Json:
        """Return usage and timings."""
        timings = {
            "cache_n": counts.cached,
            "prompt_n": counts.prompt - counts.cached,
            "prompt_ms": 2.0,
            "prompt_per_second": 500.0 * (counts.prompt - counts.cached),
            "predicted_n": counts.completion,
            "predicted_ms": 10.0,
            "predicted_per_second": 100.0 * counts.completion,
        }
        return {"usage": _usage(counts), "timings": timings}

    def opening(self, body: Json, counts: Counts) -> Iterator[Json]:
        """Yield the chunks in front of the text."""
        first = {"role": "assistant", "content": None}
        if body.get("return_progress"):
            for done in (counts.cached, counts.prompt):
                progress = {"total": counts.prompt, "cache": counts.cached, "processed": done}
                yield {"delta": first, "prompt_progress": progress}
        yield {"delta": first}

    def call_deltas(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Json]:
        """Yield the deltas of one call: opened with the first character of its arguments."""
        function = {"name": name, "arguments": arguments[:1]}
        yield {"index": index, "id": call_id, "type": "function", "function": function}
        for piece in pieces(arguments[1:]):
            yield {"index": index, "function": {"arguments": piece}}


class Vllm(LlamaCpp):
    """vLLM: `reasoning`, `chatcmpl-tool-` ids, its own errors, names checked."""

    name = "vllm"
    reasoning_key = "reasoning"
    closes_after_stream = False

    def __init__(self, model: str, context: int) -> None:
        super().__init__(model, context)
        self.headers = {"Server": "uvicorn"}

    def get(self, path: str) -> Json | None:
        """Answer a GET beside the API, or None."""
        if path == "/health":
            return {}
        if path == "/version":
            return {"version": "0.33.0"}
        if path == "/v1/models":
            entry = {
                "id": self.model,
                "object": "model",
                "owned_by": "vllm",
                "root": self.model,
                "max_model_len": self.context,
            }
            return {"object": "list", "data": [entry]}
        return None

    def post(self, path: str, body: Json, prompt: int) -> Json | None:
        """Answer a POST beside the chat endpoint, or None."""
        if path == "/tokenize":
            count = prompt if "messages" in body else count_tokens(body.get("prompt", ""))
            return {"count": count, "max_model_len": self.context, "tokens": list(range(count))}
        return None

    def error(self, status: int, kind: str, message: str, **extra: Any) -> Json:
        """Return an error body."""
        names = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
        kind = names.get(status, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": None, "code": status}}

    def overflow(self, prompt: int) -> Json:
        """Return the body for a prompt that does not fit."""
        message = (
            f"This model's maximum context length is {self.context} tokens. However, your prompt "
            f"contains {prompt} input tokens, which exceeds this limit even without any output "
            "tokens. Please reduce the length of the input prompt. "
            f"(parameter=input_tokens, value={prompt})"
        )
        return self.error(400, "", message)

    def refusal(self, body: Json) -> tuple[int, Json] | None:
        """Return the error for a request that this server does not take, or None."""
        if body["model"] != self.model:
            message = f"The model `{body['model']}` does not exist."
            return 404, self.error(404, "", message)
        if body.get("tools") == []:
            return 400, self.error(400, "", "`tools` must not be an empty array.")
        if body["max_tokens"] > self.context:
            message = f"max_tokens={body['max_tokens']} cannot be greater than max_model_len"
            return 400, self.error(400, "", message)
        return None

    def call_id(self, *seed: object) -> str:
        """Return the id of a call."""
        return f"chatcmpl-tool-{identifier(*seed)}"

    def usage(self, counts: Counts) -> Json:
        """Return the usage."""
        return {"usage": _usage(counts)}

    def opening(self, body: Json, counts: Counts) -> Iterator[Json]:
        """Yield the chunks in front of the text."""
        yield {"delta": {"role": "assistant", "content": ""}}

    def call_deltas(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Json]:
        """Yield the deltas of one call: the name whole and alone, then the arguments."""
        function = {"name": name, "arguments": ""}
        yield {"index": index, "id": call_id, "type": "function", "function": function}
        for piece in pieces(arguments):
            yield {"index": index, "function": {"arguments": piece}}


def _usage(counts: Counts) -> Json:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }
