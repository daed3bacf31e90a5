# SPDX-License-Identifier: Apache-2.0
"""The services' own files where operators have them: packages, kolla, the containers of OpenStack-Ansible."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stackmend.app.discovery import connect
from stackmend.config.description import describe
from stackmend.config.layouts import ANSIBLE, KOLLA, LAYOUTS, PACKAGES, inside
from stackmend.config.settings import DATABASES, Config, load, survey
from stackmend.drivers.database.dialects import Address
from stackmend.model.errors import ConfigError
from stackmend_lab.cloud import Cloud, build

SECRET = "Xyzzy-plugh-42"
RABBIT = "rabbit-secret-7"
CONTAINER = "infra1_{}_container-1a2b3c4d"
NOBODY = 65534
#: service -> (file, section of its database)
SERVICES = {
    "nova": ("nova.conf", "api_database"),
    "neutron": ("neutron.conf", "database"),
    "cinder": ("cinder.conf", "database"),
    "glance": ("glance-api.conf", "database"),
    "placement": ("placement.conf", "placement_database"),
    "keystone": ("keystone.conf", "database"),
}
KOLLA_FOLDERS = {"nova": "nova-api", "neutron": "neutron-server", "cinder": "cinder-api", "keystone": "keystone"}
Put = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests is not seen."""
    for name in ("STACKMEND_CONFIG", "STACKMEND_ROOT", "STACKMEND_LAYOUT", "OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STACKMEND_STATE", str(tmp_path / "state"))


