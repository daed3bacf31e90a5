# SPDX-License-Identifier: Apache-2.0
"""A cloud and a terminal: requests as an operator types them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server

Row = dict[str, Any]


@dataclass
class Desk:
    """A cloud and a terminal."""

    cloud: Cloud
    toml: Path
    read: pytest.CaptureFixture[str]

    def type(self, *words: str) -> tuple[int, str, str]:
        """Run a command; returns exit code, output, messages."""
        self.read.readouterr()
        code = main(["--config", str(self.toml), *words])
        captured = self.read.readouterr()
        return code, captured.out, captured.err

    def done(self, *words: str) -> str:
        """Apply a request completely; returns its run."""
        code, out, err = self.type(*words, "--allow-db", "--yes", "--accept", "all", "-f", "json")
        assert code == Exit.REPAIRED, err
        answer = json.loads(out)
        assert (answer["failed"], answer["stale"], answer["done"]) == (0, 0, 1)
        return str(answer["run"])

    def refused(self, *words: str) -> str:
        """Verify that a request is refused with exit code 5 and changes nothing; returns the message."""
        before = self.cloud.dump()
        code, _, err = self.type(*words, "--allow-db", "--yes", "--accept", "all")
        assert code == Exit.STOPPED, err
        assert self.cloud.dump() == before
        return err

    def row(self, database: str, table: str, **where: Any) -> Row:
        """The one matching row."""
        found = self.rows(database, table, **where)
        assert len(found) == 1
        return found[0]

    def rows(self, database: str, table: str, **where: Any) -> list[Row]:
        """All matching rows."""
        terms = " AND ".join(f"{name} = :{name}" for name in where)
        return self.cloud.rows(database, f"SELECT * FROM {table} WHERE {terms}", where)

    def server(self, server: Server) -> Row:
        """A server's row."""
        return self.row(server.database, "instances", uuid=server.uuid)
