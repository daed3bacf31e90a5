# SPDX-License-Identifier: Apache-2.0
"""Batches of canaries: the same tests on services in memory and on real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import jsonschema

from stackmend.app import runs
from stackmend.config.settings import load
from stackmend.model.errors import Exit

from .typed import Typed

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "canary.json").read_text())


class Site(Protocol):
    """The services, and an account of them."""

    toml: Path
    network: str
    hosts: tuple[str, ...]

    def canaries(self) -> list[str]:
        """Names of servers that are called as canaries are."""
        ...

    def ports(self) -> int:
        """Number of ports in the cloud."""
        ...

    def break_host(self, host: str, broken: bool) -> None:
        """Let builds on it fail, or not any more."""
        ...

    def building(self) -> AbstractContextManager[None]:
        """No build ends meanwhile, unless builds take long anyway."""
        ...

    def alike(self) -> str:
        """A server that is only called like a canary; its name."""
        ...

    def drop(self, name: str) -> None:
        """Delete it."""
        ...


def document(out: str) -> Any:
    """What was printed, as its schema has it."""
    found = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    return found


class Proving(Typed):
    """What holds on each; ``site`` is a fixture of its own."""

    def test_a_healthy_cloud_is_proved(self, site: Site, typed: Any) -> None:
        """Shown first; then each has what it was asked for, and nothing is left; the report tells how long it took."""
        before = site.ports()
        words = ("canary", "--count", "5", "--parallel", "3", "--network", site.network)
        code, out, err = typed(*words)
        assert (code, site.canaries()) == (Exit.FINDINGS, []), err
        assert "stackmend-canary-" in out
        code, out, err = typed(*words, "--yes", "-f", "json")
        assert code == Exit.CLEAN, err
        found = document(out)
        assert (found["outcome"], found["proved"], found["failed"], found["left"]) == ("clean", 5, 0, [])
        assert {one["phase"] for one in found["canaries"]} == {"done"}
        assert all({"build", "prove", "clean"} <= set(one["seconds"]) for one in found["canaries"])
        assert sum(bar["number"] for bar in found["latencies"]["build"]["histogram"]) == 5
        assert (site.canaries(), site.ports()) == ([], before)
        code, out, _ = typed("canary", "--report", found["run"])
        assert (code, "5 of 5 canaries proved" in out, "request to active" in out) == (Exit.CLEAN, True, True)

    def test_a_host_that_builds_nothing_is_named(self, site: Site, typed: Any) -> None:
        """By host and phase, with its reason; the canaries of other hosts are proved, and all of them are gone."""
        bad, good = site.hosts[0], site.hosts[1]
        site.break_host(bad, True)
        try:
            code, out, err = typed(
                "canary", "--count", "4", "--parallel", "2", "--network", site.network, "--host", bad, "--host", good,
                "--yes", "-f", "json",
            )  # fmt: skip
        finally:
            site.break_host(bad, False)
        assert code == Exit.FINDINGS, err
        found = document(out)
        assert (found["outcome"], found["proved"], found["failed"]) == ("failures", 2, 2)
        (failure,) = found["failures"]
        assert (failure["host"], failure["phase"], failure["number"]) == (bad, "build", 2)
        assert failure["reason"]
        assert {one["host"]: one["failed"] for one in found["hosts"]} == {bad: 2, good: 0}
        assert (found["left"], site.canaries()) == ([], [])

    def signalled(self, site: Site, number: int, there: int, what: int) -> tuple[int, str, str]:
        """Begin so many, and send a signal when there are so many servers called so: exit code, output, messages."""
        program = Path(sys.executable).with_name("stackmend")
        words = ["canary", "--count", str(number), "--parallel", "3", "--network", site.network, "--yes", "-f", "json"]
        with subprocess.Popen(
            [program, "--config", str(site.toml), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + 90
            with site.building():
                while len(site.canaries()) < there and time.monotonic() < deadline:
                    time.sleep(0.05)
                os.kill(process.pid, what)
            out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def test_interrupted_it_cleans_up(self, site: Site) -> None:
        """What is under way is seen to its end, nothing more is begun, and what is there of the batch is deleted."""
        before = site.ports()
        code, out, err = self.signalled(site, 9, 2, signal.SIGINT)
        assert code == Exit.STOPPED, err
        found = document(out)
        assert (found["outcome"], found["left"], site.canaries()) == ("stopped", [], [])
        assert [one["phase"] for one in found["canaries"]].count("waiting") >= 3
        assert site.ports() == before

    def test_killed_it_is_cleaned_up(self, site: Site, typed: Any) -> None:
        """After kill -9 in the middle, --clean-up deletes what is there, and nothing that is only called alike."""
        before, alike = site.ports(), site.alike()
        code, _, _ = self.signalled(site, 3, 4, signal.SIGKILL)
        assert (code, len(site.canaries())) == (-signal.SIGKILL, 4)
        # a minute is too long: its process is known to have ended
        assert next(iter(runs.list_runs(load(str(site.toml))))).state.value == "cut off"
        code, out, err = typed("canary", "--clean-up")
        assert (code, alike in out) == (Exit.FINDINGS, False), err
        code, _, err = typed("canary", "--clean-up", "--yes")
        assert code == Exit.REPAIRED, err
        assert site.canaries() == [alike]
        site.drop(alike)
        assert site.ports() == before
        code, _, err = typed("canary", "--clean-up", "--yes")
        assert code == Exit.CLEAN, err
