# SPDX-License-Identifier: Apache-2.0
"""The services' own files from the command line: ``--root``, ``--layout`` and ``config show``."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from stackmend.model.errors import Exit

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "config.json").read_text())
FILES = {
    "nova_api": ("nova/nova.conf", "nova-api", "api_database"),
    "neutron": ("neutron/neutron.conf", "neutron-server", "database"),
    "cinder": ("cinder/cinder.conf", "cinder-api", "database"),
    "glance": ("glance/glance-api.conf", "glance-api", "database"),
    "placement": ("placement/placement.conf", "placement-api", "placement_database"),
    "keystone": ("keystone/keystone.conf", "keystone", "database"),
}
PLACES = {
    "packages": lambda path, folder: f"etc/{path}",
    "kolla": lambda path, folder: f"etc/kolla/{folder}/{Path(path).name}",
    "openstack-ansible": lambda path, folder: f"var/lib/lxc/infra1_{folder}_container-1/rootfs/etc/{path}",
}


@pytest.fixture
def root(tmp_path):
    """A function that puts the services' files of a cloud below a root."""

    def made(layout, databases):
        for name, (path, folder, section) in FILES.items():
            file = tmp_path / "root" / PLACES[layout](path, folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"[{section}]\nconnection = {databases[name]}\n")
        return tmp_path / "root"

    return made


def conforms(text):
    """The document, once it is known to follow its schema."""
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    return document


@pytest.mark.parametrize("layout", PLACES)
def test_an_audit_needs_no_configuration(run, root, broken_cloud, layout):
    """From the services' own files alone: findings, and the next step with the same root."""
    folder = root(layout, broken_cloud.databases)
    done = run("--root", folder, "audit", "-f", "json")
    assert done.code == Exit.FINDINGS
    assert json.loads(done.out)
    assert f"next: stackmend --root {folder} plan create" in done.err


def test_what_was_found_is_shown(run, root, cloud):
    """A person sees each database with its file; a program a document with a schema."""
    folder = root("kolla", cloud.databases)
    done = run("--root", folder, "config", "show")
    assert (done.code, done.err) == (Exit.CLEAN, "")
    assert f"from {folder}/etc/kolla/neutron-server/neutron.conf (kolla)" in done.out
    document = conforms(run("--root", folder, "config", "show", "-f", "json").out)
    assert [entry["state"] for entry in document["databases"]] == ["used"] * len(FILES)
    assert document["root"] == str(folder)


def test_two_layouts(run, root, cloud):
    """What disagrees is shown and is exit 2; every other command refuses; ``--layout`` decides."""
    root("packages", {name: f"mysql://u:secret@old/{name}" for name in FILES})
    folder = root("kolla", cloud.databases)
    done = run("--root", folder, "config", "show", "-f", "json")
    assert done.code == Exit.USAGE
    assert {e["state"] for e in conforms(done.out)["databases"]} == {"used", "differs"}
    assert done.err.count("name different databases") == len(FILES)
    refused = run("--root", folder, "audit")
    assert (refused.code, refused.out) == (Exit.USAGE, "")
    assert "(and 5 more: 'stackmend config show')" in refused.err
    decided = run("--root", folder, "--layout", "kolla", "audit")
    assert decided.code == Exit.CLEAN
    assert "secret" not in done.out + done.err + refused.err


def test_nothing_is_found(run, tmp_path):
    """The document says so for each database, the error how to go on."""
    done = run("--root", tmp_path, "config", "show", "-f", "json")
    assert done.code == Exit.USAGE
    assert {e["state"] for e in conforms(done.out)["databases"]} == {"missing"}
    assert "error: no configuration" in done.err
    assert "--root" in done.err


def test_a_file_and_a_root_exclude_each_other(run, cloud_config, tmp_path):
    """Nobody can know which one was meant."""
    done = run("--config", cloud_config, "--root", tmp_path, "config", "show")
    assert done.code == Exit.USAGE
    assert "not allowed with" in done.err


def test_a_configured_cloud(run, cloud_config):
    """With a TOML file its addresses are shown."""
    done = run("--config", cloud_config, "config", "show", "-f", "json")
    assert done.code == Exit.CLEAN
    assert conforms(done.out)["file"] == str(cloud_config)
    assert str(cloud_config) in run("--config", cloud_config, "config", "show").out


def test_what_is_read_beside_the_primaries(run, tmp_path):
    """The replica, OVN and back ends of storage, where they are configured, and by which file."""
    path = tmp_path / "stackmend.toml"
    path.write_text(
        '[databases]\nnova_api = "mysql://u:secret@db/nova_api"\n[replica]\nhost = "spare:3307"\nmax_lag = 30\n'
        '[ovn]\nnorthbound = "tcp:10.0.0.1:6641"\nsouthbound = "tcp:10.0.0.1:6642"\n'
        '[storage.ceph]\nkind = "rbd"\nplace = "volumes"\nhost = "ctl"\ncinder = ["ctl@ceph"]\nnova = true\n'
    )

    shown = run("--config", path, "config", "show").out
    answer = conforms(run("--config", path, "config", "show", "-f", "json").out)

    assert "replica    spare:3307; at most 30 s behind" in shown
    assert f"OVN        tcp:10.0.0.1:6641; tcp:10.0.0.1:6642 ([ovn] of {path})" in shown
    assert "storage    ceph: rbd volumes on ctl, of ctl@ceph, Nova" in shown
    assert [(one["name"], one["cinder"], one["shared"]) for one in answer["storage"]] == [("ceph", ["ctl@ceph"], False)]
    assert (answer["replica"]["host"], answer["ovn"]["southbound"]) == ("spare:3307", "tcp:10.0.0.1:6642")


def test_the_same_in_the_openstack_client(openstack, root, cloud):
    """There the options carry the name of the plugin."""
    root("packages", {name: f"mysql://u:secret@old/{name}" for name in FILES})
    folder = root("kolla", cloud.databases)
    done = openstack("--mend-root", folder, "--mend-layout", "kolla", "mend", "config", "show", "-f", "json")
    assert (done.code, done.err) == (Exit.CLEAN, "")
    assert {e["layout"] for e in conforms(done.out)["databases"]} == {"kolla"}
