# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL server in a temporary folder: own socket, own port, stopped by process id.

The server refuses to run as root. Started by root it runs as ``nobody``, who owns only its data and its socket.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg

from stackmend_lab.guardian import Guardian, reap
from stackmend_lab.mariadb import MARK, LabError, free_port

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",  # needs a compiler of 100 MB, and costs more than it saves
    "autovacuum": "off",
    # a server of anywhere in the world: what depends on these is set by each session
    "timezone": "Asia/Kolkata",
    "datestyle": "German, DMY",
    "log_min_messages": "warning",
}
_START_SECONDS = 60
#: where Debian has the programs, and below what: installed, or unpacked by scripts/setup.sh
_PROGRAMS = "usr/lib/postgresql/*/bin"
_ROOTS = (Path("/"), Path(__file__).parents[3] / ".uv" / "postgresql")
_USER = "nobody"


class PostgreSQL:
    """A server that exists for the duration of the ``with`` block.

    ``settings`` are added to (or replace) fast, non-durable defaults for tests. The superuser has no password, and only
    access by the socket; :meth:`url` uses the account ``stackmend`` over TCP, which owns the databases.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stackmend-db-"))
        self.socket = self.folder / "run"
        self.port = free_port()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian: Guardian | None = None
        self._account = ("stackmend", secrets.token_hex(8))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def owner(self) -> str:
        """The account of :meth:`url`."""
        return self._account[0]

    @property
    def pid(self) -> int:
        """Process id of the server."""
        if self._process is None:
            raise LabError("the private PostgreSQL does not run")
        return self._process.pid

    def start(self) -> None:
        """Start the server on a new data folder; returns when it accepts connections. It ends with this process."""
        programs, library = _programs()
        reap()
        self._guardian = Guardian(self.folder, self.folder)
        data = self.folder / "data"
        for own in (data, self.socket):
            own.mkdir(mode=0o700)
        apart: dict[str, Any] = {"start_new_session": True, "cwd": self.socket}
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            self.folder.chmod(0o711)
            for own in (data, self.socket):
                os.chown(own, user.pw_uid, user.pw_gid)
            apart |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        apart["env"] = {**os.environ, MARK: f"{self.folder}:postgresql", "LC_ALL": "C"}
        if library:
            apart["env"]["LD_LIBRARY_PATH"] = library
        with (self.folder / "server.log").open("ab") as log:
            subprocess.run(
                [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth-local=trust",
                 "--auth-host=scram-sha-256", "--no-sync"],
                stdout=log, stderr=log, check=False, **apart,
            )  # fmt: skip
            settings = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self.socket)}
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self._process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, **apart
            )
        self._wait()
        self.account(*self._account)

    def stop(self) -> None:
        """Stop the server by its process id and remove the folder."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # ends sessions, and does not wait for them
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
            self._process = None
        if self._guardian:
            self._guardian.release()
            self._guardian = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection as the superuser over the socket, autocommit."""
        return psycopg.connect(
            host=str(self.socket), port=self.port, user="postgres", dbname=database, autocommit=True,
            options="-c timezone=UTC -c datestyle=ISO",
        )  # fmt: skip

    def run(self, script: str, database: str = "postgres") -> None:
        """Run statements separated by semicolons, as the superuser."""
        with closing(self.connect(database)) as connection:
            connection.execute(script.encode())

    def create(self, database: str) -> None:
        """Create an empty database, which the account of :meth:`url` owns."""
        self.run(f'CREATE DATABASE "{database}" OWNER "{self._account[0]}"')

    def account(self, name: str, password: str) -> None:
        """Create an account that can connect, and has no privilege on a table."""
        self.run(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'")

    def drop_account(self, name: str) -> None:
        """Drop an account with its privileges, which each database has of its own."""
        with closing(self.connect()) as connection:
            databases = connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
        for (database,) in databases:
            self.run(f'DROP OWNED BY "{name}"', database)
        self.run(f'DROP ROLE "{name}"')

    def url(self, database: str, account: tuple[str, str] | None = None) -> str:
        """SQLAlchemy URL of a database over TCP, as services have it."""
        name, password = account or self._account
        return f"postgresql+psycopg2://{quote(name)}:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = (self.folder / "server.log").read_text(errors="replace").splitlines()[-5:]
                raise LabError("the private PostgreSQL did not start: " + " / ".join(tail))
            time.sleep(0.05)


def why_not() -> str:
    """Why no server can be started; "" if one can."""
    found = _found()
    if found is None:
        return "there is no PostgreSQL: make test unpacks it"
    closed = [place for place in (found[1], *found[1].parents) if not place.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() == 0 and closed:
        return f"PostgreSQL does not run as root, and {_USER} may not enter {closed[-1]}"
    return ""


def _programs() -> tuple[Path, str]:
    """The folder with the newest programs, and where their libraries are if they were only unpacked."""
    found = _found()
    if found is None or why_not():
        raise LabError(why_not(), "Run `make test`, or `apt-get install postgresql`.")
    root, folder = found
    libraries = [] if root == Path("/") else [*root.glob("usr/lib/*-linux-gnu")]
    return folder, ":".join(map(str, libraries))


def _found() -> tuple[Path, Path] | None:
    for root in _ROOTS:
        folders = [folder for folder in root.glob(_PROGRAMS) if (folder / "initdb").exists()]
        if folders:
            return root, max(folders, key=lambda folder: int(folder.parent.name))
    return None
