# SPDX-License-Identifier: Apache-2.0
"""Database URLs that are made are understood again, whatever their parts hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.urls import of_file, of_server, parsed


@pytest.mark.parametrize("folder", ["a b", "what?", "50%", "%2F", "a@b", "a#b", "研究"])
def test_a_file_in_any_folder(folder: str) -> None:
    """The journal is where its folder is."""
    path = Path("/var/lib") / folder / "journal.db"
    assert parsed(of_file(path)).database == str(path)


@pytest.mark.parametrize("host", ["db.example", "10.0.0.5", "2001:db8::5"])
@pytest.mark.parametrize("password", ["plain", "a@b", "a/b?c#d", "50%:x", "研究"])
def test_a_server_with_any_password(host: str, password: str) -> None:
    """Host, account and database are those that were given."""
    found = Address.from_url(of_server("reader", password, host, 3307, "nova_cell0"), "test")
    assert (found.host, found.port, found.username, found.password, found.database) == (
        host, 3307, "reader", password, "nova_cell0",
    )  # fmt: skip
