"""No login of the host is ever in a sandbox, a request, a log, a report or on the screen."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import problem, require

from reapair.agent.settings.sources import SettingsError, load
from reapair.sandbox import SandboxError, choose
from reapair.sandbox.base import Kind, Sandbox
from reapair.sandbox.environment import Engine, SetupError
from reapair.sandbox.gateway.addresses import Address
from reapair.sandbox.gateway.host_settings import HostSettings
from reapair.sandbox.secrets import HIDDEN, Redaction, forms
from support.private_index import private_index, private_proxy
from support.proved import FAST, proved_task
from support.scripted_server import ScriptedServer
from support.tasks import script, turn

SECRET = "Planted+Token/7f3a9c2e55"
"""With letters that every encoding writes in another way."""

QUOTED = quote(SECRET, safe="")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings counts."""
    for name in os.environ:
        if re.match(r"(PIP|UV|NPM|AGENT|OPENAI)_|GOPROXY|.*_proxy$", name, re.I):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def encodings(secret: str) -> dict[str, str]:
    """Return ways in which a program may write a secret."""
    around = f"{{'header': 'Bearer {secret}'}}".encode()
    return {
        "plain": secret,
        "upper": secret.upper(),
        "lower": secret.lower(),
        "percent": quote(secret, safe=""),
        "percent, lower": quote(secret, safe="").lower(),
        "JSON": json.dumps(secret + '"')[1:-3],
        "Basic": base64.b64encode(f"me:{secret}".encode()).decode(),
        "token first": base64.b64encode(f"{secret}:".encode()).decode(),
        "base64 in the middle": base64.b64encode(around).decode(),
        "base64, one further": base64.b64encode(b"x" + around).decode(),
        "base64, two further": base64.b64encode(b"xx" + around).decode(),
        "base64 for addresses": base64.urlsafe_b64encode(around).decode(),
        "hex": around.hex(),
    }


@pytest.mark.parametrize("way", encodings(SECRET))
@pytest.mark.parametrize("known", [SECRET, QUOTED], ids=["plain", "percent"])
def test_a_secret_is_hidden_however_it_is_written(way: str, known: str) -> None:
    text = Redaction([known]).text(f"before {encodings(SECRET)[way]} after")
    assert HIDDEN in text
    assert "before" in text
    assert not any(form.lower() in text.lower() for form in forms(SECRET))


def test_keys_of_objects_are_texts_too() -> None:
    hidden = Redaction([SECRET]).value({SECRET: [SECRET, {"a": (SECRET,)}], "n": 1})
    assert hidden == {HIDDEN: [HIDDEN, {"a": [HIDDEN]}], "n": 1}


ADDRESSES = {
    "password": ("UV_INDEX_URL", f"https://me:{QUOTED}@index.test/simple"),
    "token alone": ("PIP_INDEX_URL", f"https://{QUOTED}@index.test/simple"),
    "token and no name": ("PIP_INDEX_URL", f"https://:{QUOTED}@index.test/simple"),
    "unquoted": ("PIP_INDEX_URL", "https://me:Planted+Token7f3a9c2e55@index.test/simple"),
    "second of several": ("PIP_EXTRA_INDEX_URL", f"https://a.test/ https://x:{QUOTED}@b.test/"),
    "named": ("UV_INDEX", f"own=https://me:{QUOTED}@index.test/simple"),
    "query": ("UV_DEFAULT_INDEX", f"https://index.test/simple?token={QUOTED}"),
    "path": ("UV_INDEX_URL", f"https://index.test/{QUOTED}/org/simple"),
    "fragment": ("UV_INDEX_URL", f"https://index.test/simple#{QUOTED}"),
    "npm": ("NPM_CONFIG_REGISTRY", f"https://me:{QUOTED}@npm.test/"),
    "npm, small": ("npm_config_registry", f"https://{QUOTED}@npm.test:8443/"),
    "go": ("GOPROXY", f"https://me:{QUOTED}@go.test,direct"),
    "go, bars": ("GOPROXY", f"https://a.test|https://me:{QUOTED}@go.test|off"),
    "go, comma in it": ("GOPROXY", "https://me:Planted,Token7f3a9c2e55@go.test"),
    "proxy": ("HTTPS_PROXY", f"http://bob:{QUOTED}@proxy.test:3128"),
    "proxy without scheme": ("http_proxy", f"bob:{QUOTED}@proxy.test:3128"),
    "socks": ("ALL_PROXY", f"socks5h://bob:{QUOTED}@proxy.test:1080"),
    "two at signs": ("HTTPS_PROXY", f"http://bob@corp:{QUOTED}@proxy.test:3128"),
    "no number": ("HTTPS_PROXY", f"http://bob:{QUOTED}"),
    "among hosts": ("NO_PROXY", f"localhost,me:{QUOTED}@b.test"),
    "no address": ("UV_INDEX_URL", QUOTED),
    "other scheme": ("UV_INDEX_URL", f"git+ssh://me:{QUOTED}@b.test/x"),
    "letters of another country": ("UV_INDEX_URL", f"https://me:{QUOTED}@bücher.test/"),
}


