# SPDX-License-Identifier: Apache-2.0
"""A real OVN: two ovsdb-servers and ovn-northd, on sockets in a folder of the test's own, ended by their ids."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

#: OVN's programs where the machine has none: scripts/setup.sh test
_UNPACKED = Path(__file__).parents[2] / ".uv" / "ovn"
_PATIENCE = 20.0


def why_not() -> str:
    """Why no OVN can be started; "" if one can."""
    return "" if _program("ovsdb-server") and _program("ovn-northd") else "there is no OVN: make test unpacks it"


def _program(name: str) -> str:
    places = ("/usr/bin", "/usr/sbin", f"{_UNPACKED}/usr/bin", f"{_UNPACKED}/usr/sbin")
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *places))) or ""


def _environment() -> dict[str, str]:
    triplet = f"{platform.machine()}-linux-gnu"
    libraries = os.pathsep.join(str(_UNPACKED / place / triplet) for place in ("usr/lib", "lib"))
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def run(*words: str) -> str:
    """One of OVN's programs, and what it prints."""
    command = [_program(words[0]), *words[1:]]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(words)[:300]}: {done.stderr}"
    return done.stdout


class OvsdbServer:
    """One ovsdb-server with the databases in some files."""

    def __init__(
        self, folder: Path, name: str, files: list[Path], *remotes: str, options: tuple[str, ...] = ()
    ) -> None:
        self.path = folder / f"{name}.sock"
        self._log = folder / f"{name}.log"
        words = [
            _program("ovsdb-server"), "-vconsole:warn", f"--remote=punix:{self.path}",
            *(f"--remote={remote}" for remote in remotes), f"--unixctl={folder / name}.ctl", *options, *map(str, files),
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(words, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.control = folder / f"{name}.ctl"
        try:
            until(self.path.exists, lambda: self._log.read_text(errors="replace"))
        except AssertionError:
            self.close()
            raise

    @property
    def remote(self) -> str:
        """Its socket, as in Neutron's configuration."""
        return f"unix:{self.path}"

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def until(true: Callable[[], object], else_say: Callable[[], str] = lambda: "") -> None:
    """Wait until it is true; AssertionError if that takes too long."""
    end = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < end, else_say() or "waited in vain"
        time.sleep(0.01)


def schema(kind: str) -> str:
    """The file of the schema of "nb" or "sb"."""
    for below in ("", str(_UNPACKED)):
        path = Path(f"{below}/usr/share/ovn/ovn-{kind}.ovsschema")
        if path.is_file():
            return str(path)
    raise FileNotFoundError(kind)


def created(folder: Path, kind: str) -> Path:
    """An empty database of OVN."""
    file = folder / f"{kind}.db"
    run("ovsdb-tool", "create", str(file), schema(kind))
    return file


class Ovn:
    """Both databases with northd between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.northbound = OvsdbServer(folder, "nb", [created(folder, "nb")])
        self.southbound = OvsdbServer(folder, "sb", [created(folder, "sb")])
        with (folder / "northd.log").open("wb") as log:
            self._northd = subprocess.Popen(
                [
                    _program("ovn-northd"), f"--ovnnb-db={self.northbound.remote}",
                    f"--ovnsb-db={self.southbound.remote}", f"--unixctl={folder}/northd.ctl", "-vconsole:warn",
                ],
                env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.nb("init")
        self.sb("init")

    def nb(self, *words: str) -> str:
        """ovn-nbctl, which waits until northd has seen the change."""
        return run("ovn-nbctl", f"--db={self.northbound.remote}", "--timeout=20", "--wait=sb", *words)

    def quiet(self, *words: str) -> str:
        """ovn-nbctl, which changes nothing: not even the number of the last change."""
        return run("ovn-nbctl", f"--db={self.northbound.remote}", "--timeout=20", *words)

    def sb(self, *words: str) -> str:
        """ovn-sbctl."""
        return run("ovn-sbctl", f"--db={self.southbound.remote}", "--timeout=20", *words)

    def dump(self) -> str:
        """Everything in both databases."""
        return "".join(run("ovsdb-client", "dump", one.remote) for one in (self.northbound, self.southbound))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._northd.kill()
        self._northd.wait()
        self.northbound.close()
        self.southbound.close()


@contextmanager
def begun(folder: Path) -> Iterator[Ovn]:
    """An OVN, ended at the end. Sockets have short names: the kernel allows 107 bytes."""
    with Ovn(folder) as ovn:
        yield ovn
