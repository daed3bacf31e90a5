# SPDX-License-Identifier: Apache-2.0
"""A private MariaDB server in a temporary folder: own socket, own port, stopped by process id."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pymysql

from stackmend.model.errors import StackmendError
from stackmend_lab.guardian import Guardian, reap

_SETTINGS: Mapping[str, str] = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "innodb_buffer_pool_size": "256M",
    "innodb_log_file_size": "64M",
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_doublewrite": "0",
    # a cloud has 450 tables: a file for each takes half of the time to create it
    "loose_innodb_file_per_table": "0",
    "local_infile": "1",
    "max_allowed_packet": "64M",
    "max_connections": "200",
    "performance_schema": "OFF",
    "skip-log-bin": "",
    "skip-name-resolve": "",
}
_START_SECONDS = 60
#: environment variable of a lab's processes: its folder and a name
MARK = "STACKMEND_LAB_PROCESS"


class LabError(StackmendError):
    """The place to rehearse cannot be set up."""


class MariaDB:
    """A server that exists for the duration of the ``with`` block.

    ``settings`` are added to (or replace) fast, non-durable defaults for tests. Root has no password, and only access
    by the socket; :meth:`url` uses the account ``stackmend`` over TCP, which has all privileges.
    """

    def __init__(self, folder: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="stackmend-db-"))
        self.socket = self.folder / "s.sock"
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

    def start(self) -> None:
        """Start the server, on a new data folder unless there is one; returns when it accepts connections.

        It ends with this process, however that ends, and its own folder is removed with it.
        """
        for program in ("mariadbd", "mariadb-install-db"):
            if not shutil.which(program):
                raise LabError(f"{program} is not installed", "Run `apt-get install mariadb-server`, or `make test`.")
        options = "".join(f"{k}={v}\n" if v else f"{k}\n" for k, v in self._settings.items())
        own = "user=root\n" if os.geteuid() == 0 else ""
        temporary, fresh = self.folder / "tmp", not (self.folder / "data").exists()
        temporary.mkdir(exist_ok=True)
        config = self.folder / "my.cnf"
        config.write_text(
            f"[mysqld]\n{own}datadir={self.folder}/data\nsocket={self.socket}\nport={self.port}\n"
            f"pid-file={self.folder}/pid\ntmpdir={temporary}\n{options}"
        )
        reap()
        self._guardian = Guardian(self.folder, self.folder if self._own_folder else None)
        log = (self.folder / "server.log").open("ab")
        # signals for this process are not for the server
        apart: dict[str, Any] = {"env": {**os.environ, MARK: f"{self.folder}:mariadb"}, "start_new_session": True}
        with log:
            if fresh:
                subprocess.run(
                    ["mariadb-install-db", f"--defaults-file={config}", "--auth-root-authentication-method=normal",
                     "--skip-test-db"],
                    stdout=log, stderr=log, check=True, **apart,
                )  # fmt: skip
            self._process = subprocess.Popen(["mariadbd", f"--defaults-file={config}"], stdout=log, stderr=log, **apart)
        self._wait()
        if fresh:
            self.account(*self._account, "ALL PRIVILEGES ON *.*", option=" WITH GRANT OPTION")

    def stop(self) -> None:
        """Stop the server by its process id and remove the folder."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._guardian:
            self._guardian.release()
            self._guardian = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """A connection as root over the socket, autocommit, with multiple statements allowed."""
        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, autocommit=True, local_infile=True,
            charset="utf8mb4", ssl_disabled=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        )  # fmt: skip

    def run(self, script: str, database: str | None = None) -> None:
        """Run statements separated by semicolons, as root."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(script)
                while cursor.nextset():
                    pass
        finally:
            connection.close()

    def create(self, database: str, charset: str | None = None) -> None:
        """Create an empty database; without ``charset`` with the server's default, as in installation guides."""
        self.run(f"CREATE DATABASE `{database}`" + (f" CHARACTER SET {charset}" if charset else ""))

    def account(self, name: str, password: str, grants: str = "USAGE ON *.*", option: str = "") -> None:
        """Create an account for TCP; ``grants`` such as ``SELECT ON nova.*``."""
        self.run(
            f"CREATE OR REPLACE USER '{name}'@'127.0.0.1' IDENTIFIED BY '{password}';"
            f"GRANT {grants} TO '{name}'@'127.0.0.1'{option}"
        )

    def drop_account(self, name: str) -> None:
        """Drop an account for TCP."""
        self.run(f"DROP USER '{name}'@'127.0.0.1'")

    def url(self, database: str, account: tuple[str, str] | None = None) -> str:
        """SQLAlchemy URL of a database over TCP."""
        name, password = account or self._account
        return f"mysql+pymysql://{quote(name)}:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _accepts(self.socket):
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = (self.folder / "server.log").read_text(errors="replace").splitlines()[-5:]
                raise LabError("the private MariaDB did not start: " + " / ".join(tail))
            time.sleep(0.05)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def free_port() -> int:
    """A free TCP port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
