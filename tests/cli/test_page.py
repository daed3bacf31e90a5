# SPDX-License-Identifier: Apache-2.0
"""The page of a diagnosis in a real browser, without a network: no errors, usable at 400 and at 1600 pixels."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.by_path import loaded
from .test_diagnose import BAD, SERVER

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


class Browser:
    """Chromium by its own protocol, over a pair of pipes."""

    def __init__(self, folder: Path) -> None:
        theirs, self._to = os.pipe()
        self._from, back = os.pipe()
        # the program reads from descriptor 3 and writes to 4
        line = f'exec {CHROMIUM} "$@" 3<&{theirs} 4>&{back}'
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
                   "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}", "about:blank")  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *options], pass_fds=(theirs, back), stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(back)
        self._numbers, self._read, self.events = itertools.count(1), b"", list[dict[str, Any]]()

    def close(self) -> None:
        """End it."""
        self.ask("Browser.close")
        self._process.wait(20)
        os.close(self._to)
        os.close(self._from)

    def ask(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command; events that come meanwhile are kept."""
        number = next(self._numbers)
        about = {"sessionId": session} if session else {}
        os.write(self._to, json.dumps({"id": number, "method": method, "params": parameters, **about}).encode() + b"\0")
        while True:
            while b"\0" not in self._read:
                got = os.read(self._from, 65536)
                assert got, "the browser has gone"
                self._read += got
            said, _, self._read = self._read.partition(b"\0")
            answer = json.loads(said)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def value(self, session: str, expression: str) -> Any:
        """What a script finds in the page."""
        return self.ask("Runtime.evaluate", session, expression=expression)["result"].get("value")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """One browser, ended at the end."""
    started = Browser(tmp_path / "profile")
    yield started
    started.close()


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_in_a_browser(run: Any, browser: Browser, tmp_path: Path, width: int) -> None:
    """No errors, nothing asked of a network, nothing wider than the window, and links lead to their entries."""
    (tmp_path / "c01").mkdir()
    (tmp_path / "c01" / "nova-compute.log").write_text(BAD)
    page = tmp_path / "page.html"
    run("diagnose", "server", SERVER, "--logs", tmp_path / "c01", "--html", page)
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Log", "Runtime", "Network"):
        browser.ask(f"{domain}.enable", session)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.ask("Emulation.setDeviceMetricsOverride", session, **size)
    browser.ask("Page.navigate", session, url=page.as_uri())
    for _ in range(200):
        if browser.value(session, "document.readyState") == "complete":
            break
    assert browser.value(session, "document.querySelectorAll('circle').length") > 0
    assert browser.value(session, "document.documentElement.scrollWidth") <= width
    link = "document.querySelector('section a')"
    assert browser.value(session, f"document.getElementById({link}.getAttribute('href').slice(1)).className") != ""
    assert browser.value(session, f"{link}.click(); location.hash").startswith("#e")
    methods = [event["method"] for event in browser.events]
    assert [m for m in methods if m in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")] == []
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "about:", "data:"))] == []


def test_the_picture_of_the_docs_is_of_this_page(tmp_path: Path) -> None:
    """The page of which the picture was taken is the one that is made now (scripts/record_diagnosis.py takes it)."""
    recorded = loaded(Path(__file__).parents[2] / "scripts" / "record_diagnosis.py")
    assert recorded.PAGE.read_text() == recorded.page(tmp_path)
    assert recorded.PAGE.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
