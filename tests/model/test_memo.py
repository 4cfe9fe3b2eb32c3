"""What is worked out of each message once."""

from __future__ import annotations

from typing import Any

from reapair.agent.model.per_message_cache import PerMessage


def test_each_message_is_worked_out_once_and_forgotten_when_it_goes() -> None:
    seen: list[str] = []

    def upper(message: dict[str, Any]) -> str:
        seen.append(message["content"])
        return str(message["content"]).upper()

    each = PerMessage(upper)
    history = [{"content": "a"}, {"content": "b"}]
    assert each(history) == ["A", "B"]
    history.append({"content": "a"})
    assert each(history) == ["A", "B", "A"]
    assert each([history[2], history[2]]) == ["A", "A"]
    assert seen == ["a", "b", "a"]
    assert each(history) == ["A", "B", "A"]
    assert seen == ["a", "b", "a", "a", "b"]
