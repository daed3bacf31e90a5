# SPDX-License-Identifier: Apache-2.0
"""The console of a guest: its last lines, and waiting until it shows something."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stackmend.app import apis
from stackmend.cloud import compute
from stackmend.cloud.consoles import FSCK, LINES, LOGIN, PANIC, added, seen, since_login
from stackmend.cloud.states import RAN
from stackmend.config.settings import Config
from stackmend.drivers.api.operations import consoles
from stackmend.drivers.api.reading import ApiReading
from stackmend.model import values
from stackmend.model.api import Resource
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.protocols import Clock

#: what can be waited for
WAITS = (LOGIN, PANIC, FSCK)
#: seconds between two polls: for each of them nova-compute reads 100 KiB
EVERY = 5.0
#: vm_state of a server that has no guest yet
BUILDING = "building"
_NO_CONSOLE = (
    "The hypervisor keeps a log of the serial console where the guest has one: with libvirt see [serial_console] and "
    "the domain's <console>."
)
_EMPTY = "nothing is on it: the guest writes to no serial console (console=ttyS0), or not yet"
ConsoleOutcome = Literal["read", "found", "worse", "timeout", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The contents of a console, and the result of waiting for it."""

    server: str
    host: str | None
    vm_state: str | None
    task_state: str | None
    wait: str = ""  #: what it waited for, "" if it did not wait
    outcome: ConsoleOutcome = "read"
    shows: str = ""  #: what its last lines show: "login", "panic", "fsck", "shell", "boot", or ""
    words: str = ""  #: the same in words
    seconds: float = 0.0  #: time spent waiting
    reason: str = ""  #: why it gave up, or a note
    lines: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON values (docs/schemas/console.json)."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Look:
    found: Resource | None = None  #: the server, None if Nova has none
    console: consoles.ConsoleOutput | None = None
    why: str = ""  #: why the service did not answer

    @property
    def state(self) -> str | None:
        return values.text((self.found or {}).get("OS-EXT-STS:vm_state"))

    @property
    def task(self) -> str | None:
        return values.text((self.found or {}).get("OS-EXT-STS:task_state"))

    @property
    def text(self) -> str:
        return self.console.text if self.console else ""

    @property
    def readable(self) -> bool:
        return self.console is not None and self.console.there

    @property
    def moves(self) -> bool:
        """Whether something may still be written to the console."""
        return bool(self.why) or (self.found is not None and (self.task is not None or self.state in (*RAN, BUILDING)))

    @property
    def final(self) -> bool:
        """Whether Nova says that there is and will be no console, or that this account may not read it."""
        if self.console is None or self.console.there:
            return False
        return (
            not self.moves or self.console.status in (401, 403, 501) or (self.console.status == 404 and not self.task)
        )


def show(config: Config, server: str, tail: int) -> Console:
    """The last lines of a console. SourceError if it cannot be read."""
    with closing(apis.executor(config)) as calls:
        look = _look(calls.ready(), server, tail)
        _complain(server, look)
        return _made(server, look, look.text, tail)


def wait(
    config: Config, server: str, wanted: str, *, tail: int, limit: float, new: bool = False, clock: Clock | None = None
) -> Console:
    """Poll the console until it shows what is wanted, or a problem, or can no longer change.

    ``new``: ignore what it shows at the beginning. SourceError if the console could not be read even once.
    """
    with closing(apis.executor(config)) as calls:
        return _wait(calls.ready(), clock or apis.SystemClock(), server, wanted, tail, limit, new)


def _wait(reading: ApiReading, clock: Clock, server: str, wanted: str, tail: int, limit: float, new: bool) -> Console:
    begun, before, text = clock.now(), "" if not new else None, ""
    last: _Look | None = None
    while True:
        look = _look(reading, server, tail)
        passed = (clock.now() - begun).total_seconds()
        if look.readable:
            last = look
            before = look.text if before is None else before
            text = added(before, look.text)
        elif look.final:
            _complain(server, look)
        outcome, reason = _judged(look, text, wanted)
        if outcome is None and passed >= limit:
            outcome, reason = "timeout", look.why
        if outcome is not None:
            if last is None:
                _complain(server, look)
            more = {"wait": wanted, "outcome": outcome, "seconds": round(passed, 1), "reason": reason}
            return _made(server, look if look.readable else last or look, text, tail, **more)
        clock.sleep(min(EVERY, limit - passed))


def _look(reading: ApiReading, server: str, tail: int) -> _Look:
    """A server and its console. A service that does not answer is queried again later."""
    try:
        found = compute.server(reading, server)
        return _Look(found, None if found is None else consoles.read(reading, server, max(LINES, tail + 1)))
    except SourceError as problem:
        return _Look(why=problem.message)


def _judged(look: _Look, text: str, wanted: str) -> tuple[ConsoleOutcome | None, str]:
    """The outcome after this read, and the reason; None to continue waiting."""
    events = seen(text)
    after = {kind for kind, _ in since_login(events)}
    if wanted in after or (wanted == LOGIN and events and not after and look.state in RAN):
        return "found", ""
    if after:
        return "worse", ""
    if not look.moves:
        return "over", f"the server is {look.state}" if look.found else "the server is gone"
    return None, ""


def _complain(server: str, look: _Look) -> None:
    """SourceError or UsageError if the console cannot be read."""
    if look.why:
        raise SourceError(f"the console of {server} cannot be read: {look.why}")
    if look.console is None:
        raise UsageError(f"there is no server {server}", "'openstack server list --all-projects' lists them.")
    if look.console.there:
        return
    said = f"Nova answers {look.console.status}{f': {look.console.words}' if look.console.words else ''}"
    if look.console.status in (404, 501):
        raise SourceError(f"server {server} has no console log: {said}", _NO_CONSOLE)
    if look.console.status == 409:
        raise SourceError(f"server {server} is not on a host: {said}")
    raise SourceError(f"the console of {server} cannot be read: {said}")


def _made(server: str, look: _Look, text: str, tail: int, **more: Any) -> Console:
    kind, words = (seen(text) or [("", "")])[-1]
    every = look.text.rstrip("\n").split("\n") if look.text.strip() else []
    return Console(
        server=server,
        host=values.text((look.found or {}).get("OS-EXT-SRV-ATTR:host")),
        vm_state=look.state,
        task_state=look.task,
        shows=kind,
        words=words,
        lines=every[-tail:] if tail else [],
        **more | {"reason": more.get("reason") or ("" if every else _EMPTY)},
    )
