"""Small projects with every outcome, one for each test runner, and what has to be read of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """A project, the command that tests it, the statuses, and words of some failures."""

    files: dict[str, str]
    command: str
    statuses: dict[str, str]
    failures: dict[str, str] = field(default_factory=dict)
    needs: str = "node"


_DESCRIBED = """
describe('add', () => {
  test('two numbers', () => { console.log('noise'); CHECK });
  test('zero (a.b)', () => {});
  test.skip('later', () => {});
});
test('throws', () => { null.x; });
"""
_EXPECT = _DESCRIBED.replace("CHECK", "expect(add(1, 2)).toBe(3);")
_ASSERT = _DESCRIBED.replace("CHECK", "assert.strictEqual(add(1, 2), 3);")
_CALLED = {
    "test/a.test.js::add > later": "skipped",
    "test/a.test.js::add > two numbers": "failed",
    "test/a.test.js::add > zero (a.b)": "passed",
    "test/a.test.js::throws": "failed",
}
_BROKEN = {**_CALLED, "test/broken.test.js": "error"}
_PLACES = {
    "test/a.test.js::throws": "Cannot read properties of null (reading 'x')\n",
    "test/a.test.js::add > two numbers": "test/a.test.js:",
}

_GO_TEST = """package acme

import "testing"

