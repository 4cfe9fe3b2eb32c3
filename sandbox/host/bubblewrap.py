"""The sandbox without a container engine: Linux namespaces and bind mounts by bubblewrap."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from reapair.sandbox.base import WORKSPACE, SandboxError
from reapair.sandbox.host.directory_sandbox import VENV, DirectorySandbox
from reapair.sandbox.limits import HOME, TMP

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")
# Of the folders of certificates only the public halves: private keys lie beside them.
_NETWORK_CONFIGURATION = (
    *("hosts", "nsswitch.conf", "ca-certificates"),
    *("ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem"),
    *("pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf"),
)
# Files in the folders of programs that are made to hold passwords.
_PASSWORD_FILES = ("pip.conf", "etc/pip.conf", "etc/npmrc", "lib/node_modules/npm/npmrc")

_ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
}


class BubblewrapSandbox(DirectorySandbox):
    """Runs every command in new namespaces: own processes, no network, only mounted files.

    Mounted read-only are the system's programs, the Python that runs this program (so that a
    repository in pure Python can be tested without any set-up) and the environment.
    """

    kind = "bubblewrap"
    copied = ("testbed", "home")

    def begin(self) -> None:
        """Write the few files of /etc that programs need. Raises SandboxError."""
        if shutil.which("bwrap") is None:
            raise SandboxError("bubblewrap is not installed; the package is called bubblewrap.")
        etc = self.root / "etc"
        etc.mkdir()
        for name, text in _ETC.items():
            (etc / name).write_text(text)

    def wrap(self, argv: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """Return the call of bwrap, which itself needs no variable but PATH."""
        env = {"PATH": self._search_path()} | env
        variables = [part for name, value in env.items() for part in ("--setenv", name, value)]
        return [
            *("bwrap", "--unshare-all", "--die-with-parent", "--new-session"),
            *("--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"),
            *("--hostname", "sandbox", "--clearenv", *variables),
            *self._system_binds(),
            *(self._network_binds() if self.setup else ()),
            *self._private_binds(),
            *("--remount-ro", "/", "--chdir", WORKSPACE, "--", *self._limited(), *argv),
        ], {"PATH": os.environ.get("PATH", os.defpath)}

    def _limited(self) -> list[str]:
        limits = self.limits
        call = ["/usr/bin/prlimit", "--core=0", f"--fsize={limits.file}"]
        if self._group is None:
            # Second best: it limits each process alone, and the number of processes not for root.
            call += [f"--nproc={limits.processes}", f"--data={limits.memory}"]
        return call

    def _system_binds(self) -> list[str]:
        binds = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
        binds += _hidden("/usr") + _hidden("/usr/local")
        for name in _SYSTEM:
            place = Path("/", name)
            if place.is_symlink():
                binds += ["--symlink", os.readlink(place), str(place)]
            elif place.is_dir():
                binds += ["--ro-bind", str(place), str(place)]
        for name in _CONFIGURATION:
            binds += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        return binds

    def _network_binds(self) -> list[str]:
        resolver = os.path.realpath("/etc/resolv.conf")
        binds = ["--share-net", "--ro-bind-try", resolver, "/etc/resolv.conf"]
        for name in _NETWORK_CONFIGURATION:
            binds += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        return binds

    def _python_binds(self) -> list[str]:
        binds = []
        for prefix in _foreign_prefixes():
            binds += ["--ro-bind", prefix, prefix]
            binds += _hidden(prefix)
        return binds

    def _private_binds(self) -> list[str]:
        root = self.root
        binds = []
        for name, place in (("testbed", WORKSPACE), ("home", HOME), ("tmp", TMP)):
            binds += ["--bind", str(root / name), place]
        # After those, which would hide a Python that is below one of these places.
        binds += self._python_binds()
        for name in _ETC:
            binds += ["--ro-bind", str(root / "etc" / name), f"/etc/{name}"]
        if self.setup:
            binds += ["--bind", str(root / "venv"), VENV]
        elif self.environment:
            binds += ["--ro-bind", str(self.environment / "venv"), VENV]
        return binds

    def _search_path(self) -> str:
        pythons = [f"{prefix}/bin" for prefix in (sys.prefix, sys.base_prefix)]
        system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        return ":".join(dict.fromkeys([f"{VENV}/bin", *pythons, *system]))


def _hidden(prefix: str) -> list[str]:
    """Return binds that put nothing in the place of files that may hold passwords."""
    files = [f"{prefix}/{name}" for name in _PASSWORD_FILES if Path(prefix, name).exists()]
    return [word for file in files for word in ("--ro-bind", "/dev/null", file)]


def _foreign_prefixes() -> list[str]:
    """Return the directories of the running Python that are not below /usr."""
    prefixes = dict.fromkeys((sys.base_prefix, sys.prefix))
    return [prefix for prefix in prefixes if not Path(prefix).is_relative_to("/usr")]
