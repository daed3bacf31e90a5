# SPDX-License-Identifier: Apache-2.0
"""A real Galera cluster of three nodes on loopback.

The data of the first node are copied to the others while it is stopped, with its position in the cluster's history:
they lack a few writes when they join, which the first node sends them (IST). So no node is ever copied while it runs,
which would require scripts that Debian only packages together with services.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pymysql

from stackmend_lab.cloud import Cloud
from stackmend_lab.guardian import Guardian
from stackmend_lab.mariadb import MariaDB, free_port

NODES = 3
#: locations of the library in distributions
_PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/libgalera_smm.so")
_SECONDS = 120
#: what a node prints that looks how far its files have got
_RECOVERED = re.compile(r"Recovered position: (\S+)")
_SETTINGS = {
    "binlog_format": "ROW",
    "innodb_autoinc_lock_mode": "2",
    "innodb_buffer_pool_size": "64M",
    "innodb_log_file_size": "32M",
    "wsrep_on": "ON",
    "wsrep_cluster_name": "stackmend",
    "wsrep_node_address": "127.0.0.1",
    "wsrep_sst_method": "position",
}
#: the state "copied" to a joining node is only its position: it gets the rest from another node's cache
_SCRIPT = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --role) role=$2 ;;
        --address) address=$2 ;;
        --datadir) told=${2%/}/told ;;
        --gtid) position=$2 ;;
        --bypass) bypass=yes ;;
    esac
    shift
done
if [ "$role" = joiner ]; then
    rm -f "$told"
    echo "ready $address$told"
    while [ ! -s "$told" ]; do sleep 0.05; done
    cat "$told"
else
    [ "$bypass" ] || exit 95
    told=/${address#*/}
    echo "$position" > "$told.new"
    mv "$told.new" "$told"
    echo "done $position"
fi
"""


def missing() -> str:
    """Why no cluster can be started here, or ""."""
    return "" if _provider() else "Galera's library is not here (Debian: apt-get install galera-4)"


def _provider() -> str:
    return next((path for path in _PROVIDERS if os.path.exists(path)), "")