@pytest.fixture
def root() -> Iterator[Path]:
    """A root that other accounts may enter, as they may on a controller."""
    folder = Path(tempfile.mkdtemp(prefix="stackmend-root-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def put(root: Path) -> Put:
    """Write a file below the root."""

    def written(path: str, text: str) -> Path:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return written


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """An account that is not root: file modes count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small healthy cloud in SQLite files."""
    built = build(tmp_path_factory.mktemp("layouts") / "cloud", servers=60, seed=3)
    yield built
    built.close()


def conf(section: str, url: str) -> str:
    """A service's file with more in it than is looked for."""
    return (
        f"[DEFAULT]\ntransport_url = rabbit://openstack:{RABBIT}@mq:5672//\nmy_ip = 192.0.2.7\n"
        "# enabled_filters = all\nenabled_filters = One,\n  Two,\n  Three\n"
        f"[{section}]\nconnection = {url}\nslave_connection = mysql://never:{SECRET}@replica/x\n"
        "mysql_enable_ndb = false\nmax_retries = -1\n[keystone_authtoken]\npassword = other\n"
    )


def packages(put: Put, urls: Mapping[str, str]) -> None:
    """As RDO has it: defaults of the distribution, the file, and a folder whose files win."""
    for service, (file, section) in SERVICES.items():
        name = "nova_api" if service == "nova" else service
        dist = file.replace(".conf", "-dist.conf")
        put(f"usr/share/{service}/{dist}", conf(section, f"mysql://{service}:{service}@localhost/{service}"))
        put(f"etc/{service}/{file}", conf(section, urls[name]))
    put("etc/nova/nova.conf.d/50-site.conf", "[database]\nconnection = mysql://nova:x@late:3306/nova_cell0\n")


def kolla(put: Put, urls: Mapping[str, str]) -> None:
    """A folder for each process; the conductor of a cell knows its cell alone."""
    for service, (file, section) in SERVICES.items():
        name = "nova_api" if service == "nova" else service
        put(f"etc/kolla/{KOLLA_FOLDERS.get(service, service + '-api')}/{file}", conf(section, urls[name]))
    put("etc/kolla/nova-conductor/nova.conf", conf("database", "mysql://nova:x@cell:3306/nova"))
    put("etc/kolla/nova-api/config.json", "{}")
    put("etc/kolla/clouds.yaml", f"clouds: {{kolla-admin: {{auth: {{password: {SECRET}}}}}}}\n")


def ansible(put: Put, urls: Mapping[str, str]) -> None:
    """A container for each service, two for the API of Nova; /etc/<service> is a link that only makes sense inside."""
    for service, (file, section) in SERVICES.items():
        name = "nova_api" if service == "nova" else service
        for number in range(2 if service == "nova" else 1):
            base = f"var/lib/lxc/{CONTAINER.format(service)}{number}/rootfs"
            folder = put(
                f"{base}/openstack/venvs/{service}-29.0/etc/{service}/{file}", conf(section, urls[name])
            ).parent
            put(f"{base}/etc/hosts", "")
            inner = folder.relative_to(folder.parents[4])
            os.symlink(f"/{inner}", folder.parents[4] / "etc" / service)
    os.makedirs(put("var/lib/lxc/infra1_galera_container-9/rootfs/etc/hosts", "").parent, exist_ok=True)


BUILD = {PACKAGES: packages, KOLLA: kolla, ANSIBLE: ansible}


def servers(host: str = "galera", query: str = "") -> dict[str, str]:
    """URLs as they are in such files."""
    return {name: f"mysql+pymysql://{name}:{SECRET}@{host}:3306/{name}{query}" for name in DATABASES}


def shown(root: Path, layout: str | None = None) -> dict[str, object]:
    """What ``config show`` says."""
    return describe(*survey(root=root, layout=layout))


def refused(root: Path, layout: str | None = None) -> ConfigError:
    """The error that it is; it shows no password."""
    with pytest.raises(ConfigError) as caught:
        load(root=root, layout=layout)
    assert caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint
    return caught.value


# -- the three layouts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_cloud_is_found_without_a_configuration(layout: str, root: Path, put: Put, cloud: Cloud) -> None:
    """Every database is found in its service's own file, and the cells from there."""
    urls = {name: url for name, url in cloud.databases.items() if name in DATABASES}
    BUILD[layout](put, urls)
    config = load(root=root)
    assert {name: a.database for name, a in config.databases.items()} == {
        name: Address.from_url(url).database for name, url in urls.items()
    }
    found = connect(config)
    assert (found.cells_known, found.errors) == (True, {})
    assert {"cell:cell0", "cell:cell1", "cell:cell2"} <= set(found.addresses)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_shown_names_files_and_no_secret(layout: str, root: Path, put: Put) -> None:
    """For each database the file, its layout and its address; passwords and message queues do not appear."""
    BUILD[layout](put, servers(query="?charset=utf8&plugin=dbcounter&ssl_key_password=" + SECRET))
    document = shown(root)
    used = {entry["database"]: entry for entry in document["databases"] if entry["state"] == "used"}
    assert set(used) == set(DATABASES)
    assert {entry["layout"] for entry in used.values()} == {layout}
    assert all(Path(entry["path"]).is_relative_to(root) for entry in used.values())
    assert used["nova_api"]["address"] == "mysql://nova_api@galera:3306/nova_api"
    assert used["nova_api"]["options"] == {
        "charset": "utf8",
        "plugin": "dbcounter",
        "ssl_key_password": "(not shown)",
    }
    assert document["problems"] == []
    assert SECRET not in str(document)
    assert RABBIT not in str(document)


def test_the_conductor_of_a_cell_does_not_count(root: Path, put: Put) -> None:
    """On kolla it has no [api_database], and its [database] is no base of cell templates."""
    kolla(put, servers())
    put("etc/kolla/nova-api/nova.conf", conf("api_database", servers()["nova_api"]) + "[database]\nconnection = base\n")
    config = load(root=root)
    assert config.base_url == "base"
    entries = [e for e in shown(root)["databases"] if e["database"] == "nova_api"]
    assert [(e["state"], Path(e["path"]).parent.name) for e in entries] == [
        ("used", "nova-api"),
        ("none", "nova-conductor"),
    ]


def test_packages_are_read_in_the_order_of_the_services(root: Path, put: Put) -> None:
    """Defaults of the distribution come first, the folder beside comes last."""
    packages(put, servers())
    put("etc/neutron/conf.d/neutron-server/db.conf", conf("database", "mysql://n:p@folder/neutron"))
    config = load(root=root)
    assert config.databases["nova_api"].host == "galera"
    assert config.databases["neutron"].host == "folder"
    assert config.base_url == "mysql://nova:x@late:3306/nova_cell0"
    (root / "etc/glance/glance-api.conf").write_text("")
    assert load(root=root).databases["glance"].host == "localhost"


def test_a_link_in_a_container_stays_in_it(root: Path, put: Put) -> None:
    """What leads to / leads to the root of the container; .. does not lead out; a circle ends."""
    ansible(put, servers())
    base = root / "var/lib/lxc" / f"{CONTAINER.format('nova')}0" / "rootfs"
    assert inside(base, "etc/nova/nova.conf") == base / "openstack/venvs/nova-29.0/etc/nova/nova.conf"
    (base / "up").symlink_to("../../../../../../../etc/hosts")
    assert inside(base, "up") == base / "etc/hosts"
    (base / "one").symlink_to("two")
    (base / "two").symlink_to("one")
    assert not inside(base, "one/x").exists()


def test_files_that_a_url_names_are_those_of_the_container(root: Path, put: Put) -> None:
    """ssl_ca of a container is found in its root; a path that is not there stays as it is written."""
    ansible(put, servers(query="?ssl_ca=/etc/ssl/certs/galera-ca.pem&ssl_verify_cert=true"))
    base = f"var/lib/lxc/{CONTAINER.format('nova')}0/rootfs"
    authority = put(f"{base}/etc/ssl/certs/galera-ca.pem", "")
    config = load(root=root)
    assert config.databases["nova_api"].options["ssl_ca"] == str(authority)
    assert config.databases["cinder"].options["ssl_ca"] == "/etc/ssl/certs/galera-ca.pem"
    assert config.root == root / base
    notes = {entry["database"]: entry["note"] for entry in shown(root)["databases"] if entry["state"] == "used"}
    assert notes["nova_api"] is None
    assert notes["cinder"] == "/etc/ssl/certs/galera-ca.pem does not exist"


def test_an_address_of_another_machine_is_pointed_out(root: Path, put: Put) -> None:
    """localhost in a container, or in copies, is not this machine."""
    ansible(put, servers("127.0.0.1"))
    notes = {e["note"] for e in shown(root)["databases"] if e["state"] == "used"}
    assert notes == {"this address refers to the container, not to this machine"}


# -- which one counts


def test_two_layouts_that_disagree_are_an_error(root: Path, put: Put) -> None:
    """Both files and addresses are named, and how to say which one counts; then it is the one that was said."""
    packages(put, servers("old"))
    kolla(put, servers("new"))
    error = refused(root)
    assert f"{root}/etc/nova/nova.conf and {root}/etc/kolla/nova-api/nova.conf name different" in error.message
    assert "mysql://nova_api@old:3306/nova_api and mysql://nova_api@new:3306/nova_api" in error.message
    assert "--layout packages or --layout kolla" in error.hint
    for layout, host in ((PACKAGES, "old"), (KOLLA, "new")):
        assert {a.host for a in load(root=root, layout=layout).databases.values()} == {host}
    assert len(shown(root)["problems"]) == len(DATABASES)


def test_two_files_that_agree_are_none(root: Path, put: Put) -> None:
    """Another account, another password, another spelling of the host: the same database."""
    packages(put, servers("Galera"))
    kolla(put, {name: f"mysql://root:other@galera/{name}" for name in DATABASES})
    assert load(root=root).databases["nova_api"].username == "nova_api"
    assert {e["state"] for e in shown(root)["databases"]} == {"used", "same", "none"}


def test_two_halves_of_different_clouds_are_an_error(root: Path, put: Put) -> None:
    """Where each layout knows what the other lacks, on other servers, an audit would compare two clouds."""
    put("etc/keystone/keystone.conf", conf("database", servers("old")["keystone"]))
    kolla(put, servers("new"))
    (root / "etc/kolla/keystone/keystone.conf").unlink()
    error = refused(root)
    assert "kolla and packages name databases on different servers: new:3306, and old:3306" in error.message
    assert load(root=root, layout=KOLLA).databases["nova_api"].host == "new"


def test_containers_that_disagree_are_an_error(root: Path, put: Put) -> None:
    """A container that was left behind is named."""
    ansible(put, servers())
    base = f"var/lib/lxc/{CONTAINER.format('nova')}1/rootfs/openstack/venvs/nova-29.0/etc/nova/nova.conf"
    put(base, conf("api_database", servers("old")["nova_api"]))
    error = refused(root)
    assert f"{CONTAINER.format('nova')}1" in error.message
    assert "TOML" in error.hint


def test_the_environment_names_root_and_layout(root: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """STACKMEND_ROOT and STACKMEND_LAYOUT are for every command; a TOML file that is named wins over the root."""
    packages(put, servers("old"))
    kolla(put, servers("new"))
    monkeypatch.setenv("STACKMEND_ROOT", str(root))
    monkeypatch.setenv("STACKMEND_LAYOUT", KOLLA)
    assert load().databases["neutron"].host == "new"
    monkeypatch.setenv("STACKMEND_CONFIG", str(put("cloud.toml", "")))
    assert load().databases == {}
    assert load(root=root).databases["neutron"].host == "new"
    monkeypatch.setenv("STACKMEND_LAYOUT", "colla")
    assert "there is no layout colla" in refused(root).message


# -- what cannot be read


def _warm() -> None:
    """Import what is imported late: the other account may not read the libraries."""
    with tempfile.TemporaryDirectory() as folder:
        etc = Path(folder) / "etc/nova"
        etc.mkdir(parents=True)
        (etc / "nova.conf").write_text(conf("api_database", "mysql://u:p@h/nova_api"))
        load(root=Path(folder))


@pytest.mark.parametrize(("hide", "named"), [("etc/nova/nova.conf", "etc/nova/nova.conf"), ("etc/nova", "etc/nova")])
def test_a_file_that_may_not_be_read_is_named(root: Path, put: Put, request, hide: str, named: str) -> None:
    """Debian gives /etc/nova to the group of Nova: who is not in it is told so, not that there is no Nova."""
    packages(put, servers())
    _warm()
    (root / hide).chmod(0)
    request.getfixturevalue("unprivileged")
    error = refused(root)
    assert str(root / named) in error.message
    assert "permission denied" in error.message or "cannot be read" in error.message


def test_a_hidden_folder_beside_is_not_taken_for_an_empty_one(root: Path, put: Put, request) -> None:
    """What overrides the database may be in it."""
    packages(put, servers())
    _warm()
    (root / "etc/nova/nova.conf.d").chmod(0)
    request.getfixturevalue("unprivileged")
    assert "nova.conf" in refused(root).message


def test_hidden_files_of_a_layout_that_is_not_needed_do_no_harm(root: Path, put: Put, request) -> None:
    """Containers of something else on the host: shown, but everything is known without them."""
    packages(put, servers())
    put("var/lib/lxc/other/rootfs/etc/hosts", "")
    _warm()
    (root / "var/lib/lxc").chmod(0)
    request.getfixturevalue("unprivileged")
    assert set(load(root=root).databases) == set(DATABASES)
    assert shown(root)["hidden"] == [str(root / "var/lib/lxc")]


def test_nothing_but_hidden_files(root: Path, put: Put, request) -> None:
    """Where all of kolla is hidden, that is what the error says."""
    kolla(put, servers())
    _warm()
    (root / "etc/kolla").chmod(0)
    request.getfixturevalue("unprivileged")
    error = refused(root)
    assert f"{root}/etc/kolla" in error.message
    assert "as root" in error.hint


# -- what may be in such files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"connection = mysql+pymysql://u:{SECRET}%40%2F%25@h/d", ("h", f"{SECRET}@/%")),
        (f"connection = mysql+pymysql://u:{SECRET}/#?@h/d", ("h", f"{SECRET}/#?")),
        (f"connection = 'mysql+pymysql://u:{SECRET}@h/d'", ("h", SECRET)),
        (f"connection = mysql+pymysql://u:{SECRET}@[2001:db8::1]:3306/d", ("2001:db8::1", SECRET)),
        (f"connection = mysql+pymysql://u:{SECRET}@$my_ip/d", ("192.0.2.7", SECRET)),
        (f"connection = mysql+pymysql://u:${{db.word}}@h/d\n[db]\nword = {SECRET}", ("h", SECRET)),
        (f"connection = mysql://u:old@old/d\nconnection = mysql+pymysql://u:{SECRET}@h/d", ("h", SECRET)),
        (f"connection = mysql+pymysql://u:{SECRET}@h/d?charset=utf8&plugin=dbcounter", ("h", SECRET)),
        (f"connection : mariadb+pymysql://u:{SECRET}@h/d", ("h", SECRET)),
    ],
)
def test_urls_as_operators_have_them(root: Path, put: Put, text: str, expected: tuple[str, str]) -> None:
    """Passwords with any character, values that refer to others, and keys that are there twice: the last one counts."""
    put("etc/cinder/cinder.conf", f"[DEFAULT]\nmy_ip = 192.0.2.7\nprint_help = 1\n[database]\n{text}\n")
    address = load(root=root).databases["cinder"]
    assert (address.host, address.password) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"\ufeff[database]\nconnection = mysql://u:{SECRET}@h/d\n".encode(), "byte order mark"),
        (b"[database]\nconnection = mysql://u:\xff@h/d\n", "not UTF-8"),
        (f"[database]\nconnection = mysql://u:{SECRET}@$my_ip/d\n".encode(), "an option that is not set"),
        (f"[database]\nconnection = oracle://u:{SECRET}@h/d\n".encode(), "unsupported scheme"),
    ],
)
def test_a_file_that_the_service_would_refuse(root: Path, put: Put, content: bytes, says: str) -> None:
    """The file and what is wrong with it are named; ``config show`` has it as well, beside what could be read."""
    put("etc/cinder/cinder.conf", "").write_bytes(content)
    put("etc/nova/nova.conf", conf("api_database", servers()["nova_api"]))
    error = refused(root)
    assert "cinder.conf" in error.message
    assert says in error.message
    document = shown(root)
    assert {e["database"]: e["state"] for e in document["databases"]}["cinder"] == "unusable"
    assert [p["message"] for p in document["problems"]] == [error.message]


