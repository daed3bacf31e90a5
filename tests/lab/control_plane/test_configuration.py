# SPDX-License-Identifier: Apache-2.0
"""The configuration that services, clients and stackmend read."""

from __future__ import annotations

import base64
import configparser
import hashlib
import json
import stat
import tomllib
from pathlib import Path

import pytest
import yaml

from stackmend_lab.control_plane import configuration, layout
from stackmend_lab.control_plane.services import Stage, environment, table


@pytest.fixture
def lab(tmp_path):
    """A lab of five hosts in three cells, configured."""
    found = layout.create(tmp_path / "lab", 5, 3, tmp_path / "services")
    configuration.write(found)
    return found


def options(path: Path) -> configparser.ConfigParser:
    """Read an oslo.config file; a duplicate key is an error."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), default_section="none")
    parser.read_string(path.read_text())
    return parser


def test_services_read_what_is_written(lab):
    """Every file is well-formed, and no value is missing."""
    files = sorted(lab.configuration.glob("*.conf"))
    empty = [
        f"{file.name} [{section}] {name}"
        for file in files
        if file.name != "rabbitmq.conf"
        for section in options(file).sections()
        for name, value in options(file)[section].items()
        if not value and name != "service_plugins"
    ]
    assert len(files) > 15
    assert empty == []


def test_hosts_see_their_cell_and_not_the_api_database(lab):
    """As in a real deployment: a host with the API database would hide what cells forbid."""
    cell3 = options(lab.configuration / "nova-cell3.conf")
    assert cell3["database"]["connection"].startswith(lab.database_url("cell:cell3"))
    assert cell3["DEFAULT"]["transport_url"] == lab.queue_url("cell3")
    assert "api_database" not in cell3
    assert "api_database" in options(lab.configuration / "nova.conf")


def test_stackmend_reads_with_an_account_that_cannot_write(lab):
    """It mends with another account, and finds cells as in any cloud."""
    toml = tomllib.loads(lab.toml.read_text())
    assert "//reader:" in toml["databases"]["nova_api"]
    assert toml["writer"]["username"] == "mender"
    assert "cells" not in toml["databases"]
    accounts = (lab.configuration / "accounts.sql").read_text()
    grants = [line for line in accounts.splitlines() if line.startswith("GRANT") and "'reader'" in line]
    assert grants
    assert all(line.startswith("GRANT SELECT ON") for line in grants)


def test_clients_find_the_cloud(lab):
    """clouds.yaml names it ``lab``."""
    cloud = yaml.safe_load(lab.clouds_yaml.read_text())["clouds"]["lab"]
    assert cloud["auth"]["auth_url"] == f"http://127.0.0.1:{lab.ports['keystone']}/v3"
    assert cloud["auth"]["password"] == lab.passwords["admin"]


def test_the_queue_knows_its_user_and_every_cell(lab):
    """The password is stored in RabbitMQ's form: four bytes of salt and a SHA-256."""
    definitions = json.loads((lab.configuration / "rabbitmq.json").read_text())
    raw = base64.b64decode(definitions["users"][0]["password_hash"])
    assert raw[4:] == hashlib.sha256(raw[:4] + lab.passwords["queue"].encode()).digest()
    assert [vhost["name"] for vhost in definitions["vhosts"]] == ["/", "cell2", "cell3"]


def test_files_with_passwords_are_private_and_stay_as_they_are(lab):
    """Writing them again changes nothing, not even the time of a file."""
    before = {path: path.stat().st_mtime_ns for path in configuration.rendered(lab)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in before} == {0o600}
    configuration.write(lab)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_options_that_were_set_outlive_the_next_up(lab):
    """A test turns healing on for one host; ``up`` does not revert that."""
    path = lab.configuration / "compute-c01.local.conf"
    configuration.set_options(path, {"DEFAULT": {"heal_instance_info_cache_interval": 5}})
    configuration.write(lab)
    assert options(path)["DEFAULT"]["heal_instance_info_cache_interval"] == "5"


def test_every_service_has_its_place(lab):
    """One nova-compute per host, one conductor per cell; first databases and queue, then identity, then the rest."""
    services = table(lab)
    assert [name for name in services if name.startswith("nova-compute")] == [f"nova-compute-{h}" for h in lab.hosts]
    assert {"nova-conductor", "nova-conductor-cell2", "nova-conductor-cell3"} <= set(services)
    stages = [service.stage for service in services.values()]
    assert stages == sorted(stages)
    assert services["keystone"].stage is Stage.IDENTITY


def test_an_older_release_has_programs_of_its_own(tmp_path):
    """Nova's and Neutron's APIs are servers that read their ports; the applications of uwsgi are scripts."""
    lab = layout.create(tmp_path / "lab", 1, 1, tmp_path / "services", 2, "2024.1")
    configuration.write(lab)
    services = table(lab)

    assert [Path(services[name].argv[0]).name for name in ("nova-api", "neutron-api")] == [
        "nova-api-os-compute", "neutron-server",
    ]  # fmt: skip
    assert not {"neutron-rpc", "neutron-periodic"} & set(services)
    ports = options(lab.configuration / "nova.conf")["DEFAULT"], options(lab.configuration / "neutron-server.conf")
    assert ports[0]["osapi_compute_listen_port"] == str(lab.ports["nova"])
    assert ports[1]["DEFAULT"]["bind_port"] == str(lab.ports["neutron"])
    scripts = {
        word for service in services.values() for word in service.argv if word.startswith(f"{lab.services}/bin/")
    }
    assert {
        f"{lab.services}/bin/{name}" for name in ("keystone-wsgi-public", "placement-api", "cinder-wsgi")
    } <= scripts
    assert all((lab.configuration / node / "glance-api-paste.ini").exists() for node in lab.glance_nodes)


def test_no_argument_and_no_variable_of_a_service_holds_a_password(lab):
    """Arguments are seen by every user of the machine."""
    shown = [
        text
        for service in table(lab).values()
        for text in (*service.argv, *service.environment.values(), *environment(lab).values())
    ]
    assert not [text for text in shown for password in lab.passwords.values() if password in text]


def test_services_do_not_inherit_what_changes_them(lab, monkeypatch):
    """Credentials of the caller and switches of Python stay outside."""
    for name in ("OS_CLOUD", "OS_PASSWORD", "STACKMEND_CONFIG", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "of-the-caller")
    monkeypatch.setenv("http_proxy", "kept")
    found = environment(lab)
    assert "of-the-caller" not in found.values()
    assert found["http_proxy"] == "kept"
