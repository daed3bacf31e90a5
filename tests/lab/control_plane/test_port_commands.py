# SPDX-License-Identifier: Apache-2.0
"""Who has or had an address, and the ports of a server, a network, a host and a project, on real services."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server


@pytest.fixture
def asked(plane: Plane, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command on the lab; returns its document."""

    def run(*words: str, codes: tuple[Exit, ...] = (Exit.CLEAN,)) -> Any:
        capsys.readouterr()
        ended = main(["--config", str(Path(plane.toml)), *words, "-f", "json"])
        shown = capsys.readouterr()
        assert ended in codes, shown.err
        return json.loads(shown.out)

    return run


def test_an_address_while_its_server_is_there_and_afterwards(plane: Plane, asked: Any) -> None:
    """Every list has the port; once Nova has deleted the server, the row of its NIC and its actions show it."""
    sdk: Any = plane.connect()
    network, host = sdk.network.find_network("net1").id, plane.hosts[0]
    server = create_server(sdk, f"found-{uuid.uuid4().hex[:6]}", [{"uuid": network}], f"nova:{host}")
    wait_server(sdk, server)
    (port,) = list(sdk.network.ports(device_id=server))
    address = port.fixed_ips[0]["ip_address"]
    (one,) = asked("port", "list", "--server", server)
    assert (one["port"], one["bound_host"], one["addresses"]) == (port.id, host, [address])
    assert (one["in_cache"], one["in_neutron"], one["fate"], one["differences"]) == (True, True, "deleted", [])
    for by, name in (("network", network), ("host", host), ("project", port.project_id)):
        listed = asked("port", "list", f"--{by}", name, codes=(Exit.CLEAN, Exit.FINDINGS))  # others may have left some
        assert [(each["server"], each["differences"]) for each in listed if each["port"] == port.id] == [(server, [])]
    page = asked("port", "show", port.id)
    assert (page["network_name"], page["mac"], page["server_host"]) == ("net1", port.mac_address, host)
    for text in (address, port.mac_address):
        found = asked("port", "find", text)
        assert [holder["port"]["id"] for holder in found["holders"]] == [port.id]
    sdk.compute.delete_server(server)
    wait(lambda: sdk.compute.find_server(server) is None, f"server {server} to be gone")
    assert asked("port", "find", address)["holders"] == []
    found = asked("port", "find", port.mac_address)
    assert found["holders"] == []
    (former,) = [each for each in found["former"] if each["server"] == server]
    assert (former["port"], former["witness"]) == (port.id, "virtual_interfaces")
    assert former["deleted_at"]
    assert former["lost_by"].startswith("delete at 20")
    assert "(req-" in former["lost_by"]
    sdk.close()


def test_a_service_that_listens(plane: Plane, asked: Any) -> None:
    """The port of Neutron's own API is shown as open."""
    sdk: Any = plane.connect()
    end = urlsplit(sdk.network.get_endpoint())
    (one,) = asked("port", "check", f"{end.hostname}:{end.port}")
    assert (one["state"], one["port"]) == ("open", end.port)
    sdk.close()
