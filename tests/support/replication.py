# SPDX-License-Identifier: Apache-2.0
"""Two real MariaDB servers: a primary, and its replica."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from pymysql.cursors import DictCursor

from stackmend_lab.mariadb import MariaDB

_ACCOUNT, _PASSWORD = "follower", "f0ll0wer"
_SECONDS = 60
_PRIMARY = {
    "log_bin": "binlog",
    "server_id": "1",
    "binlog_format": "ROW",
    "innodb_stats_persistent": "0",
    "innodb_buffer_pool_size": "96M",
}
_REPLICA = {
    "server_id": "2",
    "read_only": "1",
    "slave_net_timeout": "5",
    "innodb_stats_persistent": "0",
    "innodb_buffer_pool_size": "96M",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its replica, which has everything since the first account was created."""

    primary: MariaDB
    replica: MariaDB

    @property
    def place(self) -> str:
        """HOST:PORT of the replica."""
        return f"127.0.0.1:{self.replica.port}"

    def follow(self, delay: int = 0) -> None:
        """Begin, or go on, so many seconds behind."""
        self.replica.run(
            f"STOP SLAVE; CHANGE MASTER TO master_host = '127.0.0.1', master_port = {self.primary.port}, master_user ="
            f" '{_ACCOUNT}', master_password = '{_PASSWORD}', master_use_gtid = slave_pos, master_connect_retry = 1,"
            f" master_ssl_verify_server_cert = 0, master_delay = {delay}; START SLAVE"
        )

    def stop(self) -> None:
        """Stop replication; the server goes on."""
        self.replica.run("STOP SLAVE")

    @contextmanager
    def leaving_out(self, **rules: str) -> Iterator[None]:
        """The replica leaves tables out, by variables such as ``replicate_ignore_db``."""
        try:
            self.replica.run("; ".join(["STOP SLAVE", *(f"SET GLOBAL {n} = '{v}'" for n, v in rules.items())]))
            self.replica.run("START SLAVE")
            yield
        finally:
            self.replica.run("; ".join(["STOP SLAVE", *(f"SET GLOBAL {name} = ''" for name in rules), "START SLAVE"]))

    def catch_up(self) -> None:
        """Wait until the replica has everything."""
        with closing(self.primary.connect()) as there, closing(self.replica.connect()) as here:
            with there.cursor() as cursor:
                cursor.execute("SELECT @@GLOBAL.gtid_binlog_pos")
                ((position,),) = cursor.fetchall()
            with here.cursor() as cursor:
                cursor.execute("SELECT MASTER_GTID_WAIT(%s, %s)", (position, _SECONDS))
                ((late,),) = cursor.fetchall()
        assert late == 0, self.status()

    def until_behind(self, seconds: int) -> None:
        """Wait until the replica says that it is so many seconds behind."""
        end = time.monotonic() + _SECONDS
        while (self.status()["Seconds_Behind_Master"] or 0) < seconds:
            assert time.monotonic() < end, self.status()
            time.sleep(0.2)

    def status(self) -> dict[str, object]:
        """What the replica says of itself."""
        with closing(self.replica.connect()) as connection, connection.cursor(DictCursor) as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            return dict(cursor.fetchall()[0])


@contextmanager
def replicating() -> Iterator[Pair]:
    """Both servers, in replication."""
    with MariaDB(settings=_PRIMARY) as primary, MariaDB(settings=_REPLICA) as replica:
        primary.account(_ACCOUNT, _PASSWORD, "REPLICATION SLAVE ON *.*")
        pair = Pair(primary, replica)
        pair.follow()
        pair.catch_up()
        yield pair
