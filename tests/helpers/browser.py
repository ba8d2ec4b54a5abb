"""A real Chromium without a window, driven over its DevTools protocol: pages, mouse, keys, files, pictures."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30.0


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One tab. ``errors`` collects what a console or the content policy complained of, ``hosts`` who was asked."""

    def __init__(self, width: int = 1360, height: int = 860, touch: bool = False):
        from websockets.sync.client import connect

        self.folder = tempfile.mkdtemp(prefix="kineme-chromium-")
        words = [program(), "--headless=new", "--disable-gpu", "--no-sandbox", "--remote-debugging-port=0"]
        words += [f"--user-data-dir={self.folder}", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage"]
        words += ["--disable-background-networking", "--disable-component-update", "about:blank"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = Path(self.folder, "DevToolsActivePort")
        waited(lambda: port.is_file() and port.read_text().count("\n"))
        number = port.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{number}/json") as answer:
            page = next(each for each in json.load(answer) if each["type"] == "page")
        self.stack = contextlib.ExitStack()
        address = page["webSocketDebuggerUrl"]
        quiet = {"max_size": None, "compression": None, "ping_interval": None}  # a busy machine answers late
        self.socket = self.stack.enter_context(connect(address, **quiet))
        self.numbers, self.errors, self.hosts, self.bytes = itertools.count(1), [], set(), {}
        for name in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{name}.enable")
        self.size(width, height, touch)

    def send(self, method: str, **params: Any) -> dict:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            self._note(said)

    def _note(self, said: dict) -> None:
        name, about = said.get("method"), said.get("params", {})
        if name == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif name == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(each.get("value", each.get("description"))) for each in about["args"]))
        elif name == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            if "willReadFrequently" in about["entry"]["text"]:  # what a test itself does
                return
            self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif name == "Network.requestWillBeSent" and about["request"]["url"].startswith("http"):
            self.hosts.add(about["request"]["url"].split("/")[2])
            self.bytes[about["requestId"]] = [about["request"]["url"], 0]
        elif name == "Network.loadingFinished" and about["requestId"] in self.bytes:
            self.bytes[about["requestId"]][1] = about["encodedDataLength"]

    def size(self, width: int, height: int, touch: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)

    def media(self, **features: str) -> None:
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=listed)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)

    def run(self, code: str) -> Any:
        """The value of an expression, of a promise what it promises."""
        done = self.send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done.get("exceptionDetails")
        return done["result"].get("value")

    def until(self, code: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true."""
        return waited(
            lambda: self.run(f"(() => {{ try {{ return Boolean({code}) }} catch {{ return null }} }})()"), seconds, code
        )

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def middle(self, selector: str) -> tuple[float, float]:
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        return box[0], box[1]

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str | tuple[float, float]) -> None:
        x, y = self.middle(selector) if isinstance(selector, str) else selector
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def drag(self, points: list[tuple[float, float]], modifiers: int = 0) -> None:
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0], button="left", clickCount=1, buttons=1, modifiers=modifiers)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, button="left", buttons=1, modifiers=modifiers)
        self.mouse("mouseReleased", *points[-1], button="left", clickCount=1, modifiers=modifiers)

    def key(self, key: str, modifiers: int = 0) -> None:
        text = {"text": key} if len(key) == 1 and not modifiers & 2 else {}
        if key == "Enter":
            text = {"text": "\r"}
        codes = {"Enter": 13, "Escape": 27, "Backspace": 8, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
        for kind in ("keyDown", "keyUp"):
            also = text if kind == "keyDown" else {}
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, windowsVirtualKeyCode=code, **also
            )

    def type(self, words: str) -> None:
        self.send("Input.insertText", text=words)

    def give(self, selector: str, file: Path) -> None:
        """Choose a file in an input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def drop(self, file: Path, x: float = 600, y: float = 400) -> None:
        """Drop a file on the page as a hand does."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def picture(self, path: Path) -> None:
        shot = self.send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.stack.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def waited(call: Any, seconds: float = PATIENCE, what: str = "") -> Any:
    end = time.monotonic() + seconds
    while not (found := call()):
        assert time.monotonic() < end, f"waited for {what or call} in vain"
        time.sleep(0.05)
    return found
