# SPDX-License-Identifier: Apache-2.0
"""A URL that names a certificate authority is a demand: no plain text, no certificate of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.dialects.mysql import MySQL, _NativeReader, _PythonReader
from stackmend.model.errors import SourceError
from stackmend_lab.mariadb import MariaDB

_CIPHER = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"


def _looked_up(address: Address) -> str:
    connection = MySQL().connect(address)
    try:
        return str(MySQL().select(connection, _CIPHER)[0][0])
    finally:
        connection.close()


def _streamed(reader: Any) -> str:
    try:
        reader.begin()
        return b"".join(row[0] for rows in reader.stream(_CIPHER, 10) for row in rows).decode()
    finally:
        reader.close()


#: name -> what asks a server for the cipher of its own connection
WAYS: dict[str, Callable[[Address], str]] = {
    "looked up": _looked_up,
    "streamed by mysqlclient": lambda address: _streamed(_NativeReader(address)),
    "streamed by PyMySQL": lambda address: _streamed(_PythonReader(address)),
    "streamed": lambda address: _streamed(MySQL().reader(address)),
}
way = pytest.mark.parametrize("cipher", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A certificate authority and its file."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(file)
    return authority, file


@pytest.fixture(scope="module")
def server(authority: tuple[trustme.CA, Path]) -> Iterator[MariaDB]:
    """A server whose certificate is made out to 127.0.0.1."""
    certificate = authority[0].issue_cert("127.0.0.1")
    files = {"ssl-cert": certificate.cert_chain_pems[0], "ssl-key": certificate.private_key_pem}
    folder = authority[1].parent
    for name, content in files.items():
        content.write_to_path(folder / f"{name}.pem")
    with MariaDB(settings={name: str(folder / f"{name}.pem") for name in files}) as running:
        yield running


def _address(server: MariaDB, *options: str) -> Address:
    return Address.from_url(f"{server.url('information_schema')}?{'&'.join(options)}")


@way
def test_connections_are_encrypted(
    server: MariaDB, authority: tuple[trustme.CA, Path], cipher: Callable[[Address], str]
) -> None:
    """With the right authority every connection has a cipher."""
    assert cipher(_address(server, f"ssl_ca={authority[1]}")).startswith("TLS")


@way
def test_a_certificate_of_somebody_else_is_refused(
    server: MariaDB, tmp_path: Path, cipher: Callable[[Address], str]
) -> None:
    """A server whose certificate another authority has signed is not talked to."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(SourceError, match="cannot be read"):
        cipher(_address(server, f"ssl_ca={tmp_path}/other.pem"))


@way
def test_no_plain_text_where_a_certificate_is_asked_for(
    mariadb: MariaDB, authority: tuple[trustme.CA, Path], cipher: Callable[[Address], str]
) -> None:
    """A server without TLS is not talked to either: somebody may sit in between."""
    with pytest.raises(SourceError, match="cannot be read"):
        cipher(_address(mariadb, f"ssl_ca={authority[1]}"))


@pytest.mark.parametrize("name", ["looked up", "streamed"])
def test_the_name_in_the_certificate_may_be_left_unchecked(
    server: MariaDB, authority: tuple[trustme.CA, Path], name: str
) -> None:
    """``ssl_check_hostname=false``, as the services know it: 'localhost' is not in the certificate."""
    strict = replace(_address(server, f"ssl_ca={authority[1]}"), host="localhost")
    with pytest.raises(SourceError, match="cannot be read"):
        WAYS[name](strict)
    assert WAYS[name](replace(strict, options={**strict.options, "ssl_check_hostname": "false"})).startswith("TLS")
