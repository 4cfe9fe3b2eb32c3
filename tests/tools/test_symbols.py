"""`symbols` and the repository map on real trees in a real sandbox."""

from __future__ import annotations

import json
import multiprocessing
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from reapair.sandbox.base import Sandbox
from reapair.tools import Observation, Toolbox
from reapair.tools.code.blob_sources import SandboxSource, Source, blob_of
from reapair.tools.code.cache import Cache
from reapair.tools.code.hints import Hints
from reapair.tools.code.index import Index, Indexed
from reapair.tools.code.languages import language_of
from reapair.tools.code.map import repository_map
from reapair.tools.code.parsing import parse
from reapair.tools.symbols import Symbols
from support.workspaces import fill

from .conftest import Call

Look = Callable[..., Observation]


@pytest.fixture
def look(slug: Sandbox) -> Look:
    """Looks a name up in the small package."""
    box = Toolbox([Symbols()], lambda: slug)
    return lambda name, **arguments: box.call("symbols", {"name": name, **arguments})


PACKAGE = Path(sysconfig.get_paths()["purelib"]) / "jinja2"


def real_package() -> dict[str, str | bytes]:
    return {f"jinja2/{file.name}": file.read_bytes() for file in sorted(PACKAGE.glob("*.py"))}


class Counting:
    """A source that counts what is fetched from it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.fetched = 0

    def blobs(self) -> dict[str, str]:
        return self._source.blobs()

    def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for blob, content in self._source.contents(blobs):
            self.fetched += 1
            yield blob, content


def symbols(sandbox: Sandbox, cache: Cache, **arguments: str) -> str:
    return Toolbox([Symbols(Index(cache))], lambda: sandbox).call("symbols", arguments).text


def test_a_definition_with_its_source_and_uses(look: Look) -> None:
    assert look("slugify").text == (
        "slugify: 1 definition, 4 uses of slugify in 2 files.\n"
        "slug/core.py:4-7 function slugify\n"
        "    4\tdef slugify(text, separator='-'):\n"
        '    5\t    """Return text in lower case, words joined by the separator."""\n'
        "    6\t    words = re.split(r'[^a-z0-9]', text.lower())\n"
        "    7\t    return separator.join(words)\n"
        "Uses:\n"
        "slug/__init__.py (1)\n"
        "    1\tfrom slug.core import slugify\n"
        "tests/test_core.py (3)\n"
        "    1\tfrom slug import slugify\n"
        "  in test_simple (lines 4-5):\n"
        '    5\t    assert slugify("A B") == "a-b"\n'
        "  in test_dots (lines 8-10):\n"
        '   10\t    assert slugify("a..b") == "a-b"'
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("slugfy", "Nothing is called slugfy. Did you mean: slugify?"),
        ("Slugify", "Nothing is called Slugify. Did you mean: slugify?"),
        ("core.slugify()", "core.slugify: 1 definition, 4 uses of slugify in 2 files."),
        ("Other.slugify", "There is no Other.slugify. 1 definition of slugify, 4 uses of"),
        ("lower", "lower is not defined here; 1 use of lower in 1 file."),
        ("zzzzqq", "Nothing is called zzzzqq. Use search for text."),
        (" . ", "name is empty."),
    ],
)
def test_names_nearby_and_dotted(look: Look, name: str, text: str) -> None:
    assert look(name).text.startswith(text)


def test_a_path_narrows(look: Look) -> None:
    text = look("slugify", path="tests").text
    assert text.startswith("slugify is not defined in tests; 3 uses of slugify in 1 file.\nUses:")
    assert "Did you mean: slug/core.py" in look("slugify", path="core.py").text


def test_the_next_call_sees_edits(look: Look, call: Call, slug: Sandbox) -> None:
    look("slugify")
    call("edit", path="slug/core.py", old_str="def slugify(", new_str="def sluggify(")
    slug.write("extra.go", b"package p\nfunc Sluggify() {}\n")
    slug.exec("rm slug/__init__.py")
    assert look("sluggify").text.startswith("sluggify: 1 definition, no uses.")
    assert "extra.go:2-2 function Sluggify" in look("Sluggify").text
    assert "slug/__init__.py" not in look("slugify").text


def test_without_a_repository_all_files_are_read(empty: Sandbox, tmp_path: Path) -> None:
    empty.write("a.py", b"def lonely():\n    pass\n")
    assert "a.py:1-2 function lonely" in symbols(empty, Cache(tmp_path / "c"), name="lonely")


def test_a_real_package(empty: Sandbox, tmp_path: Path) -> None:
    fill(empty, real_package())
    text = symbols(empty, Cache(tmp_path / "c"), name="Environment.get_template")
    assert text.startswith("Environment.get_template: 1 definition, ")
    assert "jinja2/environment.py:" in text.splitlines()[1]
    assert text == symbols(empty, Cache(tmp_path / "other"), name="Environment.get_template")
    assert len(text.encode()) <= 12_000


def test_only_what_is_new_is_fetched(empty: Sandbox, tmp_path: Path) -> None:
    fill(empty, real_package())
    file = tmp_path / "cache.sqlite"
    first, again, edited = (Counting(SandboxSource(empty)) for _ in range(3))
    files = Index(Cache(file)).files(first)
    assert first.fetched == len(set(first.blobs().values())) > 10
    assert Index(Cache(file)).files(again).keys() == files.keys()
    assert again.fetched == 0
    empty.exec("echo '# more' >> jinja2/lexer.py")
    Index(Cache(file)).files(edited)
    assert edited.fetched == 1


@pytest.mark.parametrize("rubbish", [b"", b"rubbish" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_broken_cache_is_made_anew(empty: Sandbox, tmp_path: Path, rubbish: bytes) -> None:
    fill(empty, {"a.py": "def f(): pass\n"})
    file = tmp_path / "cache.sqlite"
    file.write_bytes(rubbish)
    for _ in range(2):
        assert "a.py:1-1 function f" in symbols(empty, Cache(file), name="f")
    again = Counting(SandboxSource(empty))
    Index(Cache(file)).files(again)
    assert again.fetched == 0


def test_a_damaged_entry_counts_as_none(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "cache.sqlite"
    Cache(file).save({"a": b"one", "b": b"two"}, "v")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE tags SET data = x'00' WHERE blob = 'a'")
    database.close()
    assert Cache(file).load(["a", "b"], "v") == {"b": b"two"}
    assert Cache(file).load(["a", "b"], "w") == {}


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache.sqlite")
    cache.save({"a": b"one"}, "v")
    assert cache.load(["a"], "v") == {}


def test_the_cache_stays_below_its_bound(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c", largest=200_000)
    for number in range(40):
        cache.save({f"{number}-{part}": bytes(1_000) for part in range(20)}, "v")
    assert (tmp_path / "c").stat().st_size < 400_000
    assert cache.load(["39-0"], "v")


def _save(file: Path, start: int) -> None:
    for number in range(start, start + 30):
        Cache(file).save({str(number): b"x" * 1_000}, "v")


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    processes = [multiprocessing.Process(target=_save, args=(file, 100 * n)) for n in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len(Cache(file).load([str(n + i) for n in (100, 200) for i in range(30)], "v")) == 60


def test_a_lying_sandbox_poisons_no_cache(tmp_path: Path) -> None:
    honest, lie = b"def honest(): pass\n", b"def lie(): pass\n"

    class Lying:
        def blobs(self) -> dict[str, str]:
            return {"a.py": blob_of(honest)}

        def contents(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
            yield from ((blob, lie) for blob in blobs)

    index = Index(Cache(tmp_path / "c"))
    assert index.files(Lying())["a.py"].definitions[0].name == "lie"
    language = language_of("a.py")
    assert language is not None
    assert Cache(tmp_path / "c").load([blob_of(honest)], language.version) == {}


def indexed(files: dict[str, str]) -> dict[str, Indexed]:
    return {
        path: Indexed(json.dumps(parse("tags", text.encode(), language=language.grammar)).encode())
        for path, text in sorted(files.items())
        if (language := language_of(path))
    }


TREE = {
    "shop/cart.py": "from shop.money import Money\nclass Cart:\n    def total(self):\n"
    "        return Money(rounded(1))\n",
    "shop/money.py": "class Money:\n    pass\ndef rounded(x): return x\n",
    "shop/mail.py": "class Mailer:\n    def deliver(self): pass\n",
    "tests/test_cart.py": "from shop.cart import Cart\ndef test_total(): Cart().total()\n",
}


@pytest.mark.parametrize(
    ("issue", "first"),
    [
        ("`Cart.total` is wrong", "shop/cart.py"),
        ("Mailer should retry", "shop/mail.py"),
        ('  File "/home/me/shop/money.py", line 3, in rounded', "shop/money.py"),
    ],
)
def test_the_map_begins_where_the_issue_points(issue: str, first: str) -> None:
    text = repository_map(indexed(TREE), issue)
    assert text.splitlines()[0] == first
    assert text == repository_map(indexed(TREE), issue)


def test_the_map_leaves_tests_for_last_and_fits() -> None:
    files = indexed(TREE)
    text = repository_map(files, "rounding")
    assert [line for line in text.splitlines() if "/" in line][-1] == "tests/test_cart.py"
    assert "    2 class Cart:\n    3   def total(self):" in text
    assert len(repository_map(files, "rounding", tokens=20).encode()) <= 80
    assert repository_map({}, "anything") == ""


def test_a_test_that_the_issue_names_is_not_hidden() -> None:
    with_it = repository_map(indexed(TREE), "tests/test_cart.py::test_total fails", 30)
    assert "tests/test_cart.py" in with_it
    assert "tests/test_cart.py" not in repository_map(indexed(TREE), "it fails", 30)


def test_the_map_of_a_real_package() -> None:
    sources = {name: bytes(data).decode() for name, data in real_package().items()
               if isinstance(data, bytes)}  # fmt: skip
    text = repository_map(indexed(sources), "Lexer drops the last line in `tokeniter`", 500)
    assert text.splitlines()[0] == "jinja2/lexer.py"
    assert "def tokeniter(" in text
    assert len(text.encode()) <= 2_000


def test_hints_tell_code_from_words() -> None:
    hints = Hints.of("In `a.b.Some.method` the parser fails, see src/x/y.py and snake_case")
    assert {"Some", "method", "snake_case"} <= hints.code
    assert "parser" in hints.words - hints.code
    assert hints.named_files(["src/x/y.py", "y.py", "z/y.py", "a/b.py"]) == [
        "src/x/y.py", "y.py", "z/y.py", "a/b.py"
    ]  # fmt: skip
