"""Definitions and names in eleven languages, and sources that want to break the parser."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reapair.tools.code.definitions import outline, uses
from reapair.tools.code.languages import Language, language_of
from reapair.tools.code.parsing import LARGEST
from reapair.tools.code.tags import tags

SOURCES = {
    "a.py": (
        "import os\nLIMIT = 3\nx, y = 1, 2\n@deco\nclass A(Base):\n    attr = 1\n    @property\n"
        "    def run(self, n=LIMIT):\n        def inner(): pass\n        return inner()\n"
        "if x:\n    async def go() -> None: 'go'\n",
        "variable LIMIT 2-2, class A 4-10, method A.run 7-10, function A.run.inner 9-9, "
        "function go 12-12",
    ),
    "a.js": (
        "exports.parse = function (text) { return text; };\n"
        "Foo.prototype.bar = function () { return 1; };\nconst add = (a, b) => a + b;\n"
        "let count = 0;\nclass A extends B { run() { return this.x; } }\nfunction* gen() {}\n",
        "function parse 1-1, function Foo.bar 2-2, function add 3-3, variable count 4-4, "
        "class A 5-5, method A.run 5-5, function gen 6-6",
    ),
    "a.ts": (
        "export interface Shape { area(): number; }\nexport enum Color { Red }\n"
        "export type Pair<T> = [T, T];\n@Injectable()\nexport class Box<T> implements Shape {\n"
        "  private handler = (x: number) => { return x; };\n  area(): number { return 1; }\n}\n"
        "namespace Util { export function go(): void {} }\n",
        "interface Shape 1-1, method Shape.area 1-1, enum Color 2-2, type Pair 3-3, class Box 4-8, "
        "method Box.handler 6-6, method Box.area 7-7, module Util 9-9, function Util.go 9-9",
    ),
    "a.tsx": (
        "export const View = (p: Props) => <Row a={p.a}>{help(p)}</Row>;\n",
        "function View 1-1",
    ),
    "a.go": (
        "package main\nconst Max = 3\nvar (\n\tx = 1\n)\ntype Server struct { addr string }\n"
        "type Handler interface { Serve(w int) error }\ntype Name string\n"
        "func (s *Server) Start(n int) error { return nil }\n"
        "func (l List[T]) Len() int { return 0 }\nfunc main() { s.Start(Max) }\n",
        "constant Max 2-2, variable x 4-4, struct Server 6-6, interface Handler 7-7, "
        "method Handler.Serve 7-7, type Name 8-8, method Server.Start 9-9, method List.Len 10-10, "
        "function main 11-11",
    ),
    "a.rs": (
        "pub struct Point { x: i32 }\npub enum E { A }\npub trait Area { fn area(&self) -> f64; }\n"
        "impl Area for Point { fn area(&self) -> f64 { 0.0 } }\n"
        "impl<T> Wrapper<T> { pub fn new(t: T) -> Self { Wrapper(t) } }\nmod inner { fn f() {} }\n"
        "const N: usize = 3;\nmacro_rules! sq { ($x:expr) => { $x * $x } }\n",
        "struct Point 1-1, enum E 2-2, trait Area 3-3, method Area.area 3-3, "
        "function Point.area 4-4, function Wrapper.new 5-5, module inner 6-6, "
        "function inner.f 6-6, constant N 7-7, macro sq 8-8",
    ),
    "A.java": (
        "package a;\n@Deprecated\npublic class A<T> extends B {\n"
        "  public static final int MAX = 3;\n  private int count;\n  public A(int c) {}\n"
        "  @Override\n  public String toString() { return x(MAX); }\n"
        "  interface Inner { void run(); }\n  enum Kind { ONE }\n  record P(int x) {}\n}\n",
        "class A 2-12, constant A.MAX 4-4, method A.A 6-6, method A.toString 7-8, "
        "interface A.Inner 9-9, method A.Inner.run 9-9, enum A.Kind 10-10, "
        "constant A.Kind.ONE 10-10, class A.P 11-11",
    ),
    "a.c": (
        "#define SIZE 10\n#define SQ(x) ((x)*(x))\n"
        "typedef struct node { int v; } node_t;\nenum color { RED };\n"
        "static char *name_of(struct node *n);\nstatic char *name_of(struct node *n)\n{\n"
        "    return 0;\n}\nint main(void) { return SQ(SIZE); }\n",
        "macro SIZE 1-1, macro SQ 2-2, type node_t 3-3, struct node 3-3, enum color 4-4, "
        "declaration name_of 5-5, function name_of 6-9, function main 10-10",
    ),
    "a.cpp": (
        "namespace geo {\ntemplate <typename T>\nclass Box : public Base {\n  Box(int n);\n"
        "  T area() const { return w; }\n};\ntemplate <typename T>\n"
        "T Box<T>::twice() const { return 1; }\nint& Foo::get(int i) { return a[i]; }\n"
        "enum class Kind { A };\nusing Alias = Box<int>;\n}\n",
        "class geo.Box 2-6, declaration geo.Box.Box 4-4, method geo.Box.area 5-5, "
        "function geo.Box.twice 7-8, function geo.Foo.get 9-9, enum geo.Kind 10-10, "
        "type geo.Alias 11-11",
    ),
    "a.cs": (
        "namespace Acme.Tools {\n  public interface IRun { void Run(int n); }\n"
        "  public class Job : IRun {\n    public const int Max = 3;\n"
        "    public string Name { get; set; }\n    public Job(int c) {}\n"
        "    public void Run(int n) { Helper.Go(Max); }\n  }\n  public enum Kind { One }\n}\n",
        "interface Acme.Tools.IRun 2-2, method Acme.Tools.IRun.Run 2-2, class Acme.Tools.Job 3-8, "
        "constant Acme.Tools.Job.Max 4-4, property Acme.Tools.Job.Name 5-5, "
        "method Acme.Tools.Job.Job 6-6, method Acme.Tools.Job.Run 7-7, enum Acme.Tools.Kind 9-9, "
        "constant Acme.Tools.Kind.One 9-9",
    ),
    "a.rb": (
        "module Acme\n  LIMIT = 3\n  class Job < Base\n    def run(n)\n      helper(n, LIMIT)\n"
        "    end\n    def self.build; new; end\n  end\nend\n",
        "module Acme 1-9, constant Acme.LIMIT 2-2, class Acme.Job 3-8, method Acme.Job.run 4-6, "
        "method Acme.Job.build 7-7",
    ),
    "a.php": (
        "<?php\nnamespace Acme;\nconst TOP = 1;\ninterface Runs { public function run(int $n); }\n"
        "trait T { function t() {} }\nclass Job implements Runs {\n  const MAX = 3;\n"
        "  public function run(int $n) { helper(self::MAX); }\n}\nfunction helper($x) {}\n"
        "enum Kind { case One; }\n",
        "constant TOP 3-3, interface Runs 4-4, method Runs.run 4-4, trait T 5-5, method T.t 5-5, "
        "class Job 6-9, constant Job.MAX 7-7, method Job.run 8-8, function helper 10-10, "
        "enum Kind 11-11, constant Kind.One 11-11",
    ),
}
USED = {
    "a.py": ("inner", [10]), "a.js": ("text", [1]), "a.ts": ("Shape", [5]), "a.tsx": ("help", [1]),
    "a.go": ("Max", [11]), "a.rs": ("Wrapper", [5]), "A.java": ("MAX", [8]), "a.c": ("SQ", [10]),
    "a.cpp": ("Box", [8, 11]), "a.cs": ("Max", [7]), "a.rb": ("LIMIT", [5]), "a.php": ("MAX", [8]),
}  # fmt: skip
LANGUAGES = [language for path in SOURCES if (language := language_of(path))]


def language(path: str) -> Language:
    found = language_of(path)
    assert found is not None
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_definitions(path: str) -> None:
    source, expected = SOURCES[path]
    found = tags(language(path), source.encode()).definitions
    told = ", ".join(f"{one.kind} {one.name} {one.start}-{one.end}" for one in found)
    assert told == expected


@pytest.mark.parametrize("path", SOURCES)
def test_uses_are_in_code_and_no_definitions(path: str) -> None:
    source = SOURCES[path][0].encode()
    name, lines = USED[path]
    comment = b"# " if path.endswith((".py", ".rb")) else b"// "
    assert uses(language(path), source + comment + name.encode() + b"\n", name)[1] == lines
    assert tags(language(path), source).names[name] >= 1


def test_an_outline_has_no_values_and_nothing_local() -> None:
    found = outline(language("a.py"), SOURCES["a.py"][0].encode())
    assert [(entry.header, entry.depth) for entry in found] == [
        ("class A(Base):", 0),
        ("def run(self, n=LIMIT):", 1),
        ("async def go() -> None:", 0),
    ]


def test_generated_and_minified_sources_are_left_out() -> None:
    python = language("a.py")
    assert not tags(python, b"x = 1\n" * (LARGEST // 6 + 1)).names
    assert not tags(python, b"x = 1;" * 200_000).names
    assert not tags(python, b"x = 1\n\0").names


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LANGUAGES), st.binary(max_size=400))
def test_any_bytes_have_an_answer(language: Language, source: bytes) -> None:
    for entry in tags(language, source).definitions:
        assert 1 <= entry.start <= entry.line <= entry.end
        assert "\n" not in entry.header
        assert "\n" not in entry.name


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40), st.binary(max_size=8)), max_size=6),
)
def test_broken_sources_have_an_answer(path: str, cuts: list[tuple[int, int, bytes]]) -> None:
    source = SOURCES[path][0].encode()
    for place, length, new in cuts:
        source = source[:place] + new + source[place + length :]
    tags(language(path), source)


DEEP = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from reapair.tools.code.languages import language_of
from reapair.tools.code.tags import tags
for path in sys.argv[1:]:
    for piece in (b"(", b"a<", b"template<", b"f(", b"if a:\\n ", b"a?", b"class A {", b"-", b"*"):
        for source in (piece * (1_000_000 // len(piece)), piece * (30_000 // len(piece))):
            lines = b"\\n".join(source[at : at + 200] for at in range(0, len(source), 200))
            tags(language_of(path), source), tags(language_of(path), lines)
print("alive")
"""


@pytest.mark.slow
def test_deep_and_long_sources_end_nothing() -> None:
    # In a process of its own: what overflows a parser's stack ends it.
    done = subprocess.run(
        [sys.executable, "-c", DEEP, *SOURCES],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout == "alive\n", done.stderr[-500:]
