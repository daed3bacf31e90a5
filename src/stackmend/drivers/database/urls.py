# SPDX-License-Identifier: Apache-2.0
"""Database URLs, parsed by SQLAlchemy as in the services themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL


def parsed(url: str) -> URL:
    """The parsed URL; ValueError, without its contents, if SQLAlchemy cannot parse it or would misinterpret it.

    A password may contain ``/``, ``?`` and ``#`` unescaped. An ``@`` would end it: the rest would be taken for a host
    and shown as one, so only the ``@`` after the account is accepted.
    """
    from sqlalchemy import make_url  # takes a third of a second
    from sqlalchemy.exc import ArgumentError

    text = url.strip()
    try:
        found = make_url(text)
    except ArgumentError:
        raise ValueError("it does not begin with a scheme") from None
    except ValueError:
        raise ValueError("the port is not a number") from None
    if found.get_backend_name() == "sqlite":
        return found
    if text.count("@") > (found.username is not None) or any(mark in (found.host or "") for mark in "[]@"):
        raise ValueError("it has an extra @ or bracket")
    if found.port is not None and not 0 < found.port < 65536:
        raise ValueError("there is no such port number")
    return found


def of_file(path: Path) -> str:
    """The URL of an SQLite file, whatever characters its folders have."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def of_server(username: str, password: str, host: str, port: int, database: str, scheme: str = "mysql") -> str:
    """The URL of a database on a server, with the password in it."""
    from sqlalchemy import URL

    driver = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg2"}[scheme]
    return URL.create(driver, username, password, host, port, database).render_as_string(hide_password=False)