func TestOK(t *testing.T) {}
func TestBad(t *testing.T) {
	t.Run("two numbers", func(t *testing.T) {
		t.Log("noise")
		if got := Add(1, 2); got != 3 {
			t.Errorf("Add(1, 2) = %d", got)
		}
	})
	t.Run("zero", func(t *testing.T) {})
}
func TestSkip(t *testing.T) { t.Skip("later") }
"""

_RUST = """/// ```
/// assert_eq!(acme::add(1, 0), 1);
/// ```
pub fn add(a: i32, b: i32) -> i32 { a - b }
#[cfg(test)]
mod tests {
    use super::*;
    #[test] fn ok() { assert_eq!(add(1, 0), 1); }
    #[test] fn bad() { println!("noise"); assert_eq!(add(1, 2), 3); }
    #[test] #[ignore = "later"] fn later() {}
    #[test] #[should_panic] fn panics() { panic!("x"); }
    #[test] fn result() -> Result<(), String> { Err("wrong".into()) }
}
"""

_JAVA = """package acme;
import static org.junit.jupiter.api.Assertions.*;
import org.junit.jupiter.api.*;
public class SumTest {
  @Test public void ok() {}
  @Test public void bad() { System.out.println("noise"); assertEquals(3, 1 - 2); }
  @Test public void error() { Object o = null; o.toString(); }
  @Disabled("later") @Test public void later() {}
}
"""


def _plugin(name: str, version: str) -> str:
    return (
        f"<plugin><artifactId>maven-{name}-plugin</artifactId><version>{version}</version></plugin>"
    )


_POM = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>org.acme</groupId>"
    "<artifactId>acme</artifactId><version>1</version><properties>"
    "<maven.compiler.source>17</maven.compiler.source>"
    "<maven.compiler.target>17</maven.compiler.target>"
    "<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>"
    "<dependencies><dependency><groupId>org.junit.jupiter</groupId>"
    "<artifactId>junit-jupiter</artifactId><version>5.12.2</version><scope>test</scope>"
    "</dependency></dependencies><build><plugins>"
    + _plugin("resources", "3.4.0")
    + _plugin("compiler", "3.15.0")
    + _plugin("surefire", "3.2.5")
    + "</plugins></build></project>"
)

SAMPLES = {
    "jest": Sample(
        {
            "package.json": '{"scripts": {"test": "npm run unit", "unit": "jest --silent --bail"}}',
            "lib.js": "exports.add = (a, b) => a - b;\n",
            "test/a.test.js": f"const {{ add }} = require('../lib');\n{_EXPECT}",
            "test/broken.test.js": "require('./nowhere');\n",
        },
        "CI=1 npm test",
        _BROKEN,
        {**_PLACES, "test/broken.test.js": "Cannot find module './nowhere'"},
    ),
    "vitest": Sample(
        {
            "package.json": '{"type": "module", "scripts": {"test": "vitest --reporter=dot"}}',
            "lib.js": "export const add = (a, b) => a - b;\n",
            "test/a.test.js": "import { add } from '../lib.js';\n"
            f"import {{ describe, test, expect }} from 'vitest';\n{_EXPECT}",
            "test/broken.test.js": "import './nowhere';\n",
        },
        "CI=1 npm test",
        _BROKEN,
        {**_PLACES, "test/broken.test.js": "Cannot find module './nowhere'"},
    ),
    "mocha": Sample(
        {
            "package.json": '{"scripts": {"test": "mocha --reporter dot --bail test"}}',
            ".mocharc.json": '{"bail": true}',
            "lib.js": "exports.add = (a, b) => a - b;\n",
            "test/a.test.js": "const { add } = require('../lib');\n"
            f"const assert = require('assert');\nconst test = it;\n{_ASSERT}"
            "describe('hooks', () => {\n"
            "  beforeEach(() => { throw new Error('no database'); });\n"
            "  it('never runs', () => {});\n});\n",
        },
        "CI=1 npm test",
        {**_CALLED, 'test/a.test.js::hooks > "before each" hook for "never runs"': "error"},
        _PLACES,
    ),
    "node": Sample(
        {
            "package.json": '{"scripts": {"test": "node --test --test-reporter=spec"}}',
            "lib.js": "exports.add = (a, b) => a - b;\n",
            "test/a.test.js": "const { add } = require('../lib');\n"
            "const assert = require('assert');\nconst { describe, test } = require('node:test');\n"
            f"{_ASSERT}",
            "test/broken.test.js": "require('./nowhere');\n",
        },
        "CI=1 npm test",
        _BROKEN,
        {**_PLACES, "test/broken.test.js": "Cannot find module './nowhere'"},
    ),
    "go": Sample(
        {
            "go.mod": "module example.org/acme\n\ngo 1.19\n",
            "add.go": "package acme\n\nfunc Add(a, b int) int { return a - b }\n",
            "add_test.go": _GO_TEST,
            "sub/x_test.go": 'package sub\n\nimport "testing"\n\nfunc TestPanic(t *testing.T) {\n'
            '\tvar m map[string]int\n\tm["a"] = 1\n}\n',
            "broken/b.go": 'package broken\n\nfunc F() int { return "x" }\n',
            "broken/b_test.go": 'package broken\n\nimport "testing"\n\n'
            "func TestF(t *testing.T) {}\n",
        },
        "go test ./...",
        {
            ".::TestBad": "failed",
            ".::TestBad/two_numbers": "failed",
            ".::TestBad/zero": "passed",
            ".::TestOK": "passed",
            ".::TestSkip": "skipped",
            "broken": "error",
            "sub::TestPanic": "failed",
        },
        {
            ".::TestBad/two_numbers": "Add(1, 2) = -1",
            "broken": "cannot use",
            "sub::TestPanic": "    at example.org/acme/sub.TestPanic (sub/x_test.go:7)",
        },
        needs="go",
    ),
    "cargo": Sample(
        {
            "Cargo.toml": '[package]\nname = "acme"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": _RUST,
            "tests/it.rs": '#[test] fn outside() { assert_eq!(acme::add(2, 2), 4, "sum"); }\n'
            "#[test] fn fine() {}\n",
        },
        "cargo test -q --offline",
        {
            "doc acme::src/lib.rs - add (line 1)": "passed",
            "src/lib.rs::tests::bad": "failed",
            "src/lib.rs::tests::later": "skipped",
            "src/lib.rs::tests::ok": "passed",
            "src/lib.rs::tests::panics": "passed",
            "src/lib.rs::tests::result": "failed",
            "tests/it.rs::fine": "passed",
            "tests/it.rs::outside": "failed",
        },
        {
            "src/lib.rs::tests::bad": "  left: -1\n right: 3",
            "src/lib.rs::tests::result": 'Error: "wrong"',
            "tests/it.rs::outside": "assertion `left == right` failed: sum",
        },
        needs="cargo",
    ),
    "maven": Sample(
        {
            "pom.xml": _POM,
            "src/test/java/acme/SumTest.java": _JAVA,
            "src/test/java/acme/OtherTest.java": "package acme;\nimport org.junit.jupiter.api.*;\n"
            "public class OtherTest { @Test public void fine() {} }\n",
        },
        "mvn -B -o test",
        {
            "acme.OtherTest::fine": "passed",
            "acme.SumTest::bad": "failed",
            "acme.SumTest::error": "error",
            "acme.SumTest::later": "skipped",
            "acme.SumTest::ok": "passed",
        },
        {
            "acme.SumTest::bad": "expected: <3> but was: <-1>\n\tat acme.SumTest.bad("
            "SumTest.java:6)\nCaptured output:\nnoise",
            "acme.SumTest::error": "\tat acme.SumTest.error(SumTest.java:7)",
        },
        needs="mvn",
    ),
}
