# SPDX-License-Identifier: Apache-2.0
"""Where OVN is: as Neutron's own files have it, in each layout, or as the operator wrote it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackmend.config.ovn import OvnSettings
from stackmend.config.settings import load
from stackmend.drivers.ovn.remote import Keys
from stackmend.model.errors import ConfigError

DATABASE = "[database]\nconnection = mysql+pymysql://n:p@db:3306/neutron\n"
ML2 = """[ml2]
mechanism_drivers = sriovnicswitch, ovn
[ovn]
ovn_nb_connection = ssl:10.0.0.1:6641,ssl:10.0.0.2:6641
ovn_nb_private_key = /etc/neutron/nb.key
ovn_nb_certificate = /etc/neutron/nb.pem
ovn_nb_ca_cert = /etc/neutron/nb-ca.pem
ovn_sb_connection = tcp:10.0.0.1:6642
"""
#: layout -> (Neutron's file, the file of ML2, the root of paths in it)
PLACES = {
    "packages": ("etc/neutron/neutron.conf", "etc/neutron/plugins/ml2/ml2_conf.ini", ""),
    "kolla": ("etc/kolla/neutron-server/neutron.conf", "etc/kolla/neutron-server/ml2_conf.ini", ""),
    "openstack-ansible": (
        "var/lib/lxc/neutron/rootfs/etc/neutron/neutron.conf",
        "var/lib/lxc/neutron/rootfs/etc/neutron/plugins/ml2/ml2_conf.ini",
        "var/lib/lxc/neutron/rootfs",
    ),
}


def _put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _found(root: Path) -> OvnSettings:
    found = load(root=root).ovn
    assert found is not None
    return found


@pytest.mark.parametrize("layout", PLACES)
def test_neutrons_own_file_says_where_ovn_is(layout: str, tmp_path: Path) -> None:
    """The remotes and keys of both databases; files are looked for below the root of their layout."""
    neutron, ml2, below = PLACES[layout]
    _put(tmp_path, neutron, DATABASE)
    _put(tmp_path, ml2, ML2)
    found = _found(tmp_path)
    assert found.northbound == "ssl:10.0.0.1:6641,ssl:10.0.0.2:6641"
    assert found.southbound == "tcp:10.0.0.1:6642"
    northbound, southbound = found.endpoints()
    assert [str(one) for one in northbound.remotes] == ["ssl:10.0.0.1:6641", "ssl:10.0.0.2:6641"]
    assert northbound.keys == Keys(*(f"{tmp_path / below}/etc/neutron/nb{end}" for end in (".key", ".pem", "-ca.pem")))
    assert southbound.keys == Keys()


def test_what_neutron_leaves_out_has_neutrons_default(tmp_path: Path) -> None:
    """Both databases on this machine, by TCP."""
    _put(tmp_path, PLACES["packages"][0], DATABASE)
    _put(tmp_path, PLACES["packages"][1], "[ml2]\nmechanism_drivers = ovn\n")
    found = _found(tmp_path)
    assert (found.northbound, found.southbound) == ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6642")


@pytest.mark.parametrize("ml2", ["[ml2]\nmechanism_drivers = openvswitch,ovnish\n", "", None])
def test_a_neutron_without_ovn_has_none(tmp_path: Path, ml2: str | None) -> None:
    """Another driver, or no file of ML2: nothing is guessed."""
    _put(tmp_path, PLACES["packages"][0], DATABASE)
    if ml2 is not None:
        _put(tmp_path, PLACES["packages"][1], ml2)
    assert load(root=tmp_path).ovn is None


def test_a_file_of_ml2_that_cannot_be_used_hinders_no_audit(tmp_path: Path) -> None:
    """The databases are known all the same, and no OVN is."""
    _put(tmp_path, PLACES["packages"][0], DATABASE)
    _put(tmp_path, PLACES["packages"][1], "mechanism_drivers without a section\n")
    config = load(root=tmp_path)
    assert config.ovn is None
    assert set(config.databases) == {"neutron"}


def test_a_link_to_the_file_of_ml2_is_read_once(tmp_path: Path) -> None:
    """plugin.ini of RDO is a link to it."""
    _put(tmp_path, PLACES["packages"][0], DATABASE)
    _put(tmp_path, PLACES["packages"][1], ML2)
    os.symlink("/etc/neutron/plugins/ml2/ml2_conf.ini", tmp_path / "etc/neutron/plugin.ini")
    assert _found(tmp_path).southbound == "tcp:10.0.0.1:6642"


def test_the_operator_names_ovn(tmp_path: Path) -> None:
    """[ovn] of the TOML file, with files relative to it; the same keys open both databases."""
    path = _put(
        tmp_path,
        "stackmend.toml",
        '[ovn]\nnorthbound = "ssl:10.0.0.1:6641"\nsouthbound = "ssl:10.0.0.1:6642"\n'
        'private_key = "keys/own.key"\ncertificate = "/own.pem"\nca_cert = "ca.pem"\n',
    )
    config = load(str(path))
    assert config.ovn is not None
    northbound, southbound = config.ovn.endpoints()
    assert northbound.keys == southbound.keys == Keys(f"{tmp_path}/keys/own.key", "/own.pem", f"{tmp_path}/ca.pem")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('northbound = "tcp:10.0.0.1:6641"', "has no southbound"),
        ('southbound = "tcp:10.0.0.1:6642"', "has no northbound"),
    ],
)
def test_one_database_alone_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """What one has is judged by the other."""
    with pytest.raises(ConfigError, match=says):
        load(str(_put(tmp_path, "stackmend.toml", f"[ovn]\n{text}\n")))


def test_a_remote_that_is_none_is_named_with_its_file(tmp_path: Path) -> None:
    """When OVN is to be read, not before."""
    path = _put(tmp_path, "stackmend.toml", '[ovn]\nnorthbound = "10.0.0.1"\nsouthbound = "tcp:10.0.0.1:6642"\n')
    config = load(str(path))
    assert config.ovn is not None
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1 is no remote of OVN \(in \[ovn\] of .*stackmend\.toml\)"):
        config.ovn.endpoints()
