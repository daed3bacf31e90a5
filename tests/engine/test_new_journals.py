# SPDX-License-Identifier: Apache-2.0
"""A journal that does not exist yet, opened by many at the same moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest

from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import JournalError
from stackmend_lab.mariadb import MariaDB

TOGETHER = 8


@pytest.fixture(params=["sqlite", "mariadb"])
def new_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """URLs of journals nobody opened yet."""
    numbers = count()
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path}/journal-{next(numbers)}.db"
    server: MariaDB = request.getfixturevalue("mariadb")

    def created() -> str:
        server.create(name := f"{tmp_path.name[:40]}_{next(numbers)}")
        return server.url(name)

    return created


@pytest.mark.attack("eight processes that create one journal at the same moment")
def test_a_journal_that_many_create_at_once(new_journal: Callable[[], str]) -> None:
    """All find it empty and whole: whoever comes second neither fails nor writes its version a second time."""
    for _ in range(8):
        url, barrier = new_journal(), Barrier(TOGETHER)

        def opened(_: int, url: str = url, barrier: Barrier = barrier) -> int:
            journal = DatabaseJournal(url)
            try:
                barrier.wait()
                return len(journal.runs())
            finally:
                journal.close()

        with ThreadPoolExecutor(TOGETHER) as pool:
            assert list(pool.map(opened, range(TOGETHER))) == [0] * TOGETHER


def test_a_journal_that_cannot_be_created_says_so(tmp_path: Path) -> None:
    """What is no race is told as it is: a view has the name of a table."""
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("CREATE VIEW stackmend_meta AS SELECT 'version' AS name, '2' AS value WHERE 0")
    journal = DatabaseJournal(f"sqlite:///{tmp_path}/journal.db")
    try:
        with pytest.raises(JournalError, match="stackmend_meta"):
            journal.runs()
    finally:
        journal.close()
