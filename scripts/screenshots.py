"""Take pictures of what people see: the terminal by tmux, the page by Chromium.

    python scripts/screenshots.py DIRECTORY

Needs tmux and chromium (apt-get install tmux chromium). The model is scripted, the rest is real.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.browser import Browser
from support.showcase import command, environment, server, showcase, solved


def main() -> None:
    """Write the pictures into the directory that is named."""
    if len(sys.argv) != 2:
        sys.exit(str(__doc__))
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, Browser() as browser:
        for name, columns, attempts in (("wide", 100, 1), ("narrow", 40, 1), ("attempts", 100, 3)):
            terminal(browser, out, Path(place) / name, name, columns=columns, attempts=attempts)
        for name, attempts in (("page", 1), ("page-attempts", 3)):
            run = solved(Path(place) / name, "--no-early-stop", attempts=attempts)
            pages(browser, run / "report.html", out, name)
    print("\n".join(str(path) for path in sorted(out.iterdir())))


def terminal(
    browser: Browser, out: Path, place: Path, name: str, *, columns: int, attempts: int
) -> None:
    """Run in a tmux window; take a picture in the middle and one of the end."""
    task = showcase(place / "repository")
    socket = str(place / "tmux")
    with server(seconds=0.9, attempts=attempts) as scripted:
        many = ["--attempts", str(attempts), "--no-early-stop"] if attempts > 1 else []
        line = shlex.join(command(task, scripted.base_url, *many))
        subprocess.run(
            ["tmux", "-S", socket, "new-session", "-d", "-x", str(columns), "-y", "48",
             "-c", str(task.repository), f"{line}; sleep 600"],
            env=environment(place / "state"),
            check=True,
        )  # fmt: skip
        try:
            wait_for(socket, "step 5")
            picture(browser, out / f"terminal-{name}-running.png", capture(socket), columns)
            wait_for(socket, "undo:")
            picture(browser, out / f"terminal-{name}-end.png", capture(socket), columns)
        finally:
            subprocess.run(["tmux", "-S", socket, "kill-server"], check=False)


def capture(socket: str) -> str:
    """Return what the window shows, with its colours."""
    return subprocess.run(
        ["tmux", "-S", socket, "capture-pane", "-e", "-p"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def wait_for(socket: str, text: str) -> None:
    """Wait until the window shows a text."""
    for _ in range(600):
        if text in capture(socket):
            return
        time.sleep(0.1)
    sys.exit(f"The terminal never said {text!r}:\n{capture(socket)}")


def picture(browser: Browser, file: Path, screen: str, columns: int) -> None:
    """Draw a captured screen."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=columns, file=StringIO(), height=60)
    console.print(Text.from_ansi(screen.rstrip() + "\n"), soft_wrap=True)
    page = file.with_suffix(".html")
    page.write_text(console.export_html(theme=MONOKAI, inline_styles=True))
    browser.look(width=max(columns * 10, 600), height=300)
    browser.open(page)
    browser.picture(file)
    page.unlink()


def pages(browser: Browser, page: Path, out: Path, name: str) -> None:
    """Take the page in light, dark and on a phone, with what failed unfolded."""
    for look, width, dark in (("light", 1100, False), ("dark", 1100, True), ("phone", 390, False)):
        browser.look(width=width, height=900, dark=dark)
        browser.open(page)
        browser.run("document.querySelector('[data-do=failed]').click()")
        browser.picture(out / f"{name}-{look}.png")


if __name__ == "__main__":
    main()