class Node(MariaDB):
    """One node. Its connections survive a restart."""

    def __init__(self, folder: Path, scripts: Path, settings: dict[str, str]) -> None:
        folder.mkdir()
        super().__init__(folder, settings)
        self._scripts = scripts
        self._open: list[pymysql.Connection[Any]] = []

    def start(self) -> None:
        """Start it; returns when it has joined the cluster."""
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self._scripts}:{path}"
        try:
            super().start()
        finally:
            os.environ["PATH"] = path

    def _wait(self) -> None:
        """Also for the cluster: before that, a node accepts connections and refuses statements."""
        super()._wait()
        until(lambda: self.status("wsrep_ready") == "ON", "a node does not join")

    def stop(self) -> None:
        """Stop it, and close its connections."""
        self._open = [connection for connection in self._open if connection.open]
        for connection in self._open:
            connection.close()
        super().stop()

    def kill(self) -> None:
        """End it as a crash does."""
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self.stop()

    def revive(self, peers: str) -> None:
        """Start it after a crash: it joins the others, from where its files have got to."""
        program = ["mariadbd", f"--defaults-file={self.folder}/my.cnf", "--wsrep-recover"]
        told = subprocess.run(program, capture_output=True, text=True, check=False).stderr
        found = _RECOVERED.search(told)
        assert found, told[-2000:]
        self._settings |= {"wsrep_cluster_address": peers, "wsrep_start_position": found[1]}
        self.start()
        self.restarted()

    def restarted(self) -> None:
        """Reconnect what was connected before it was stopped."""
        for connection in self._open:
            connection.connect()

    def connect(self, database: str | None = None) -> pymysql.Connection[Any]:
        """A connection as root."""
        self._open.append(super().connect(database))
        return self._open[-1]

    def status(self, name: str) -> str:
        """A status variable."""
        return dict(self.rows(f"SHOW STATUS LIKE '{name}'"))[name]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a query, as root."""
        connection = super().connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def send(self, what: signal.Signals) -> None:
        """Freeze it, or let it continue."""
        assert self._process is not None
        self._process.send_signal(what)


class Galera:
    """The cluster, as a context manager; ``fill`` is applied to the first node before the others exist.

    ``settings``: beside those of every test.
    """

    def __init__(self, fill: Callable[[MariaDB], None], settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stackmend-db-"))
        scripts = self.folder / "scripts"
        scripts.mkdir()
        script = scripts / "wsrep_sst_position"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        talk = [free_port() for _ in range(NODES)]
        self._fill = fill
        self._peers = _peers(talk)
        self.nodes = [
            Node(self.folder / f"n{n}", scripts, {**_settings(talk, n), **(settings or {})}) for n in range(NODES)
        ]
        self._guardian = Guardian(self.folder, self.folder)

    def __enter__(self) -> Self:
        first, *others = self.nodes
        try:
            first.start()
            self._fill(first)
            first.stop()
            for node in others:
                shutil.copytree(first.folder / "data", node.folder / "data")
            for node in self.nodes:
                node.start()
            first.restarted()
            self.whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in reversed(self.nodes):
            node.stop()
        self._guardian.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def whole(self) -> None:
        """Wait until all nodes have joined, and none is behind."""
        for node in self.nodes:
            until(lambda n=node: n.status("wsrep_cluster_size") == str(NODES), "the cluster is not whole")  # type: ignore[misc]
            until(lambda n=node: n.status("wsrep_local_state_comment") == "Synced", "a node is behind")  # type: ignore[misc]

    def revive(self, number: int) -> None:
        """Start a node that was killed, while the others run; returns when none is behind."""
        self.nodes[number].revive(self._peers)
        self.whole()

    @contextmanager
    def behind(self, number: int) -> Iterator[None]:
        """Let a node apply nothing, without the others waiting for it; at the end it has caught up."""
        node = self.nodes[number]
        connection = node.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET GLOBAL wsrep_desync = ON")
                cursor.execute("FLUSH TABLES WITH READ LOCK")
                yield
                cursor.execute("UNLOCK TABLES")
                cursor.execute("SET GLOBAL wsrep_desync = OFF")
        finally:
            connection.close()
        self.whole()

    @contextmanager
    def without_quorum(self) -> Iterator[None]:
        """Freeze two nodes until the first has noticed; at the end all have rejoined."""
        first, *others = self.nodes
        for node in others:
            node.send(signal.SIGSTOP)
        try:
            until(lambda: first.status("wsrep_cluster_status") == "non-Primary", "the first does not notice")
            yield
        finally:
            for node in others:
                node.send(signal.SIGCONT)
        self.whole()


def _peers(talk: list[int]) -> str:
    return "gcomm://" + ",".join(f"127.0.0.1:{port}" for port in talk)


def _settings(talk: list[int], number: int) -> dict[str, str]:
    options = (
        f"base_port={talk[number]};gmcast.listen_addr=tcp://127.0.0.1:{talk[number]};gcache.size=64M;socket.ssl=no"
        f";ist.recv_addr=127.0.0.1:{free_port()};repl.causal_read_timeout=PT3S"
    )
    return {
        **_SETTINGS,
        "wsrep_provider": _provider(),
        "wsrep_cluster_address": "gcomm://" if number == 0 else _peers(talk),  # without others: a new cluster
        "wsrep_node_name": f"n{number}",
        "wsrep_provider_options": f'"{options}"',
    }


def configuration(cloud: Cloud, galera: Galera, port: int) -> str:
    """One address for all, as of a proxy; the reader has an account of its own, ``looker``, and no password."""
    account = galera.nodes[0].url("").split("//")[1].split("@")[0]
    name, password = account.split(":")
    urls = {
        database: url.replace(account, "looker:").replace(f":{galera.nodes[0].port}/", f":{port}/")
        for database, url in cloud.databases.items()
    }
    return "\n".join(
        [
            "[databases]",
            *(f'{name} = "{url}"' for name, url in urls.items() if not name.startswith("cell:")),
            "[databases.cells]",
            *(f'{name[5:]} = "{url}"' for name, url in urls.items() if name.startswith("cell:")),
            f'[writer]\nusername = "{name}"\npassword = "{password}"',
            f'[state]\ndirectory = "{cloud.state}"\n',
        ]
    )


def until(true: Callable[[], bool], otherwise: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)
