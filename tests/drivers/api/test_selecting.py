# SPDX-License-Identifier: Apache-2.0
"""Names and ids where no database is configured: the services say what is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stackmend.app.selecting import about, chosen
from stackmend.config.settings import Config
from stackmend.model.errors import SourceError, UsageError
from stackmend_lab.cloud import Cloud, build

from .serving import serving
from .showing import ShowingFake
from .test_collecting import configured

NOBODY = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose databases nobody reads."""
    cloud = build(tmp_path_factory.mktemp("named") / "cloud", servers=120)
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def fake(named: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShowingFake]:
    """Its services."""
    with serving(ShowingFake(named, tmp_path_factory.mktemp("account"))) as found:
        yield found  # type: ignore[misc]


@pytest.fixture(scope="module")
def shown(named: Cloud, fake: ShowingFake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cloud, Config]:
    """The cloud, and a configuration with its APIs alone."""
    return named, configured(tmp_path_factory.mktemp("config"), fake)


def test_by_id_by_name_and_not_at_all(shown: tuple[Cloud, Config]) -> None:
    """Servers, volumes and ports of a service without a database are found through its API."""
    cloud, config = shown
    server = next(one for one in cloud.servers("active") if one.volumes)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, display_name="mail+relay (1)")
    cloud.update("cinder", "volumes", {"id": server.volumes[0]}, display_name="mail-disk")
    cloud.update("neutron", "ports", {"id": server.ports[0]}, name="mail-port")
    wanted = {
        ("server", server.uuid): server.uuid, ("server", "mail+relay (1)"): server.uuid,
        ("volume", server.volumes[0]): server.volumes[0], ("volume", "mail-disk"): server.volumes[0],
        ("port", server.ports[0]): server.ports[0], ("port", "mail-port"): server.ports[0],
        ("host", str(server.host)): str(server.host),
    }  # fmt: skip
    found = chosen(config, wanted)
    assert {asked: one.id for asked, one in found.items()} == wanted
    assert not any(one.doubt for one in found.values())
    for kind, text in (("server", "mail-relay"), ("server", NOBODY), ("volume", NOBODY), ("host", "c99999")):
        with pytest.raises(UsageError) as caught:
            chosen(config, [(kind, text)])
        assert f"there is no {kind} '{text}'" in caught.value.message
    with pytest.raises(UsageError) as caught:
        chosen(config, [("server", "mail+relay (2)")])
    assert f"{server.uuid}  mail+relay (1)" in caught.value.hint


def test_what_one_service_alone_has_left(shown: tuple[Cloud, Config]) -> None:
    """A server that Nova does not show any more is known by what Neutron and Placement still have for it."""
    cloud, config = shown
    gone = "0c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
    port = next(one for one in cloud.servers("active") if one.ports).ports[-1]
    cloud.update("neutron", "ports", {"id": port}, device_id=gone)
    assert chosen(config, [("server", gone)])["server", gone].id == gone


def test_a_cell_that_does_not_answer_nova(shown: tuple[Cloud, Config], fake: ShowingFake) -> None:
    """Asked for a name Nova leaves its servers out: the name may be one of theirs, and is no typing error."""
    _, config = shown
    fake.down = {"cell:cell2"}
    try:
        with pytest.raises(SourceError) as caught:
            chosen(config, [("server", "mail-relay")])
        assert "their cell does not answer" in caught.value.message
    finally:
        fake.down = set()


def test_a_host_stands_for_its_servers(shown: tuple[Cloud, Config]) -> None:
    """An audit by APIs alone is narrowed to a host, too."""
    cloud, config = shown
    server = cloud.servers("active")[0]
    names = about(config, [("host", str(server.host))]).names
    mine = {one.uuid for one in cloud.servers("active") if one.host == server.host}
    assert mine <= names
    assert not {one.uuid for one in cloud.servers("active")} - mine & names
