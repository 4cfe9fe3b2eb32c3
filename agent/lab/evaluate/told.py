"""Formats an analysis for people."""

from __future__ import annotations

from collections.abc import Iterator

from reapair.agent.lab.evaluate.analysis import Analysis, Comparison, Group
from reapair.agent.words.terminal_safe import clean


def told(found: Analysis, against: Comparison | None = None) -> list[str]:
    """Return an analysis, and a comparison where there is one, in lines for people."""
    lines = [*_head(found), *_trust(found), *_costs(found)]
    lines += _groups("not resolved:", found.unresolved)
    lines += _groups("failed for reasons beside the model, and not counted:", found.infrastructure)
    if against:
        lines += _compared(against)
    return [clean(line) for line in lines]


def _head(found: Analysis) -> Iterator[str]:
    manifest = found.manifest
    yield (
        f"{manifest.get('model', '?')}, tools {manifest.get('tools', '?')}, "
        f"version {manifest.get('version', '?')}"
    )
    low, high = found.interval
    yield (
        f"resolved {found.resolved} of {found.graded}: {_percent(found.best)} "
        f"(95 %: {_percent(low)} to {_percent(high)})"
        + (f"; {found.failed} more failed" if found.failed else "")
    )
    if len(found.pass_at) > 1:
        each = ", ".join(f"pass@{k} {_percent(rate)}" for k, rate in found.pass_at.items())
        yield f"{each}; best@{max(found.pass_at)} with the chooser {_percent(found.best)}"


def _trust(found: Analysis) -> Iterator[str]:
    if found.verdicts:
        yield f"{'verdict':<18}{'patches':>8}{'resolved':>10}"
        for name, (count, resolved) in found.verdicts.items():
            yield f"  {name:<16}{count:>8}{resolved:>10}"
    if found.verdicts:
        precision = "–" if found.precision is None else _percent(found.precision)
        recall = "–" if found.recall is None else _percent(found.recall)
        yield f"proved: {precision} of them are resolved, {recall} of the resolved are proved"


def _costs(found: Analysis) -> Iterator[str]:
    if found.exit_reasons:
        yield "ended by: " + ", ".join(f"{name} {n}" for name, n in found.exit_reasons.items())
    if found.means:
        yield "per instance: " + ", ".join(
            f"{value:,} {name}" for name, value in found.means.items()
        )
    if found.cached is not None:
        yield f"cache: {_percent(found.cached)} of the prompts' tokens"


def _groups(title: str, groups: list[Group]) -> Iterator[str]:
    if groups:
        yield title
    for group in groups:
        more = ", …" if group.count > len(group.examples) else ""
        yield f"  {group.count:>5}  {group.why}: {', '.join(group.examples)}{more}"


def _compared(against: Comparison) -> Iterator[str]:
    first, second = against.names
    low, high = against.interval
    yield f"{second} beside {first}, over {against.common} instances that both have graded:"
    yield (
        f"  {100 * against.difference:+.1f} points "
        f"(95 %: {100 * low:+.1f} to {100 * high:+.1f}; McNemar exact p = {against.p:.3f})"
    )
    yield (
        f"  both {against.both}, neither {against.neither}, only {first} "
        f"{len(against.only_first)}, only {second} {len(against.only_second)}"
    )
    for name, ids in zip(against.names, (against.only_first, against.only_second), strict=True):
        yield from (f"  only {name}: {each}" for each in ids[:20])


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"
