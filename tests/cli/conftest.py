# SPDX-License-Identifier: Apache-2.0
"""Run the program in this process, or as an operator would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackmend.cli.commands.demo import repairable
from stackmend.cli.shell import main
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.rehearsal import plant

#: kinds of damage with safe and unsafe repairs, in several databases, one with a choice between repairs
SOME = frozenset(
    {
        "allocation-orphan", "dhcp-port-stale", "info-cache-empty", "info-cache-stale-port", "nova-bdm-cinder-detached",
        "volume-in-use-server-gone", "volume-stuck-detaching",
    }
)  # fmt: skip
PROGRAM = Path(sys.executable).with_name("stackmend")
CLIENT = Path(sys.executable).with_name("openstack")


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate every test from the state and configuration of the person running it."""
    monkeypatch.setenv("STACKMEND_STATE", str(tmp_path / "state"))
    for name in ("STACKMEND_CONFIG", "STACKMEND_ROOT", "STACKMEND_LAYOUT", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in this process."""

    def command(*argv: str) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


@pytest.fixture
def program() -> Callable[..., Ran]:
    """Run the installed program in a separate process."""

    def command(*argv: str, env: Mapping[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [PROGRAM, *map(str, argv)], capture_output=True, text=True, env=env, check=False, timeout=120
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return command


@pytest.fixture
def openstack(tmp_path: Path) -> Callable[..., Ran]:
    """Run the ``openstack`` client in a separate process, for an operator without a cloud."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    keep |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "200"}

    def command(*argv: object, program: tuple[str, ...] = (str(CLIENT),), **env: str) -> Ran:
        done = subprocess.run(
            [*program, *map(str, argv)],
            capture_output=True,
            text=True,
            env=keep | env,
            cwd=tmp_path,
            check=False,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return command


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small healthy cloud in SQLite files, which is never changed."""
    built = build(tmp_path_factory.mktemp("original"), servers=240)
    yield built
    built.close()


@pytest.fixture
def cloud(original: Cloud, tmp_path: Path) -> Iterator[Cloud]:
    """A copy of it for one test."""
    copy = original.copied(tmp_path / "cloud")
    copy.renew()
    (tmp_path / "cloud" / "cloud.toml").write_text(copy.toml())
    yield copy
    copy.close()


@pytest.fixture
def cloud_config(cloud: Cloud, tmp_path: Path) -> Path:
    """The configuration for it."""
    return tmp_path / "cloud" / "cloud.toml"


@pytest.fixture
def broken_cloud(cloud: Cloud) -> Cloud:
    """The same cloud with damage of a few kinds, which commands are tried on."""
    plant(cloud, SOME)
    return cloud


@pytest.fixture
def ruined_cloud(cloud: Cloud) -> Cloud:
    """The same cloud with damage of each repairable kind: an audit and a plan of it take ten times as long."""
    plant(cloud, repairable())
    return cloud
