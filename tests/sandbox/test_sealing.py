"""What hostile commands cannot do, in the sandboxes that isolate."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reapair.sandbox.base import Sandbox
from support.sandboxes import SMALL, Make

pytestmark = pytest.mark.engine


def test_commands_are_nobody_special(sealed: Sandbox) -> None:
    status = sealed.exec("id -u; id -g; grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs)' /proc/self/status")
    user, group, *lines = status.text.split("\n")[:-1]
    assert (user, group) == ("1000", "1000")
    values = dict(line.split(":\t") for line in lines)
    assert values.pop("NoNewPrivs") == "1"
    assert {int(value, 16) for value in values.values()} == {0}


def test_the_default_seccomp_filter_stays(sealed: Sandbox) -> None:
    if sealed.kind != "bubblewrap":  # which has no filter of its own
        assert sealed.exec("grep ^Seccomp: /proc/self/status").text.split()[1] == "2"


def test_there_is_no_network(sealed: Sandbox) -> None:
    # Seen from inside only; nothing is sent anywhere.
    interfaces = sealed.exec("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")
    assert interfaces.text.split() in (["lo"], ["lo", "tunl0"])
    assert sealed.exec("tail -n +2 /proc/net/route").stdout == b""
    assert (
        b"00000000000000000000000000000000 00"
        not in sealed.exec("grep -v ' lo$' /proc/net/ipv6_route 2>/dev/null").stdout
    )


def test_the_root_is_read_only(sealed: Sandbox) -> None:
    for place in ("/new", "/usr/new", "/etc/new", "/opt/new"):
        assert not sealed.exec(["touch", place]).ok, place
    assert sealed.exec("touch /testbed/new ~/new /tmp/new").ok


def test_no_socket_and_nothing_of_the_host(sealed: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("of the host")
    assert not sealed.exec(["cat", str(canary)]).ok
    found = sealed.exec(
        "find / -xdev -type s 2>/dev/null; ls /var/run/docker.sock /run/docker.sock"
    )
    assert found.stdout == b""


def test_process_one_cannot_be_harmed(sealed: Sandbox) -> None:
    sealed.exec("kill -9 1; kill -TERM 1; kill -STOP 1; echo x > /proc/1/fd/0; cat /proc/1/mem")
    assert sealed.exec("echo fine").text == "fine\n"


def test_killing_everything_ends_the_command_at_most(sealed: Sandbox) -> None:
    sealed.exec("kill -9 -1; kill -STOP -1; sleep 1", timeout=5)
    assert sealed.exec("echo fine").text == "fine\n"


_ATTACKS = (
    "kill -9 -1; kill -9 1",
    "bomb() { bomb 24680 | bomb & }; bomb; sleep 24680",
    "(trap '' TERM HUP INT; setsid sleep 24680 &); trap '' TERM; while :; do :; done",
    "yes 24680 | tee -a ~/yes",
    "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))' 24680",
)


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process and a file of the host that belong to the user number commands run as."""
    canary = tmp_path / "canary"
    canary.write_text("as it was")
    owner: dict[str, Any] = {"user": 1000, "group": 1000} if os.getuid() == 0 else {}
    if owner:
        os.chown(canary, 1000, 1000)
    with subprocess.Popen(["sleep", "600"], **owner) as process:
        yield process, canary
        process.kill()


def test_the_host_sees_nothing_of_an_attack(
    sealed: Sandbox, neighbour: tuple[subprocess.Popen[bytes], Path]
) -> None:
    process, canary = neighbour
    for attack in _ATTACKS:
        sealed.exec(f"rm -f {canary}; echo x > {canary}; {attack}", timeout=1.5)
        assert not _on_host(b"24680"), attack
    assert process.poll() is None
    assert canary.read_text() == "as it was"
    assert sealed.exec("rm -f ~/yes; echo fine").text == "fine\n"


def _on_host(word: bytes) -> list[bytes]:
    """Return the command lines on this machine that hold a word."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if any(word in each for each in words) and b"conmon" not in words[0]:
                found.append(b" ".join(words))
    return found


def test_a_stopped_command_times_out(sealed: Sandbox) -> None:
    assert sealed.exec("kill -STOP $$", timeout=1).timed_out
    assert sealed.exec("echo fine").text == "fine\n"


def test_a_fork_bomb_is_bounded_and_gone_afterwards(sealed: Sandbox) -> None:
    sealed.exec("bomb() { bomb | bomb & }; bomb; sleep 3", timeout=2, output_limit=1000)
    assert int(sealed.exec("ls -d /proc/[0-9]* | wc -l").text.strip()) < 20
    # Where its first process is too late to fork, bash gives up with a code of its own.
    ending_itself = sealed.exec("bomb() { bomb | bomb & }; bomb; exit 5", output_limit=1000)
    assert ending_itself.exit_code in {5, 254}
    assert sealed.exec("echo fine").text == "fine\n"


def test_too_much_memory_is_told(sealed: Sandbox) -> None:
    result = sealed.exec(["python3", "-c", "x = b'x' * (2 << 30); print('had it')"])
    assert not result.ok
    assert b"had it" not in result.stdout
    assert result.oom or b"MemoryError" in result.stderr
    after = sealed.exec("echo fine")
    assert (after.text, after.oom) == ("fine\n", False)


def test_many_hungry_processes_are_bounded_together(sealed: Sandbox) -> None:
    if sealed.kind == "bubblewrap" and not Path("/sys/fs/cgroup").stat().st_mode & 0o200:
        pytest.skip("without a control group only single processes are bounded")
    one = "import time; x = b'x' * (100 << 20); time.sleep(1); print('had it')"
    result = sealed.exec(f'for i in 1 2 3 4 5 6 7 8; do python3 -c "{one}" & done; wait')
    assert result.oom
    assert result.stdout.count(b"had it") < 8


def test_a_full_disk_hurts_only_the_command(sealed: Sandbox) -> None:
    for place in ("/tmp", "/testbed"):
        full = sealed.exec(f"dd if=/dev/zero of={place}/full bs=1M count=200; rm -f {place}/full")
        assert b"200+0 records out" not in full.stderr
        assert b"No space left" in full.stderr or b"File size limit" in full.stderr
    assert sealed.exec("echo fine > /tmp/f; cat /tmp/f").text == "fine\n"


def test_a_workspace_that_grows_too_big_ends_the_command(make_sealed: Make) -> None:
    limits = replace(SMALL, disk=100 * 2**20)
    script = "for i in 1 2 3 4 5; do head -c 40000000 /dev/zero > $i; done; echo made; sleep 60"
    with make_sealed(limits=limits) as sandbox:
        result = sandbox.exec(script, timeout=40)
        assert result.exit_code == 137
        assert b"the workspace has grown too big" in result.stderr
        assert sandbox.exec("rm -f *; echo fine").text == "fine\n"


def test_results_do_not_depend_on_the_machine(make_sealed: Make) -> None:
    script = "hostname; pwd; whoami; echo $HOME $LANG; python3 -c 'print({*\"abcdef\"})'; umask"
    seen = set()
    for _ in range(2):
        with make_sealed() as sandbox:
            seen.add(sandbox.exec(script).text)
    assert len(seen) == 1, json.dumps(sorted(seen))
