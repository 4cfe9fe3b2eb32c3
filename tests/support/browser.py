"""A real headless Chromium, driven over a pipe by the DevTools protocol; nothing to install."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
"""Debian's (`apt-get install chromium`), or None where it is missing."""


class Browser:
    """One page in a browser of its own; a context manager.

    `said` holds what the page's scripts and its policy had to say: errors and refusals.
    """

    def __init__(self, *, width: int = 1100, height: int = 900, dark: bool = False) -> None:
        assert PROGRAM
        self.said: list[str] = []
        self._home = tempfile.mkdtemp(prefix="chromium-")
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
                   "--proxy-server=127.0.0.1:9", f"--user-data-dir={self._home}"]  # fmt: skip
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(commands), str(answers), PROGRAM, *options],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._number, self._session = b"", 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.look(width=width, height=height, dark=dark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Its own session holds all its processes.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._home, ignore_errors=True)

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Set the window's size in pixels, and what the reader prefers."""
        self._look = (width, height, dark)
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path) -> None:
        """Load a file and wait until it is there."""
        self.send("Page.navigate", url=page.absolute().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """Return what a JavaScript expression gives."""
        got = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9}.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=text,
                      windowsVirtualKeyCode=code)  # fmt: skip

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """Write what is seen to a PNG file; the whole page or the window."""
        if whole:
            # Parts outside the window are not drawn before they are seen.
            width, height, dark = self._look
            tall = int(self.run("document.documentElement.scrollHeight"))
            self.look(width=width, height=tall, dark=dark)
        got = self.send("Page.captureScreenshot", format="png")
        if whole:
            self.look(width=width, height=height, dark=dark)
        file.write_bytes(base64.b64decode(got["data"]))

    def send(self, method: str, **parameters: Any) -> Any:
        """Send one command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        details = message.get("params", {})
        if message.get("method") == "Log.entryAdded":
            self.said.append(details["entry"]["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.said.append(details["exceptionDetails"]["text"])
        if message.get("method") == "Runtime.consoleAPICalled":
            self.said.append(str(details["args"]))
        if message.get("method") == "Network.requestWillBeSent":
            url = details["request"]["url"]
            if not url.startswith("file://"):
                self.said.append(f"asked for {url}")
