# SPDX-License-Identifier: Apache-2.0
"""Consoles read and waited for: the same tests on a fake Nova and on the real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "console.json").read_text())
BOOTED = "[    0.0] Linux version 6.1\n[   12.3] cloud-init finished\n\nweb login: "
ASKS = "/dev/vda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n"
SHELL = "You are in emergency mode. After logging in, type\n"
PANIC = "[    1.2] Kernel panic - not syncing: Attempted to kill init!\n"


class Site(Protocol):
    """A cloud with one server that runs, and the file that its console is."""

    toml: Path
    server: str

    def write(self, text: str | None) -> None:
        """What the console holds from now on; None: the guest has none."""
        ...

    def stopped(self) -> str:
        """A server that is off."""
        ...


Typed = Callable[..., tuple[int, Any, str]]


class Consoles:
    """What holds on each; ``site`` is a fixture of its own."""

    @pytest.fixture
    def typed(self, site: Site, capsys: pytest.CaptureFixture[str]) -> Typed:
        """Run a command: exit code, document, messages."""

        def run(*words: str) -> tuple[int, Any, str]:
            capsys.readouterr()
            code = main(["--config", str(site.toml), "server", "console", *words, "-f", "json"])
            captured = capsys.readouterr()
            document = json.loads(captured.out) if captured.out else None
            if document is not None:
                jsonschema.validate(document, SCHEMA)
            return code, document, captured.err

        return run

    @pytest.mark.parametrize(
        ("text", "wait", "code", "outcome", "shows"),
        [
            (BOOTED, "login", Exit.CLEAN, "found", "login"),
            (BOOTED + "[   14.062] cloud-init[611]: ci-info: done\n", "login", Exit.CLEAN, "found", "login"),
            (PANIC + BOOTED, "login", Exit.CLEAN, "found", "login"),
            (PANIC, "panic", Exit.CLEAN, "found", "panic"),
            (ASKS + SHELL, "fsck", Exit.CLEAN, "found", "shell"),
            (PANIC, "login", Exit.FINDINGS, "worse", "panic"),
            (PANIC, "fsck", Exit.FINDINGS, "worse", "panic"),
            (ASKS, "panic", Exit.FINDINGS, "worse", "fsck"),
            ("Booting from Hard Disk...\nNo bootable device.\n", "login", Exit.FINDINGS, "worse", "boot"),
            ("[    0.0] Linux version 6.1\n", "login", Exit.STOPPED, "timeout", ""),
            (BOOTED, "panic", Exit.STOPPED, "timeout", "login"),
            (PANIC + BOOTED, "panic", Exit.STOPPED, "timeout", "login"),
        ],
    )
    def test_found_worse_or_timed_out(
        self, site: Site, typed: Typed, text: str, wait: str, code: Exit, outcome: str, shows: str
    ) -> None:
        """Each has an exit code; troubles before a login prompt are history."""
        site.write(text)
        found, document, err = typed(site.server, "--wait", wait, "--timeout", "0")
        assert (found, document["outcome"], document["shows"]) == (code, outcome, shows), err
        assert (document["server"], document["vm_state"], document["wait"]) == (site.server, "active", wait)

    def test_it_waits(self, site: Site, typed: Typed) -> None:
        """What is written while it waits is seen; what it shows already does not count with --new."""
        site.write(BOOTED)
        with later(6, lambda: site.write(BOOTED + "\n[   99.0] reboot: Restarting system\n" + BOOTED)):
            code, document, err = typed(site.server, "--wait", "login", "--new", "--timeout", "40")
        assert (code, document["outcome"]) == (Exit.CLEAN, "found"), err
        assert 4 < document["seconds"] < 25
        code, document, _ = typed(site.server, "--wait", "login", "--new", "--timeout", "1")
        assert (code, document["outcome"]) == (Exit.STOPPED, "timeout")

    def test_the_last_lines(self, site: Site, typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
        """So many as asked for; nothing of a guest's own choice reaches the terminal."""
        site.write("".join(f"line {n}\n" for n in range(400)) + "\x1b[0;32m  OK  \x1b[0m\x07 \x1b]0;mine\x07[ done ]\n")
        code, document, _ = typed(site.server, "--tail", "2")
        assert code == Exit.CLEAN
        assert document["lines"][0] == "line 399"
        assert "  OK   " in document["lines"][1]
        assert document["lines"][1].endswith("[ done ]")
        assert len(typed(site.server, "--tail", "300")[1]["lines"]) == 300
        assert typed(site.server, "--tail", "0")[1]["lines"] == []
        assert main(["--config", str(site.toml), "server", "console", site.server, "--tail", "2"]) == Exit.CLEAN
        out = capsys.readouterr().out
        assert out.startswith("line 399\n")
        assert out.replace("\n", "").isprintable()

    def test_what_it_shows_without_waiting(self, site: Site, typed: Typed) -> None:
        """A trouble is exit code 3."""
        site.write(SHELL)
        code, document, err = typed(site.server)
        assert (code, document["outcome"], document["shows"]) == (Exit.FINDINGS, "read", "shell")
        assert "it shows an emergency shell that waits for input" in err

    def test_nothing_is_on_it(self, site: Site, typed: Typed) -> None:
        """A guest without console=ttyS0 writes nothing: said, and waited for until the time is over."""
        site.write("")
        code, document, err = typed(site.server)
        assert (code, document["lines"]) == (Exit.CLEAN, [])
        assert "console=ttyS0" in err
        code, document, err = typed(site.server, "--wait", "login", "--timeout", "0")
        assert (code, document["outcome"]) == (Exit.STOPPED, "timeout")
        assert "console=ttyS0" in err

    def test_there_is_none(self, site: Site, typed: Typed) -> None:
        """Exit code 7 at once, with Nova's words and where to look."""
        site.write(None)
        for more in ((), ("--wait", "login", "--timeout", "60")):
            code, document, err = typed(site.server, *more)
            assert (code, document) == (Exit.INCOMPLETE, None)
            assert f"server {site.server} has no console log: Nova answers 404" in err
            assert "[serial_console]" in err

    def test_a_server_that_is_off(self, site: Site, typed: Typed) -> None:
        """Its old login prompt is none, and nothing more will be written: it ends at once."""
        code, document, err = typed(site.stopped(), "--wait", "login", "--timeout", "60")
        assert (code, document["outcome"]) == (Exit.STOPPED, "over"), err
        assert document["seconds"] < 10
        assert "the server is stopped" in err


@contextmanager
def later(seconds: float, do: Callable[[], None]) -> Iterator[None]:
    """Have something done after a while."""
    timer = threading.Timer(seconds, do)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
