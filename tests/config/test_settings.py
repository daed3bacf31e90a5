# SPDX-License-Identifier: Apache-2.0
"""The configuration: every key, what is refused and how it is said, and the services' own files."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.config.decoding import read_document
from stackmend.config.document import reference
from stackmend.config.settings import DATABASES, Config, load
from stackmend.drivers.hosts.transport import Routes
from stackmend.model.errors import ConfigError
from stackmend.model.plan import Limits

SECRET = "Xyzzy-plugh-42"
URL = f"mysql+pymysql://reader:{SECRET}@db.example/nova"
Write = Callable[[str], Path]
KEYS = reference()


def of_kind(*kinds: str) -> list[str]:
    """The keys whose values are of these kinds, with their sections."""
    return [f"{section}.{name}" for section, keys in KEYS.items() for name, key in keys.items() if key.kind in kinds]


LISTS, SWITCHES = of_kind("list of texts"), of_kind("true or false")


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests is not seen."""
    for name in ("STACKMEND_CONFIG", "STACKMEND_ROOT", "STACKMEND_LAYOUT", "OS_CLOUD", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STACKMEND_STATE", str(tmp_path / "state"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the TOML file and return its path."""

    def written(text: str) -> Path:
        path = tmp_path / "cloud.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refused(path: Path) -> ConfigError:
    """The error that the file is; it has a hint and shows no password."""
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    whole = "".join(traceback.format_exception(caught.value)) + caught.value.message + caught.value.hint
    assert SECRET not in whole
    assert caught.value.hint
    return caught.value


def test_every_key_is_read(write: Write, tmp_path: Path) -> None:
    """A file with each documented key in it ends up whole in the configuration."""
    (tmp_path / "nova.conf").write_text("[database]\nconnection = mysql://n:p@h:1/nova\n[neutron]\novs_bridge = br-x\n")
    databases = "\n".join(f'{name} = "mysql://u:p@h/{name}"' for name in DATABASES)
    config = load(
        str(
            write(f"""
[databases]
{databases}
[databases.cells]
cell1 = "mysql://u:p@h/nova"
[files]
nova = "nova.conf"
[reader]
username = "r"
password = "rp"
[writer]
username = "w"
password = "wp"
[api]
cloud = "admin"
clouds = "clouds.yaml"
timeout = 7
[timeouts]
database = 8.5
[hosts]
transport = "ssh"
destination = "root@{{host}}"
ssh_config = "ssh.config"
prefix = ["sudo", "-n"]
container = ["docker", "exec", "-i", "nova_compute"]
local = ["c9"]
libvirt = "qemu+ssh://{{host}}/system"
[hooks]
power_off = ["bmc", "off", "{{host}}"]
power_on = ["bmc", "on", "{{host}}"]
power_status = ["bmc", "status", "{{host}}"]
reboot = ["bmc", "cycle", "{{host}}"]
purge_queue = ["purge", "compute.{{host}}"]
balancer_out = ["lb", "out", "{{host}}"]
balancer_in = ["lb", "in", "{{host}}"]
balancer_status = ["lb", "status", "{{host}}"]
fence = ["fence", "--host={{host}}"]
[images]
endpoints = ["http://g1:9292"]
stores = ["g1", "g2:/srv/images"]
[ovn]
northbound = "ssl:h:6641"
southbound = "ssl:h:6642"
private_key = "own.key"
certificate = "own.pem"
ca_cert = "ca.pem"
[logs]
paths = ["logs", "/var/log/remote"]
[state]
directory = "here"
journal = "sqlite:////tmp/j.db"
[limits]
max_rows = 7
max_share = 0.5
share_floor = 3
max_failures = 2
[ages.allocation-orphan]
grace = 5
[ages.cinder-rows-unpurged]
kept = 86400
[counts.cinder-rows-unpurged]
many = 7
""")
        )
    )
    assert {name: a.database for name, a in config.databases.items()} == {name: name for name in DATABASES}
    assert {name: a.database for name, a in config.cells.items()} == {"cell1": "nova"}
    assert (config.base_url, config.nova_settings) == ("mysql://n:p@h:1/nova", {"neutron.ovs_bridge": "br-x"})
    assert config.reader is not None
    assert config.writer is not None
    assert (config.reader.username, config.reader.password) == ("r", "rp")
    assert (config.writer.username, config.writer.password) == ("w", "wp")
    assert (config.cloud, config.libvirt) == ("admin", "qemu+ssh://{host}/system")
    assert config.routes == Routes(
        transport="ssh",
        destination="root@{host}",
        ssh_config=str(tmp_path / "ssh.config"),
        prefix=("sudo", "-n"),
        container=("docker", "exec", "-i", "nova_compute"),
        local=frozenset({"c9"}),
    )
    assert list(config.hooks) == list(KEYS["hooks"])
    assert (config.image_endpoints, config.image_stores) == (("http://g1:9292",), ("g1", "g2:/srv/images"))
    assert config.ovn is not None
    assert (config.ovn.northbound, config.ovn.southbound) == ("ssl:h:6641", "ssl:h:6642")
    assert config.ovn.northbound_keys.certificate == str(tmp_path / "own.pem")
    assert config.logs == (str(tmp_path / "logs"), "/var/log/remote")
    assert config.hooks["fence"] == ("fence", "--host={host}")
    assert (config.clouds, config.api_timeout) == (tmp_path / "clouds.yaml", 7.0)
    assert config.database_timeout == 8.5
    assert (config.state, config.journal_url) == (tmp_path / "here", "sqlite:////tmp/j.db")
    assert config.limits == Limits(max_rows=7, max_share=0.5, share_floor=3, max_failures=2)
    assert config.ages == {"allocation-orphan": {"grace": 5}, "cinder-rows-unpurged": {"kept": 86400}}
    assert config.counts == {"cinder-rows-unpurged": {"many": 7}}
    assert config.thresholds == {
        "allocation-orphan": {"grace": 5},
        "cinder-rows-unpurged": {"kept": 86400, "many": 7},
    }


def test_what_is_not_given_has_a_default(write: Write, tmp_path: Path) -> None:
    """Of an empty file comes a configuration without databases, with the state where the environment says."""
    config = load(str(write("")))
    assert (config.databases, config.cells, config.reader, config.writer) == ({}, {}, None, None)
    assert config.state == tmp_path / "state"
    assert config.journal_url == f"sqlite:///{tmp_path}/state/journal.db"
    assert config.limits == Limits()
    assert config.database_timeout == 300


def test_a_configuration_shows_no_password(write: Write) -> None:
    """Its representation may end up in a log."""
    text = f'[databases]\nneutron = "{URL}"\n[reader]\nusername = "r"\npassword = "{SECRET}"\n'
    config = load(str(write(text + f'[state]\njournal = "{URL}"\n')))
    assert SECRET not in f"{config!r} {config}"


def test_a_decoded_file_shows_no_password(write: Write) -> None:
    """Neither do the tables that the file is decoded to."""
    document = read_document(
        write(f'[databases]\nneutron = "{URL}"\n[reader]\nusername = "r"\npassword = "{SECRET}"\n')
    )
    assert document.reader is not None
    assert (document.databases.neutron, document.reader.password) == (URL, SECRET)
    assert SECRET not in f"{document!r} {document.databases!r} {document.reader!r}"


@pytest.mark.parametrize("section", sorted(name for name, keys in KEYS.items() if "*" not in keys))
def test_an_unknown_key_is_refused_in_every_section(write: Write, section: str) -> None:
    """Key, section and file are named; where the key is near a known one that is proposed, else all are listed."""
    known = sorted(KEYS[section])[0]
    error = refused(write(f'[{section}]\n{known}x = "{SECRET}"\n'))
    assert f"unknown key {known}x in [{section}] in " in error.message
    assert "cloud.toml" in error.message
    assert error.hint == f"Did you mean {known}?"
    error = refused(write(f'[{section}]\nqqqqqq = "{SECRET}"\n'))
    assert known in error.hint


@pytest.mark.parametrize(("wrong", "near"), [("databasse", "databases"), ("limit", "limits"), ("write", "writer")])
def test_an_unknown_section_is_refused(write: Write, wrong: str, near: str) -> None:
    """A misspelt section would silently be no section at all."""
    error = refused(write(f'[{wrong}]\nneutron = "{URL}"\n'))
    assert f"unknown section [{wrong}] in " in error.message
    assert error.hint == f"Did you mean {near}?"


@pytest.mark.parametrize(
    "key",
    [key for key in of_kind("text") if not key.endswith("*")],
)
@pytest.mark.parametrize("value", ["7", "true", '["x"]', "{a = 1}", "2026-01-01"])
def test_every_text_must_be_a_text(write: Write, key: str, value: str) -> None:
    """Another type than text is refused with the key, the file and how to write it."""
    section, name = key.rsplit(".", 1)
    error = refused(write(f"[{section}]\n{name} = {value}\n"))
    assert name in error.message
    assert "cloud.toml" in error.message


@pytest.mark.parametrize(
    "key",
    ["databases.nova_api", "databases.cells.cell1", "reader.username", "api.clouds", "state.directory", "plans.key"],
)
def test_what_would_mean_another_place_is_not_empty(write: Write, key: str) -> None:
    """A database that nobody asks, or a state folder beside the file, is not what an empty text asks for."""
    section, name = key.rsplit(".", 1)
    error = refused(write(f'[{section}]\n{name} = ""\n'))
    assert section in error.message
    assert "cloud.toml" in error.message


@pytest.mark.attack("a password with a control character in the configuration file")
def test_a_control_character_shows_nothing_around_it(write: Write) -> None:
    """The key is named, not its text."""
    error = refused(write(f'[reader]\nusername = "r"\npassword = "{SECRET}\\u0007"\n'))
    assert "password in [reader] of " in error.message
    assert "control character" in error.message


@pytest.mark.parametrize("value", ["1", '"yes"', "[true]"])
def test_what_is_true_or_false_is_no_text(write: Write, value: str) -> None:
    """Whether hosts share their disks is said outright; unless it is said, they do not."""
    assert load(str(write("[hosts]\nshared_instances = true\n"))).shared_instances is True
    assert load(str(write("[hosts]\n"))).shared_instances is False
    assert "true or false" in refused(write(f"[hosts]\nshared_instances = {value}\n")).message


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("value", ["7", "true", '"ipmitool"', "[]", '["x", 7]', '["x", ""]', "{a = 1}"])
def test_every_list_must_hold_texts(write: Write, key: str, value: str) -> None:
    """A command is a list of words: a text would have to be split, and nobody knows how."""
    section, name = key.rsplit(".", 1)
    error = refused(write(f"[{section}]\n{name} = {value}\n"))
    assert f"{name} in [{section}] of " in error.message
    assert "list of texts" in error.message


@pytest.mark.parametrize("name", sorted(KEYS["hooks"]))
def test_a_hook_must_say_which_host_it_is_for(write: Write, name: str) -> None:
    """A command that fences whatever it likes is worse than none."""
    error = refused(write(f'[hooks]\n{name} = ["fence", "host"]\n'))
    assert "which host" in error.message
    assert "{host}" in error.hint


@pytest.mark.parametrize("line", ['transport = "telnet"', 'destination = "c01"', 'destination = "-oX={host}"'])
def test_a_way_to_hosts_must_make_sense(write: Write, line: str) -> None:
    """A transport is one of two, and a destination depends on the host and is no option of ssh."""
    assert f"{line.split()[0]} in [hosts] of " in refused(write(f"[hosts]\n{line}\n")).message


@pytest.mark.parametrize(
    ("section", "key", "usual"), [("api", "timeout", "75"), ("timeouts", "database", "300")], ids=["api", "database"]
)
@pytest.mark.parametrize("value", ['"7"', "true", "0", "-1", "inf", "nan", "[1]"])
def test_a_timeout_must_be_a_time(write: Write, value: str, section: str, key: str, usual: str) -> None:
    """A request without end would hold a run for ever; the error says what to write."""
    error = refused(write(f"[{section}]\n{key} = {value}\n"))
    assert f"{key} in [{section}]" in error.message
    assert f"{key} = {usual}" in error.hint


@pytest.mark.parametrize("name", sorted(KEYS["limits"]))
@pytest.mark.parametrize("value", ['"7"', "true", "-1", "[1]"])
def test_every_limit_must_be_a_number(write: Write, name: str, value: str) -> None:
    """A limit that is none would not limit."""
    error = refused(write(f"[limits]\n{name} = {value}\n"))
    assert f"{name} in [limits] of " in error.message


@pytest.mark.parametrize("line", ["max_share = 1.5", "max_share = nan", "max_rows = 1.5", "max_rows = inf"])
def test_a_limit_must_make_sense(write: Write, line: str) -> None:
    """A share is at most one, and rows are counted in whole numbers."""
    assert line.split()[0] in refused(write(f"[limits]\n{line}\n")).message


@pytest.mark.parametrize("value", ["5", '"5"', "{grace = -1}", '{grace = "5"}', "{grace = true}", "{grace = 1.5}"])
def test_ages_must_be_seconds(write: Write, value: str) -> None:
    """An age that is no number of seconds would make a check speak too early."""
    error = refused(write(f"[ages]\nallocation-orphan = {value}\n"))
    assert "[ages] allocation-orphan in " in error.message


@pytest.mark.parametrize("value", ["5", "{many = 0}", '{many = "5"}', "{many = true}", "{many = 1.5}"])
def test_counts_must_be_whole_numbers(write: Write, value: str) -> None:
    """A count of nothing would accuse every cloud."""
    error = refused(write(f"[counts]\ncinder-rows-unpurged = {value}\n"))
    assert "[counts] cinder-rows-unpurged in " in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("databases = 7\n", "databases in"),
        ('[databases]\ncells = "x"\n', "[databases.cells] in"),
        ("[databases.cells]\ncell1 = 7\n", "[databases.cells] in"),
        ('[reader]\npassword = "x"\n', "[reader] in"),
        ('[writer]\npassword = "x"\n', "[writer] in"),
        ('[files]\nnova = "nowhere.conf"\n', "nowhere.conf does not exist"),
        ("[databases\n", "is not valid TOML"),
        (f'[reader]\npassword = "{SECRET}\n', "is not valid TOML"),
        (f'[reader]\npassword = {SECRET}\n', "is not valid TOML"),
        (f'[databases]\nneutron = "{URL}"\nneutron = "{URL}"\n', "is not valid TOML"),
        (f'[databases]\nneutron = "nothing://reader:{SECRET}@db/nova"\n', "[databases] neutron in"),
        (f'[databases.cells]\ncell1 = "mysql://reader:{SECRET}@db:x/nova"\n', "[databases.cells] cell1 in"),
    ],
)  # fmt: skip
def test_what_else_is_refused(write: Write, text: str, says: str) -> None:
    """Each mistake is named by its place in the file."""
    error = refused(write(text))
    assert says in error.message
    assert "cloud.toml" in error.message or "nowhere.conf" in error.message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes are refused by name, not with a traceback; so is a folder."""
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe")
    assert "bytes.toml cannot be read: it is not UTF-8 text" in refused(path).message
    assert f"{tmp_path} cannot be read" in refused(tmp_path).message


# -- the services' own files


class Root:
    """A file system of its own with the services' files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, path: str, text: str) -> None:
        """Write one file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def load(self) -> Config:
        """The configuration found there."""
        self.folder.mkdir(exist_ok=True)
        return load(root=self.folder)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """An empty one."""
    return Root(tmp_path / "root")


PACKAGES = {
    "nova_api": ("etc/nova/nova.conf", "etc/kolla/nova-api/nova.conf", "api_database"),
    "neutron": ("etc/neutron/neutron.conf", "etc/kolla/neutron-server/neutron.conf", "database"),
    "cinder": ("etc/cinder/cinder.conf", "etc/kolla/cinder-api/cinder.conf", "database"),
    "glance": ("etc/glance/glance-api.conf", "etc/kolla/glance-api/glance-api.conf", "database"),
    "placement": ("etc/placement/placement.conf", "etc/kolla/placement-api/placement.conf", "placement_database"),
    "keystone": ("etc/keystone/keystone.conf", "etc/kolla/keystone/keystone.conf", "database"),
}


@pytest.mark.parametrize("place", [0, 1], ids=["packages", "kolla"])
def test_every_service_is_found(root: Root, place: int) -> None:
    """Each database's URL is read from its service's own file, where packages and where kolla put it."""
    for name, where in PACKAGES.items():
        root.put(where[place], f"[{where[2]}]\nconnection = mysql+pymysql://u:{SECRET}@h-{name}/{name}\n")
    config = root.load()
    assert {name: (a.host, a.database, a.password) for name, a in config.databases.items()} == {
        name: (f"h-{name}", name, SECRET) for name in PACKAGES
    }
    assert PACKAGES["neutron"][place] in config.origin
    assert SECRET not in repr(config)


def test_the_conductors_file_will_do(root: Root) -> None:
    """A controller without nova-api has Nova's databases in the conductor's file."""
    root.put("etc/kolla/nova-conductor/nova.conf", "[api_database]\nconnection = mysql://u:p@h/nova_api\n")
    assert root.load().databases["nova_api"].host == "h"


def test_later_files_of_the_folder_beside_win(root: Root) -> None:
    """nova.conf.d is read after nova.conf, in order of the names, as the services do."""
    root.put("etc/nova/nova.conf", "[api_database]\nconnection = mysql://u:p@first/nova_api\n")
    root.put("etc/nova/nova.conf.d/20-late.conf", "[api_database]\nconnection = mysql://u:p@third/nova_api\n")
    root.put("etc/nova/nova.conf.d/10-early.conf", "[api_database]\nconnection = mysql://u:p@second/nova_api\n")
    root.put("etc/nova/nova.conf.d/30-other.conf", "[neutron]\novs_bridge = br-ex\n[DEFAULT]\nflat_injected = true\n")
    config = root.load()
    assert config.databases["nova_api"].host == "third"
    assert config.nova_settings == {"neutron.ovs_bridge": "br-ex", "DEFAULT.flat_injected": "true"}


def test_the_base_of_cell_templates_is_the_database_section(root: Root) -> None:
    """[database] of nova.conf is what Nova fills templates from; the API database has a section of its own."""
    root.put(
        "etc/nova/nova.conf",
        "[database]\nconnection = mysql://u:p@base/nova\n[api_database]\nconnection = mysql://u:p@api/nova_api\n",
    )
    config = root.load()
    assert (config.base_url, config.databases["nova_api"].host) == ("mysql://u:p@base/nova", "api")


def test_values_refer_to_others(root: Root) -> None:
    """$name stands for another option's value, and $$ for a dollar, as oslo.config has it."""
    root.put(
        "etc/nova/nova.conf",
        "[DEFAULT]\nmy_ip = 192.0.2.7\n[api_database]\nconnection = mysql://u:pa$$word@$my_ip/nova_api\n",
    )
    address = root.load().databases["nova_api"]
    assert (address.password, address.host) == ("pa$word", "192.0.2.7")


@pytest.mark.parametrize(
    "text",
    [
        f"connection = mysql://u:{SECRET}@h/nova_api\n",
        f"[api_database\nconnection = mysql://u:{SECRET}@h/nova_api\n",
        f"[api_database]\nmysql://u:{SECRET}@h/nova_api\n",
        f"[api_database]\nconnection = oracle://u:{SECRET}@h/nova_api\n",
        f"[api_database]\nconnection = mysql://u:{SECRET}@h:x/nova_api\n",
        f"[api_database]\nconnection = mysql://u:{SECRET}@$nowhere/nova_api\n",
        "",
    ],
)
def test_a_services_file_that_cannot_be_used(root: Root, text: str) -> None:
    """A malformed or useless file is an error with a hint that shows nothing of what is in it."""
    root.put("etc/nova/nova.conf", text)
    with pytest.raises(ConfigError) as caught:
        root.load()
    assert caught.value.hint
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert "nova.conf" in caught.value.message + caught.value.hint


def test_nothing_is_found(root: Root) -> None:
    """Neither a file nor a service: the error says both ways out."""
    with pytest.raises(ConfigError, match="no configuration") as caught:
        root.load()
    assert "STACKMEND_CONFIG" in caught.value.hint
