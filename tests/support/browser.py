"""Headless Chromium over its debugging pipe, by the standard library alone: opening a page, typing, looking."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
BASH = shutil.which("bash")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab. `events` holds all that the browser reported, `requests` the addresses it asked for."""

    def __init__(self, source: int, sink: int) -> None:
        self._read = os.fdopen(source, "rb", buffering=0)
        self._write = os.fdopen(sink, "wb", buffering=0)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, address: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        key_facts = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **key_facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key_facts)

    def click(self, selector: str) -> None:
        script = "(e => (e.scrollIntoView(), e = e.getBoundingClientRect(), [e.x + 8, e.y + e.height / 2]))"
        x, y = self.evaluate(f"{script}(document.querySelector({json.dumps(selector)}))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int, *, scheme: str = "light", scripts: bool = True) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def screenshot(self, path: Path, *, clip: tuple[int, int] | None = None) -> None:
        """Of the whole page, or of its upper left `clip`, as wide and as high as that."""
        area = {} if clip is None else {"clip": {"x": 0, "y": 0, "width": clip[0], "height": clip[1], "scale": 1}}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, **area)
        path.write_bytes(base64.b64decode(answer["data"]))

    @property
    def requests(self) -> list[str]:
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Whatever stood in the console: policy violations and exceptions."""
        return [e for e in self.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = self._read.read(1 << 20)
            assert data, "the browser ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        self._session = None
        self.call("Browser.close")
        self._read.close()
        self._write.close()


@contextmanager
def open_browser(home: Path) -> Iterator[Browser]:
    """`home` is an empty folder for the profile. The browser reads its orders from descriptor 3 and answers on 4."""
    assert CHROMIUM is not None and BASH is not None
    orders, sink = os.pipe()
    source, answers = os.pipe()
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={home}"]
    # Lifted out of the way first: 3 and 4 themselves may be the pipes' numbers.
    shell = f'exec 60<&{orders} 61>&{answers}; exec "$@" 3<&60 4>&61'
    process = subprocess.Popen(
        [BASH, "-c", shell, "bash", *command],
        pass_fds=(orders, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(orders)
    os.close(answers)
    try:
        browser = Browser(source, sink)
        yield browser
        browser.close()
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