class Gate:
    host, place = "gate", "gate:1"

    def index(self, address: Address) -> str:
        return "http://gate:1/index"

    def proxy(self, address: Address) -> str:
        return "http://gate:1"


@pytest.mark.parametrize("kind", ADDRESSES)
def test_no_setting_with_a_login_is_passed_on(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = ADDRESSES[kind]
    monkeypatch.setenv(name, value)
    settings = HostSettings.read()
    passed = json.dumps(settings.variables(Gate()))
    assert "7f3a9c2e55" not in passed
    assert settings.secret_names() == [name] or name in settings.unclear
    if "@" in value:
        assert "7f3a9c2e55" not in Redaction(settings.secrets()).text(f"it says {value} there")


def test_what_holds_no_secret_is_passed_on_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {
        "UV_INDEX": "own=https://mirror.test/python/simple https://b.test:8443/simple/",
        "PIP_EXTRA_INDEX_URL": "https://a.test/x http://b.test/y",
        "NPM_CONFIG_REGISTRY": "https://npm.test/registry/",
        "GOPROXY": "https://go.test,https://b.test|direct",
        "HTTPS_PROXY": "http://proxy.test:3128",
        "ALL_PROXY": "socks5h://proxy.test:1080",
        "NO_PROXY": "localhost,127.0.0.0/8,.corp.test,[::1]",
    }
    for name, value in plain.items():
        monkeypatch.setenv(name, value)
    settings = HostSettings.read()
    assert settings.variables(None) == plain
    assert (settings.secret_names(), settings.secrets(), settings.unclear) == ([], [], {})


def test_pips_own_files_are_read_and_nothing_of_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "own.conf"
    file.write_text(
        f"[global]\nindex-url = https://me:{QUOTED}@a.test/simple\ntimeout = 3\n"
        "[install]\nextra-index-url =\n  https://b.test/simple\n  /srv/wheels\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    (tmp_path / "pip.conf").write_text("[global]\nproxy = http://evil.test\n")
    monkeypatch.chdir(tmp_path)
    settings = HostSettings.read()
    assert settings.secret_names() == ["PIP_INDEX_URL"]
    passed = settings.variables(Gate())
    assert passed["PIP_EXTRA_INDEX_URL"] == "https://b.test/simple"
    assert "PIP_PROXY" not in passed
    file.write_bytes(b"[global\xff\n" * 3)
    assert HostSettings.read().parts == {}


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def engine(request: pytest.FixtureRequest) -> Engine:
    kind: Kind = request.param
    try:
        return choose(kind, trust=True)
    except SandboxError as error:
        require(kind, available=False, reason=str(error))
        raise


def set_up(engine: Engine, command: str) -> str:
    """Run a set-up command; return what it printed."""
    lines: list[str] = []

    def fill(sandbox: Sandbox) -> None:
        sandbox.exec("git init -q .")

    environment = engine.prepare(os.urandom(8), command, fill, lines.append)
    if engine.kind == "docker":
        from reapair.sandbox.containers.docker_engine import DockerEngine

        api = DockerEngine().connect()
        lines.append(str(api.inspect_image(environment.reference)))  # type: ignore[no-untyped-call]
        lines.append(str(api.history(environment.reference)))
        api.remove_image(environment.reference, force=True)
    return "\n".join(lines)


@pytest.mark.engine
def test_pip_installs_from_a_private_index_and_nobody_sees_the_login(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_index("me", SECRET) as index:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://me:{QUOTED}@{index.place}/simple")
        told = set_up(
            engine,
            "env; pip install -q --no-deps planted\n"
            "python -c 'import planted; print(planted.VALUE)'\n"
            "at=${PIP_INDEX_URL%/simple}; root=${at%/*/*}\n"
            "ask() { python - \"$@\" <<'END'\n"
            "import sys, urllib.request as r\n"
            "try:\n"
            "    request = r.Request(sys.argv[2], method=sys.argv[1])\n"
            "    print(sys.argv[1:], r.urlopen(request).read())\n"
            "except Exception as error:\n"
            "    print(error)\n"
            "END\n}\n"
            'ask GET "$at/echo"; ask POST "$at/simple"; ask PUT "$at/x"\n'
            'ask GET "$root/guess/0/simple"\n'
            'ask GET "$at/../../1/x"; ask GET "$root"',
        )
    assert "installed from the private index" in told
    # The index repeats the login in a page; nothing is published; nobody else's place is asked.
    assert Redaction([SECRET]).text(told) == told
    assert {method for method, _, _ in index.asked} <= {"GET", "HEAD"}
    assert told.count("HTTP Error 405") == 2
    assert "HTTP Error 404" in told


@pytest.mark.engine
def test_a_proxy_is_used_without_its_login(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_proxy("bob", SECRET) as proxy, private_index("", "") as target:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://bob:{QUOTED}@{proxy.place}")
        script = (
            "import os, http.client, urllib.request, base64, urllib.parse\n"
            "print(urllib.request.urlopen('http://far.test/x').read())\n"
            "way = urllib.parse.urlsplit(os.environ['https_proxy'])\n"
            "login = base64.b64encode(f'{way.username}:{way.password}'.encode()).decode()\n"
            "for headers in ({'Proxy-Authorization': 'Basic ' + login}, {}):\n"
            "    try:\n"
            "        tunnel = http.client.HTTPConnection(way.hostname, way.port)\n"
            f"        tunnel.set_tunnel('127.0.0.1', {target.http.server_port}, headers)\n"
            "        tunnel.request('GET', '/simple')\n"
            "        print(tunnel.getresponse().status)\n"
            "    except OSError as error:\n"
            "        print(error)\n"
        )
        told = set_up(engine, f"env; python - <<'END'\n{script}END\n")
    assert "through the proxy" in told
    assert "Tunnel connection failed: 407" in told
    assert [path for method, path, _ in proxy.asked if method == "CONNECT"] == [
        f"127.0.0.1:{target.http.server_port}"
    ]
    assert Redaction([SECRET]).text(told) == told


@pytest.mark.engine
def test_what_cannot_be_kept_here_is_refused_in_one_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://bob:{QUOTED}@127.0.0.1:1080")
    with pytest.raises(SetupError) as refused:
        set_up(engine, "env")
    words = str(refused.value)
    assert words.startswith("ALL_PROXY holds a login that no sandbox may see")
    assert "--image" in words
    assert "\n" not in words
    assert Redaction([SECRET]).text(words) == words


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n", " \t", "\v", "\ufeff"])
def test_a_key_is_stripped_once(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_API_KEY", SECRET + ending)
    monkeypatch.setenv("AGENT_HEADERS", json.dumps({f"X-Team{ending}": SECRET + ending}))
    if ending.isspace():
        settings = load(None).settings
        key, team = settings.api_key, settings.headers["X-Team"]
        assert key
        assert key.get_secret_value() == team.get_secret_value() == SECRET
    else:
        with pytest.raises(SettingsError, match="AGENT_API_KEY"):
            load(None)


def test_a_server_gets_the_stripped_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_API_KEY", SECRET + "\r\n")
    with ScriptedServer([], api_key=SECRET) as server:
        done = agent("doctor", "--json", "--base-url", server.base_url, "--sandbox", "none")
        assert "refused the API key" not in done.stdout
        assert server.requests
    assert SECRET not in done.stdout + done.stderr


WRONG = {
    "key, letters": {"AGENT_API_KEY": SECRET + "é"},
    "key, line": {"AGENT_API_KEY": f"{SECRET}\nX-Other: 1"},
    "key, blank": {"OPENAI_API_KEY": f"two {SECRET}"},
    "header, letters": {"AGENT_HEADERS": json.dumps({"X-Team": SECRET + "é"})},
    "header, line": {"AGENT_HEADERS": json.dumps({"X-Team": f"{SECRET}\r\nX: 1"})},
    "header, name": {"AGENT_HEADERS": json.dumps({f"X {SECRET}": "1"})},
    "two logins": {
        "AGENT_API_KEY": SECRET,
        "AGENT_BASE_URL": f"http://me:{QUOTED}@127.0.0.1:9/v1",
    },
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("command", ["doctor", pytest.param("solve", marks=pytest.mark.long)])
def test_a_key_that_cannot_be_sent_is_named_and_not_shown(
    kind: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in WRONG[kind].items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    done = agent(command, *(["--json"] if command == "doctor" else ["x y"]))
    assert done.returncode == 2, done
    assert set(WRONG[kind]) & set(re.findall(r"\w+", done.stderr))
    assert Redaction([SECRET]).text(done.stdout + done.stderr) == done.stdout + done.stderr


def test_an_address_with_a_login_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([], api_key="another") as server:
        address = server.base_url.replace("//", f"//me:{QUOTED}@")
        for command in (["doctor", "--json"], ["solve", "x y"], ["config"]):
            monkeypatch.setenv("AGENT_BASE_URL", address)
            done = agent(*command)
            said = done.stdout + done.stderr
            assert Redaction([SECRET]).text(said) == said
        login = base64.b64encode(f"me:{SECRET}".encode()).decode()
        sent = [{k.lower(): v for k, v in each.headers.items()} for each in server.requests]
        assert {each.get("authorization") for each in sent} == {f"Basic {login}"}


def agent(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "reapair", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


PLACES = ("key", "header", "index", "registry", "go", "proxy", "pip", "forge")


def planted(place: str) -> str:
    return f"{place}+Planted/{base64.b32encode(place.encode()).decode()[:6]}7e3a"


@pytest.fixture
def _everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plant a credential in each of the eight places."""
    secret = {place: quote(planted(place), safe="") for place in PLACES}
    monkeypatch.setenv("AGENT_API_KEY", planted("key") + "\r\n")
    monkeypatch.setenv("AGENT_HEADERS", json.dumps({"X-Team": planted("header")}))
    monkeypatch.setenv("UV_INDEX_URL", f"http://me:{secret['index']}@127.0.0.1:9/simple")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://{secret['registry']}@127.0.0.1:9/")
    monkeypatch.setenv("GOPROXY", f"http://me:{secret['go']}@127.0.0.1:9,off")
    monkeypatch.setenv("HTTPS_PROXY", f"http://bob:{secret['proxy']}@127.0.0.1:9")
    monkeypatch.setenv("GITHUB_TOKEN", planted("forge"))
    pip = tmp_path / "pip.conf"
    pip.write_text(f"[global]\nindex-url = http://me:{secret['pip']}@127.0.0.1:9/\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(pip))


DUMP = """
cat > calc.txt <<END
$(env; cat /proc/self/environ /proc/1/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n')
$(cat ~/.netrc ~/.npmrc ~/.config/pip/pip.conf /etc/pip.conf /usr/etc/npmrc 2>/dev/null)
END
cp calc.txt ~/dump; base64 -w0 ~/dump; od -An -tx1 ~/dump | tr -d ' \\n'; cat ~/dump
"""


@pytest.mark.engine
@pytest.mark.usefixtures("_everywhere")
@pytest.mark.parametrize(
    "ends", [0, pytest.param(3, marks=pytest.mark.slow)], ids=["made", "fails"]
)
@pytest.mark.parametrize(
    "kind", ["bubblewrap", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])]
)
def test_a_whole_run_shows_no_credential_of_the_host(kind: Kind, ends: int, tmp_path: Path) -> None:
    require(kind, not problem(kind), problem(kind))
    task = proved_task(tmp_path / "repository")
    inspected: list[str] = []

    def look(_: object) -> dict[str, object]:
        inspected.append(processes())
        return turn("bash", command="cat ~/dump; env; cat /proc/*/environ | tr '\\0' '\\n'")

    turns = [look, *script(task, task.gold)]
    with ScriptedServer(turns, api_key=planted("key")) as server:
        watch = Watch()
        with watch:
            done = subprocess.run(
                [
                    *(sys.executable, "-P", "-m", "reapair", "solve", "mean() is too large"),
                    *("--json", "--sandbox", kind, "--base-url", server.base_url),
                    *("--test-command", FAST, "--setup-command", f"{DUMP}exit {ends}"),
                ],
                cwd=task.repository,
                env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
        seen = [done.stdout, done.stderr, *inspected, *watch.seen]
        seen += [json.dumps(request.body) for request in server.requests]
    # Nothing is installed for the proof: it is the run that counts here.
    assert done.returncode in ((4,) if ends else (0, 10)), done.stderr[-2000:]
    seen += [
        p.read_bytes().decode("latin-1") for p in (tmp_path / "state").rglob("*") if p.is_file()
    ]
    for place in PLACES:
        text = "\n".join(seen)
        assert Redaction([planted(place), quote(planted(place), safe="")]).text(text) == text, place


def processes() -> str:
    """Return the command lines of all processes but our own and our children's environments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode("latin-1"))
        except OSError:
            continue
    return "\n".join(found)


class Watch:
    """Looks at all containers and command lines again and again while something runs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.3):
            self.seen |= set(processes().splitlines())
            listed = subprocess.run(["docker", "ps", "-q"], capture_output=True, check=False)
            if names := listed.stdout.split():
                told = subprocess.run(
                    ["docker", "inspect", *names], capture_output=True, text=True, check=False
                )
                self.seen.add(told.stdout)
