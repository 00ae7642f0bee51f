"""A browser that a test drives as a person would: Chromium, spoken to over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# Chromium reads commands at descriptor 3 and answers at 4; messages end in a zero byte.
STARTED = 'exec "$@" 3<&{read} 4>&{write}'


class Browser:
    """One window.

    ``complaints`` are what pages said on the console and what the browser says of them.
    """

    def __init__(self, folder: Path, width: int = 1200, height: int = 1600) -> None:
        program = shutil.which("chromium")
        assert program is not None, "scripts/system-packages.sh installs chromium"
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        arguments = [
            program,
            *FLAGS,
            "--remote-debugging-pipe",
            f"--user-data-dir={folder / 'profile'}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", STARTED.format(read=read, write=write), "bash", *arguments],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self.complaints: list[str] = []
        self._left = b""
        self._numbers = count(1)
        self._loads = 0
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(20)

    def go(self, url: str) -> None:
        """Open a page, and wait until it has loaded."""
        loads = self._loads
        self._ask("Page.navigate", url=url)
        self._loaded(loads)

    def click(self, text: str) -> None:
        """Click the link or button that says this, and wait for the page that follows."""
        box = self._find("a, button", text)
        loads = self._loads
        for kind in ("mousePressed", "mouseReleased"):
            self._ask(
                "Input.dispatchMouseEvent",
                type=kind,
                button="left",
                clickCount=1,
                x=box["x"] + box["width"] / 2,
                y=box["y"] + box["height"] / 2,
            )
        self._loaded(loads)

    def write(self, name: str, text: str) -> None:
        """Type into the field of this name, in place of what it has."""
        self.run(f"document.querySelector('[name={name}]').select()")
        self._ask("Input.insertText", text=text)

    def run(self, script: str) -> Any:
        """What an expression is on this page, whatever the page itself may run."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self.run("document.body.innerText"))

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take another window's size, and light or dark."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """The window as a PNG."""
        shot = self._ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _find(self, selector: str, text: str) -> dict[str, float]:
        script = (
            f"(() => {{ const found = [...document.querySelectorAll({json.dumps(selector)})]"
            f".filter(e => e.innerText.trim() === {json.dumps(text)});"
            " if (found.length !== 1) return found.length;"
            " found[0].scrollIntoView({block: 'center', behavior: 'instant'});"
            " const b = found[0].getBoundingClientRect();"
            " return {x: b.x, y: b.y, width: b.width, height: b.height}; })()"
        )
        found = self.run(script)
        assert isinstance(found, dict), f"{found} elements say {text!r} on: {self.text}"
        return found

    def _loaded(self, before: int) -> None:
        while self._loads <= before:
            self._next()

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            if said.get("id") == number:
                assert "error" not in said, (method, said["error"])
                return dict(said["result"])

    def _next(self) -> dict[str, Any]:
        """The next message; what it tells by itself is kept."""
        while b"\0" not in self._left:
            read = os.read(self._read, 1 << 20)
            assert read, "the browser has ended"
            self._left += read
        line, _, self._left = self._left.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        match said.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Log.entryAdded":
                self.complaints.append(said["params"]["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(said["params"]))
            case _:
                pass
        return said