def test_a_compute_node_is_told_that_it_is_none(root: Path, put: Put) -> None:
    """Files without a database: only controllers know them."""
    put("etc/nova/nova.conf", f"[DEFAULT]\ntransport_url = rabbit://openstack:{RABBIT}@mq:5672//\n")
    error = refused(root)
    assert f"no database is named in {root}/etc/nova/nova.conf" in error.message
    assert "--root" in error.hint


def test_a_root_that_is_no_folder(root: Path) -> None:
    """A misspelt root is not an empty one."""
    assert "is not a folder" in refused(root / "nowhere").message


def test_a_configured_cloud_is_shown_too(root: Path, put: Put) -> None:
    """With a TOML file: the file, its addresses, its accounts, never a password."""
    toml = put(
        "cloud.toml",
        f'[databases]\nneutron = "{servers()["neutron"]}"\n[databases.cells]\ncell1 = "mysql://n:{SECRET}@h/nova"\n'
        f'[reader]\nusername = "r"\npassword = "{SECRET}"\n[state]\njournal = "mysql://j:{SECRET}@h/journal"\n',
    )
    document = describe(*survey(str(toml)))
    assert (document["file"], document["root"], document["reader"]) == (str(toml), None, "r")
    assert document["databases"][0]["address"] == "mysql://neutron@galera:3306/neutron"
    assert document["cells"][0]["address"] == "mysql://n@h:3306/nova"
    assert document["state"]["journal"] == "mysql://j@h:3306/journal"
    assert SECRET not in str(document)


def test_accounts_of_clouds_are_found_by_name(root: Path, put: Put) -> None:
    """Where kolla and OpenStack-Ansible leave clouds.yaml; nothing of them is read."""
    kolla(put, servers())
    inner = put("var/lib/lxc/infra1_utility_container-1/rootfs/root/.config/openstack/clouds.yaml", SECRET)
    assert shown(root)["api"]["found"] == [str(root / "etc/kolla/clouds.yaml"), str(inner)]


def test_the_representation_of_what_was_found_is_harmless(root: Path, put: Put) -> None:
    """It may end up in a log."""
    kolla(put, servers())
    config: Config = load(root=root)
    assert SECRET not in repr(config) + repr(config.found)
