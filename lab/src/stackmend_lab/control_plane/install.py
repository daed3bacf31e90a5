# SPDX-License-Identifier: Apache-2.0
"""The prerequisites of a lab: MariaDB and RabbitMQ from Debian, and the services in their own environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from stackmend.model.errors import UsageError
from stackmend.tables.releases import NEWEST
from stackmend_lab.control_plane import packages
from stackmend_lab.control_plane.process import tail
from stackmend_lab.control_plane.progress import Tell
from stackmend_lab.control_plane.releases import RUNNABLE, installed, interpreter
from stackmend_lab.mariadb import LabError

#: Debian installs servers in folders that are not on every PATH
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  #: not the script in /usr/sbin, which changes the user

#: program -> its Debian package; the core packages contain only programs, no service
PROGRAMS: Mapping[str, str] = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
    str(RABBITMQ): "rabbitmq-server",
    "epmd": "rabbitmq-server",
}
#: programs that an environment with the services must have
_SERVICES = ("nova-compute", "neutron-rpc-server", "cinder-volume", "keystone-manage", "placement-manage", "uwsgi")


def program(name: str) -> str:
    """Full path of a program, also from /usr/sbin; "" if it is not installed."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH) or ""


def missing_packages(programs: Mapping[str, str] = PROGRAMS) -> list[str]:
    """The Debian packages of the missing programs."""
    return sorted({package for name, package in programs.items() if not program(name)})


def ensure_packages(tell: Tell, log: Path, programs: Mapping[str, str] = PROGRAMS) -> None:
    """Install missing packages, as root or with passwordless sudo; otherwise LabError says what to type."""
    names = missing_packages(programs)
    if not names:
        return
    by_hand = f"As root: apt-get install --no-install-recommends {' '.join(names)}   Then 'stackmend lab up' again."
    if not program("apt-get"):
        raise LabError(
            f"this machine lacks what these Debian packages hold: {', '.join(names)}",
            "It is not a Debian: install the same with its own package manager.",
        )
    front: list[str] = []
    if os.geteuid() != 0:
        sudo = program("sudo")
        if not sudo or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
            raise LabError(f"missing Debian packages: {', '.join(names)}", by_hand)
        front = [sudo, "-n"]
    tell(f"installing Debian packages: {', '.join(names)}")
    run([*front, sys.executable, "-I", packages.__file__, *names], log, f"apt-get ended badly; {by_hand}")


def find_services(given: str | None, kept: Path | None, folder: Path, release: str = NEWEST) -> Path:
    """The environment of a release's services: named, kept from the last time, next to the source, or in the folder.

    ``STACKMEND_SERVICES`` names those of the newest release.
    """
    named = given or (os.environ.get("STACKMEND_SERVICES") if release == NEWEST else None)
    if named:
        path = Path(named).absolute()
        if not is_services(path):
            raise UsageError(
                f"{path} has no {_lacks(path)}: it is no environment of the services",
                "'make services' in a checkout makes one, or let 'stackmend lab up' make its own.",
            )
        if (found := installed(path)) not in ("", release):
            raise UsageError(f"{path} has the services of {found}, not of {release}", f"Name it: --release {found}")
        return path
    beside = Path(__file__).parents[4] / (".services" if release == NEWEST else f".services-{release}")
    candidates = [path for path in (kept, folder / "services", beside) if path]
    return next((path for path in candidates if is_services(path)), folder / "services")


def is_services(path: Path) -> bool:
    """Whether the services are installed there."""
    return not _lacks(path)


def ensure_services(path: Path, tell: Tell, log: Path, release: str = NEWEST) -> None:
    """Install the services into ``path`` unless they are there; about 700 MiB, one or two minutes."""
    if is_services(path):
        return
    tell(f"installing the services of {release} into {path}")
    python = interpreter(release)
    shutil.rmtree(path, ignore_errors=True)
    why = "the services could not be installed"
    with as_file(files("stackmend_lab") / RUNNABLE[release].pins) as pins:
        if uv := shutil.which("uv"):
            environment = _index_for_uv()
            run([uv, "venv", "--quiet", "--python", python, str(path)], log, why, environment)
            run(
                [uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", f"{path}/bin/python", str(pins)],
                log, why, environment,
            )  # fmt: skip
        else:
            run([python, "-m", "venv", str(path)], log, why)
            run([f"{path}/bin/python", "-m", "pip", "install", "--no-deps", "-r", str(pins)], log, why)
    if not is_services(path):
        raise LabError(f"{path} has no {_lacks(path)} after the installation", f"Look at {log}.")


def run(command: Sequence[str], log: Path, why: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a program with its output in ``log``; LabError with the last lines if it fails."""
    with log.open("ab") as output:
        outcome = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, check=False
        )
    if outcome.returncode:
        raise LabError("\n  ".join([f"{why}:", *tail(log)]), f"The whole output is in {log}.")


def bytecode_cache(services: Path) -> Path | None:
    """Where the services' Python may cache byte code; None if the environment itself has it.

    A shared environment is not written to; without byte code every start would compile everything again.
    """
    if next(services.glob("lib/python3*/site-packages/nova/__pycache__"), None):
        return None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stackmend" / "bytecode"


def _lacks(path: Path) -> str:
    return next((f"bin/{name}" for name in _SERVICES if not (path / "bin" / name).exists()), "")


def _index_for_uv() -> dict[str, str]:
    """Pass on the package index of pip's configuration, which uv does not read."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL"):
        return environment
    index = environment.get("PIP_INDEX_URL") or _index_of_pip()
    return {**environment, "UV_DEFAULT_INDEX": index} if index else environment


def _index_of_pip() -> str:
    python = getattr(sys, "_base_executable", None) or sys.executable
    asked = subprocess.run(
        [python, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""
