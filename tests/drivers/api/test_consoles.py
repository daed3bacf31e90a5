# SPDX-License-Identifier: Apache-2.0
"""Consoles, of a fake Nova; and what the text of one says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.objects import consoles
from stackmend.cli.shell import main
from stackmend.cloud.consoles import added, clean, seen
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend_lab.cloud import build

from .conftest import HandClock
from .consoles import ASKS, BOOTED, PANIC, Consoles, Typed
from .fake import RefusedError, Reply
from .serving import serving
from .showing import ShowingFake
from .test_collecting import configured


class ConsoleFake(ShowingFake):
    """nova-compute returns the end of a file, as libvirt's driver does."""

    console: str | None = ""

    def server_action(self, body: Any, name: str) -> Reply:
        if "os-getConsoleOutput" not in body:
            return super().server_action(body, name)
        self.one_server(None, name)
        if self.console is None:
            raise RefusedError(404, "Guest does not have a console available.")
        last = body["os-getConsoleOutput"]["length"]
        text = "\n".join(self.console.split("\n")[-last:])
        return 200, {"output": re.sub("[\x00-\x08\x0b-\x1f]", "", text)}


class FakeSite:
    """A fake Nova, and one of its servers."""

    def __init__(self, fake: ConsoleFake, folder: Path) -> None:
        self.fake = fake
        self.config = configured(folder, fake)
        self.toml = folder / "stackmend.toml"
        self.server = fake.row("cell:cell1", "SELECT uuid FROM instances WHERE vm_state = 'active' AND deleted = 0"
                                             " AND task_state IS NULL ORDER BY id")["uuid"]  # type: ignore[index]  # fmt: skip

    def write(self, text: str | None) -> None:
        self.fake.console = text

    def stopped(self) -> str:
        self.fake.console = BOOTED
        sql = "SELECT uuid FROM instances WHERE vm_state = 'stopped' AND deleted = 0 AND task_state IS NULL"
        row = self.fake.row("cell:cell1", sql)
        assert row is not None
        return str(row["uuid"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleFake]:
    """A cloud with its services."""
    folder = tmp_path_factory.mktemp("consoles")
    cloud = build(folder / "cloud", servers=120)
    with serving(ConsoleFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield fake
    cloud.close()


@pytest.fixture
def site(served: ConsoleFake, tmp_path: Path) -> FakeSite:
    """A Nova that is well."""
    served.faults.clear()
    return FakeSite(served, tmp_path)


class TestConsoles(Consoles):
    """Of a fake."""

    @pytest.fixture
    def site(self, site: FakeSite) -> FakeSite:
        """That of this file."""
        return site

    def test_a_service_that_stumbles_is_asked_again(self, site: FakeSite) -> None:
        """Until the time is over: what is unread is not "it shows nothing"."""
        site.write(BOOTED)
        action = f"/servers/{site.server}/action"
        site.fake.fault("POST", action, "refuse", times=7, status=500)
        clock = HandClock()
        found = consoles.wait(site.config, site.server, "login", tail=1, limit=60, clock=clock)
        assert (found.outcome, found.lines) == ("found", ["web login: "])
        assert found.seconds > 0
        site.fake.faults.clear()
        site.fake.fault("POST", action, "refuse", times=99, status=500)
        with pytest.raises(SourceError, match="cannot be read: Nova answers 500"):
            consoles.wait(site.config, site.server, "login", tail=1, limit=20, clock=clock)

    def test_it_gives_up_when_the_server_goes(self, site: FakeSite) -> None:
        """A server that is deleted meanwhile is no time-out; one that is not known is an error of the user."""
        site.write("booting\n")
        where = {"uuid": site.server}
        clock = HandClock()

        def sleep(seconds: float) -> None:
            HandClock.sleep(clock, seconds)
            site.fake.cloud.update("cell:cell1", "instances", where, deleted=1)

        clock.sleep = sleep  # type: ignore[method-assign]
        try:
            found = consoles.wait(site.config, site.server, "panic", tail=5, limit=600, clock=clock)
            assert (found.outcome, found.reason, found.lines) == ("over", "the server is gone", ["booting"])
            with pytest.raises(UsageError, match="there is no server"):
                consoles.show(site.config, site.server, 5)
        finally:
            site.fake.cloud.update("cell:cell1", "instances", where, deleted=0)

    @pytest.mark.parametrize(("status", "words"), [(403, "Policy doesn't allow"), (501, "not supported")])
    def test_what_will_never_be_read_is_not_waited_for(
        self, site: FakeSite, typed: Typed, status: int, words: str
    ) -> None:
        """A policy, or a hypervisor that keeps no log: exit code 7 at once, with Nova's words."""
        body = {"error": {"message": words, "code": status}}
        site.fake.fault("POST", "/action", "refuse", times=1, status=status, body=body)
        code, document, err = typed(site.server, "--wait", "login", "--timeout", "600")
        assert (code, document) == (Exit.INCOMPLETE, None)
        assert f"Nova answers {status}: {words}" in err

    @pytest.mark.parametrize("words", [("--new",), ("--timeout", "5"), ("--wait", "bios"), ("--tail", "-1")])
    def test_options_that_mean_nothing(self, site: FakeSite, words: tuple[str, ...]) -> None:
        """Exit code 2 before anything is asked."""
        site.fake.seen.clear()
        try:
            code = main(["--config", str(site.toml), "server", "console", site.server, *words])
        except SystemExit as end:
            code = int(end.code or 0)
        assert code == Exit.USAGE
        assert not site.fake.sent("POST", "/action")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("[0;32m  OK  [0m Started", "  OK   Started"),
        ("[2J[01;01HGRUB", "GRUB"),
        ("[  OK  ] Started [12] [1] [K]ill [5s]", "[  OK  ] Started [12] [1] [K]ill [5s]"),
        ("[    1.234567] a kernel line", "[    1.234567] a kernel line"),
        ("a\rb\x00\x9bc\ufffd\tä\n", "abc\ufffd\tä\n"),
    ],
)
def test_clean_text(text: str, plain: str) -> None:
    """Escape sequences go, whole or without the ESC that Nova has taken; what only looks like one stays."""
    assert clean(text) == plain


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "a\n", "a\n"),
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\n", "a\nb\nc\n", "c\n"),
        ("a\nb\nc\n", "b\nc\nd\n", "d\n"),
        ("a\nb\n", "x\ny\n", "x\ny\n"),
        ("a\nweb lo", "a\nweb login: ", "web login: "),
        ("a\nweb login: ", "a\nweb login: root\nPassword: ", "root\nPassword: "),
        ("a\na\n", "a\na\na\n", "a\n"),
    ],
)
def test_what_was_added(before: str, now: str, new: str) -> None:
    """Of a window that slides over the text, and of a text that was begun anew."""
    assert added(before, now) == new


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("ubuntu login: ubuntu (automatic login)\n", ["login"]),
        ("web login: [   27.115] EXT4-fs (vda1): re-mounted\n", ["login"]),
        ("sshd: Failed login: root from 10.0.0.7\n", []),
        (ASKS + PANIC, ["fsck", "panic"]),
    ],
)
def test_what_a_text_shows(text: str, kinds: list[str]) -> None:
    """In its order; what others write about logins is no prompt."""
    assert [kind for kind, _ in seen(text)] == kinds
