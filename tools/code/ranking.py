"""Which definitions matter for an issue: PageRank over who uses whose names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache

from reapair.tools.code.definitions import Definition
from reapair.tools.code.hints import Hints
from reapair.tools.code.index import Indexed
from reapair.tools.code.languages import language_of
from reapair.tools.files import is_test_file

COMMON = 20
"""A name that more files define says nothing of which one is meant."""

_DAMPING = 0.85
_ROUNDS = 15
_SHOWN = {
    *("class", "interface", "struct", "enum", "trait", "type", "module", "function", "method"),
    *("macro", "property"),
}

_OTHERS = {"vendor", "vendored", "third_party", "node_modules", "_vendor", "extern", "dist"}
_FAMILIES = {
    "tree_sitter_typescript": "tree_sitter_javascript",
    "tree_sitter_c": "tree_sitter_cpp",
}

Edges = dict[str, dict[tuple[str, str], float]]
"""By file: how strongly it uses a name of a file."""


def ranked(
    files: Mapping[str, Indexed], hints: Hints, in_play: frozenset[str] = frozenset()
) -> list[tuple[float, str, Definition]]:
    """Return definitions with their file and score, best first; equal ones by path and line.

    Args:
        files: the index.
        hints: what the issue points at.
        in_play: paths known to matter, for example those already changed.
    """
    places: dict[str, dict[str, list[Definition]]] = defaultdict(dict)
    for path, entry in files.items():
        for definition in entry.definitions:
            if definition.kind in _SHOWN and not definition.local:
                places[definition.short].setdefault(path, []).append(definition)
    named = frozenset(hints.named_files(files)) | in_play
    edges = _edges(files, places, hints, named)
    rank = _page_rank(edges, _wishes(files, places, hints, named))
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for user, targets in edges.items():
        total = sum(targets.values())
        for target, weight in targets.items():
            scores[target] += rank.get(user, 0.0) * weight / total
    made = []
    for name, by_path in places.items():
        wanted = _wanted(name, by_path, hints)
        for path, found in by_path.items():
            score = scores.get((path, name), 0.0) + wanted + rank.get(path, 0.0) / 100
            if path in named:
                score += wanted + 0.002
            elif _is_aside(path):
                score /= 20
            made += [(score / len(found), path, definition) for definition in found]
    return sorted(made, key=lambda item: (-item[0], item[1], item[2].line, item[2].name))


def _wanted(name: str, places: Mapping[str, list[Definition]], hints: Hints) -> float:
    """Return what a definition gains when the issue itself says its name."""
    share = 1.0 / sum(map(len, places.values()))
    if name in hints.code:
        return share
    if name in hints.words:
        return share * (0.02 if name.islower() else 0.5)
    return 0.0


def _edges(
    files: Mapping[str, Indexed],
    places: Mapping[str, Mapping[str, list[Definition]]],
    hints: Hints,
    named: frozenset[str],
) -> Edges:
    # Tests use everything, so what they use says little.
    readers = {path: files[path] for path in files if path in named or not _is_aside(path)}
    users = Counter(name for entry in readers.values() for name in entry.names)
    # What everybody says is no name but a word, like `value`: mostly it means something local.
    weights = {
        name: _weight(name, by_path, hints) / len(by_path) / (1 + users[name])
        for name, by_path in places.items()
        if len(by_path) <= COMMON and len(name) > 2
    }
    edges: Edges = {}
    for path, entry in readers.items():
        family = _family(path)
        targets: dict[tuple[str, str], float] = {}
        for name, number in entry.names.items():
            weight = weights.get(name)
            if weight is not None:
                for place in places[name]:
                    if place != path and _family(place) == family:
                        targets[place, name] = weight * number**0.5
        if targets:
            edges[path] = targets
    return edges


def _weight(name: str, places: Mapping[str, list[Definition]], hints: Hints) -> float:
    weight = 10.0 if name in hints.code else 3.0 if name in hints.words else 1.0
    if name.startswith("_"):
        return weight * 0.2
    if name.islower() and "_" not in name:
        members = all(found[0].kind in ("method", "property") for found in places.values())
        return weight * (0.1 if members else 0.5)
    return weight


@cache
def _family(path: str) -> str:
    """Return what the languages have in common whose files can use each other's names."""
    language = language_of(path)
    module = language.grammar.partition(":")[0] if language else ""
    return _FAMILIES.get(module, module)


@cache
def _is_aside(path: str) -> bool:
    """Tell whether a file is a test or somebody else's: seldom where an issue is solved."""
    return is_test_file(path) or not _OTHERS.isdisjoint(path.split("/"))


def _wishes(
    files: Mapping[str, Indexed],
    places: Mapping[str, Mapping[str, list[Definition]]],
    hints: Hints,
    named: frozenset[str],
) -> dict[str, float]:
    """Return how much the issue points at each file; every file gets a little."""
    wishes = dict.fromkeys(files, 1.0 / len(files)) if files else {}
    for path in sorted(named.intersection(wishes)):
        wishes[path] += 5.0 / len(named)
    for name in sorted(hints.words.intersection(places)):
        strength = 1.0 if name in hints.code else 0.2
        for path in places[name]:
            if not _is_aside(path) or path in named:
                wishes[path] += strength / len(places[name])
    lower = {word.lower() for word in hints.words}
    for path in wishes:
        if lower.intersection(path.lower().rpartition(".")[0].split("/")[-2:]):
            wishes[path] += 0.1 if _is_aside(path) else 0.3
    return wishes


def _page_rank(edges: Edges, wishes: Mapping[str, float]) -> dict[str, float]:
    """Return each file's share of attention when readers follow names, starting where wished."""
    total = sum(wishes.values()) or 1.0
    start = {path: wish / total for path, wish in wishes.items()}
    links = {}
    for path, targets in edges.items():
        merged: dict[str, float] = defaultdict(float)
        for (place, _), weight in targets.items():
            merged[place] += weight
        whole = sum(merged.values())
        links[path] = [(place, weight / whole) for place, weight in merged.items()]
    rank = dict(start)
    for _ in range(_ROUNDS):
        fresh: dict[str, float] = defaultdict(float)
        idle = 0.0
        for path, value in rank.items():
            if path not in links:
                idle += value
                continue
            for place, share in links[path]:
                fresh[place] += value * share
        rank = {
            path: (1 - _DAMPING + _DAMPING * idle) * wish + _DAMPING * fresh.get(path, 0.0)
            for path, wish in start.items()
        }
    return rank
