"""What to change on each kind of server, by what is wrong there."""

from __future__ import annotations

PARSER = {
    "llama.cpp": "Start llama-server with --jinja and a GGUF that has the model's own template.",
    "vllm": "Start vLLM with --enable-auto-tool-choice --tool-call-parser glm47.",
    "ollama": "Update Ollama, or serve the model with llama.cpp: its parser for GLM is better.",
    "lmstudio": "Update LM Studio and the model's chat template.",
}
"""Calls don't arrive as calls."""

REASONING = {
    "llama.cpp": "Start llama-server with --reasoning-format auto.",
    "vllm": "Start vLLM with --reasoning-parser glm45.",
    "lmstudio": "Switch on the setting that puts reasoning_content apart (Developer settings).",
}
"""Reasoning comes inside the text."""

KEPT = {
    "llama.cpp": "Use the model's own template, and leave --reasoning-preserve on.",
    "vllm": "Start vLLM with --default-chat-template-kwargs '{\"clear_thinking\": false}'.",
}
"""Reasoning of earlier turns is dropped."""

CONTEXT = {
    "llama.cpp": "Start llama-server with -c 65536.",
    "vllm": "Start vLLM with --max-model-len 65536.",
    "ollama": "Start Ollama with OLLAMA_CONTEXT_LENGTH=65536: it cuts longer prompts silently.",
    "lmstudio": "Load the model with `lms load MODEL --context-length 65536`.",
}
"""The context is small or unknown."""

CACHE = {
    "llama.cpp": "Start llama-server with -np 1, so that no other client takes the slot.",
    "vllm": "Start vLLM with --enable-prefix-caching --enable-prompt-tokens-details.",
}
"""The prompt is read again each time."""
