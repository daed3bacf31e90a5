# SPDX-License-Identifier: Apache-2.0
"""The guests of a host, from the real libvirt library with its own test driver."""

from __future__ import annotations

import socket
from pathlib import Path

import libvirt
import pytest

from stackmend.drivers.hosts.libvirt import domains
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.objects.facts import DomainDisk, Interface

SERVER = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
VOLUME = "0f3c9a52-3a3f-4f6e-8d6b-1f1f3a8f7b10"
PORT = "7d0a1c8e-1a53-4b1f-8a0e-2f6f3f0b9c11"

NODE = f"""<node>
<domain type='test' xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
  <name>instance-0000001f</name><uuid>{SERVER}</uuid><memory>65536</memory>
  <metadata><nova:instance><nova:name>web &amp; mail</nova:name></nova:instance></metadata>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file'><source file='/var/lib/nova/instances/{SERVER}/disk'/><target dev='vda' bus='virtio'/></disk>
    <disk type='network'><source protocol='rbd' name='volumes/volume-{VOLUME}'/><target dev='vdb' bus='virtio'/>
      <serial>{VOLUME}</serial></disk>
    <disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>
    <interface type='bridge'><mac address='fa:16:3e:00:00:01'/><source bridge='br-int'/>
      <virtualport type='openvswitch'><parameters interfaceid='{PORT}'/></virtualport><target dev='tap7d0a1c8e-1a'/>
    </interface>
  </devices>
</domain>
<domain type='test'>
  <name>stranger</name><uuid>00000000-7d53-4d40-9d38-3c0a2f1a6f55</uuid><memory>65536</memory><os><type>hvm</type></os>
</domain>
</node>"""


def test_a_guest_with_all_it_has(tmp_path: Path) -> None:
    """Domains come by uuid, with the server's name, disks and volumes, interfaces and ports."""
    (tmp_path / "c01.xml").write_text(NODE)
    stranger, server = domains(f"test://{tmp_path}/{{host}}.xml", "c01")
    assert (stranger.name, stranger.server, stranger.disks) == ("stranger", "", ())
    assert (server.uuid, server.name, server.server) == (SERVER, "instance-0000001f", "web & mail")
    assert (server.state, server.persistent, server.id is not None) == ("running", True, True)
    assert server.disks == (
        DomainDisk(target="vda", source=f"/var/lib/nova/instances/{SERVER}/disk", kind="file"),
        DomainDisk(target="vdb", source=f"volumes/volume-{VOLUME}", kind="network", serial=VOLUME, protocol="rbd"),
        DomainDisk(target="hda", source="", kind="file"),
    )
    (nic,) = server.interfaces
    assert (nic.mac, nic.port) == ("fa:16:3e:00:00:01", PORT)
    assert isinstance(nic, Interface)


@pytest.mark.parametrize(
    ("change", "state", "runs"),
    [("suspend", "paused", True), ("destroy", "shutoff", False)],
)
def test_the_states_of_a_guest(change: str, state: str, runs: bool) -> None:
    """What does not run has no id; a paused guest does run. The test driver's host lives as long as somebody looks."""
    connection = libvirt.open("test:///default")
    domain = connection.lookupByName("test")
    getattr(domain, change)()
    try:
        (found,) = domains("test:///default", socket.gethostname().upper())
        assert (found.state, found.id is not None) == (state, runs)
    finally:
        domain.resume() if change == "suspend" else domain.create()
        connection.close()


@pytest.mark.parametrize("host", ["c01", f"not-{socket.gethostname()}"])
def test_an_address_without_a_host_is_not_believed_for_every_host(host: str) -> None:
    """It leads to one machine: for another, what runs there says nothing."""
    with pytest.raises(SourceError, match=f"it leads to {socket.gethostname()}.*, which is not {host}"):
        domains("test:///default", host)


def test_nothing_can_be_changed_by_it() -> None:
    """The connection is read-only: libvirt itself refuses every change."""
    connection = libvirt.openReadOnly("test:///default")
    with pytest.raises(libvirt.libvirtError, match="read only access"):
        connection.lookupByName("test").destroy()
    connection.close()


def test_a_libvirt_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The error names host and address and how to try it by hand; libvirt's own words do not reach the terminal."""
    with pytest.raises(SourceError, match="libvirt of c01 cannot be reached at qemu\\+unix:///") as caught:
        domains(f"qemu+unix:///system?socket={tmp_path}/{{host}}", "c01")
    assert "virsh --readonly --connect" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra: who lacks it is told what to install."""
    monkeypatch.setitem(__import__("sys").modules, "libvirt", None)
    with pytest.raises(ConfigError, match="libvirt-python is not installed") as caught:
        domains("test:///default", "c01")
    assert "stackmend[libvirt]" in caught.value.hint
