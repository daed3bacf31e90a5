# SPDX-License-Identifier: Apache-2.0
"""Command lines that nobody would type: each one ends soon, with an exit code that is documented and no "bug"."""

from __future__ import annotations

import argparse
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from stackmend.cli.manager import Commands
from stackmend.cli.shell import Shell
from stackmend.model.errors import Exit
from stackmend_lab.cloud import build

#: seconds after which a line hangs
ENOUGH = 60
#: these begin services, or a cloud of their own
_OWN = ("demo", "lab", "complete")
_DOCUMENTED = set(map(int, Exit)) - {int(Exit.ERROR)}

WORDS = (
    "", " ", "-", "--", "*", "'", '"', "NONSENSE", "\x00", "\udcff", "x" * 5000, "é" * 200, "\u202e", "=1+1", "%s",
    "{0}", "{host}", "-1", "0", "1", "nan", "inf", "-inf", "1e400", "9" * 30, "99999999999d", "9" * 5000 + "d", "never",
    "0001-01-01", "/dev/null", "/dev/zero", "/dev/stdin", "/proc/self/mem", ".", "..", "/", "~",
    "~nobody-here/x", "a/" * 3000,
    "a=b", "server.x", "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55", "compute-1", "nova-compute", "1;2", "$(id)", "\n", "\t",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the configuration of a tiny cloud, a pipe without an end, and a loop of links."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "cloud").mkdir()
    cloud = build(folder / "cloud", servers=20)
    (folder / "cloud.toml").write_text(cloud.toml())
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    yield folder
    cloud.close()


@contextmanager
def soon() -> Iterator[None]:
    """TimeoutError where it does not end."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still at it after {ENOUGH} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(ENOUGH)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Name of a command -> its parser."""
    import io

    shell = Shell(io.StringIO(), io.StringIO())
    shell.options = shell.parser.parse_args([])
    found = {}
    for name, entry in Commands():
        if name.split()[0] not in _OWN:
            found[name] = entry.load()(shell, shell.options, cmd_name=name).get_parser(name)
    return found


def lines(place: Path, seed: int, count: int) -> Iterator[list[str]]:
    """Every command with odd values for each of its arguments."""
    chance = random.Random(seed)
    words = [*WORDS, str(place), str(place / "pipe"), str(place / "loop"), str(place / "none")]
    known = parsers()
    names = sorted(known)
    for number in range(count):
        name = names[number % len(names)]
        yield [*name.split(), *_arguments(known[name], chance, words)]


def _arguments(parser: argparse.ArgumentParser, chance: random.Random, words: Sequence[str]) -> Iterator[str]:
    for action in parser._actions:
        flag = action.option_strings[-1] if action.option_strings else ""
        if isinstance(action, argparse._HelpAction) or chance.random() < (0.6 if flag else 0.05):
            continue
        if action.nargs == 0 or isinstance(action, argparse._CountAction):
            yield flag
            continue
        value = chance.choice([*map(str, action.choices)] if action.choices and chance.random() < 0.8 else words)
        if flag:
            yield f"{flag}={value}"
        else:
            yield value


def wrong(run, place: Path, seed: int, count: int) -> list[tuple[list[str], int, str]]:
    """(line, exit code, what was said) of the first line whose answer is none that is documented."""
    (place / "work").mkdir(exist_ok=True)
    here = Path.cwd()
    os.chdir(place / "work")
    try:
        for line in lines(place, seed, count):
            with soon():
                done = run("--config", place / "cloud.toml", *line)
            if done.code not in _DOCUMENTED or "This is a bug" in done.err:
                return [(line, done.code, done.err)]
    finally:
        os.chdir(here)
    return []


@pytest.mark.attack("odd command lines: every command, odd values for every option")
def test_odd_lines(run, place, record_property) -> None:
    """Each command some times."""
    assert wrong(run, place, 1, 160) == []
    record_property("tries", 160)


@pytest.mark.long
@pytest.mark.attack("odd command lines: every command, odd values for every option")
def test_many_odd_lines(run, place, record_property) -> None:
    """Each command many times."""
    assert wrong(run, place, 2, 3000) == []
    record_property("tries", 3000)
