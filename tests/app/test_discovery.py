# SPDX-License-Identifier: Apache-2.0
"""Cells are found where Nova finds them: every template is expanded as Nova's own code does it, then looked at."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.discovery import CELL0, Databases, connect, expand
from stackmend.config import settings as configuration
from stackmend_lab.cloud import Cloud, build

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()
SECRET = "Xyzzy-plugh-42"

BASES = {
    "plain": "mysql+pymysql://nova:secret@db:3306/nova?charset=utf8#frag",
    "encoded": "mysql+pymysql://no%40va:p%40ss%2Fw%3Ard%25@db:3306/nova",
    "raw at": "mysql+pymysql://nova:p@ss@db:3306/nova",
    "braces": "mysql+pymysql://nova:{p}@db:3306/nova",
    "upper case": "mysql+pymysql://Nova:Secret@DB.Example:3306/Nova",
    "no port": "mysql+pymysql://nova:secret@db/nova",
    "no password": "mysql+pymysql://nova@db:3306/nova",
    "nobody": "mysql+pymysql://db:3306/nova",
    "no path": "mysql+pymysql://nova:secret@db:3306",
    "IPv6": "mysql+pymysql://nova:secret@[2001:db8::1]:3306/nova",
    "IPv6 without port": "mysql+pymysql://nova:secret@[2001:db8::1]/nova",
    "bad port": "mysql+pymysql://nova:secret@db:port/nova",
    "bad IPv6": "mysql+pymysql://nova:secret@[2001:db8::1/nova",
    "several": "mysql+pymysql://nova:one@DB1:3306,other:two@DB2:3307/nova",
    "several without accounts": "mysql+pymysql://db1:3306,db2:3307/nova",
    "several, one account": "mysql+pymysql://nova:one@DB1,DB2:3307/nova",
    "several IPv6": "mysql+pymysql://nova:one@[2001:db8::1]:3306,other:two@[2001:db8::2]/nova",
    "several, one empty": "mysql+pymysql://nova:one@db1:3306,/nova",
    "several, odd accounts": "mysql+pymysql://a@b@DB1:1,c:d:e@DB2:2/nova",
    "sqlite": "sqlite:////var/lib/nova.db",
    "empty": "",
    "none": None,
}
TEMPLATES = [
    "{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}#{fragment}",
    "{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2?{query}",
    "{scheme}://{username}:{password}@{hostname}/nova_cell2",
    "mysql+pymysql://{username1}:{password1}@{hostname1}:{port1}/nova_cell2",
    "mysql+pymysql://{username2}:{password2}@{hostname2}:{port2}/nova_cell2",
    "mysql+pymysql://{username3}@{hostname3}/nova_cell2",
    "mysql+pymysql://nova:secret@db:3306/literal",
    "mysql+pymysql://nova:se{cr}et@db:3306/literal",
    "mysql+pymysql://nova:se{cret@db:3306/literal",
    "mysql+pymysql://nova:se}cret@db:3306/literal",
    "mysql+pymysql://nova:se{{cr}}et@{hostname}:3306/literal",
    "mysql+pymysql://nova:se{}cret@db:3306/literal",
    "mysql+pymysql://nova:se{0}cret@db:3306/literal",
    "{hostname!r}",
    "{hostname:>10}",
    "{port:05d}",
    "{hostname.nothing}",
    "{port[0]}",
    "{hostname[x]}",
    "{nothing}",
    "{HOSTNAME}",
    "{ hostname }",
    "none:///",
    "",
]
NOVA = """
import json, logging, sys
logging.disable()
import nova.conf
from nova.objects.cell_mapping import CellMapping
found = []
for base, template in json.load(sys.stdin):
    nova.conf.CONF.set_override("connection", base, "database")
    found.append(CellMapping.format_db_url(template))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def nova() -> dict[tuple[str, str], str]:
    """What Nova itself makes of every template on every base."""
    cases = [(name, template) for name in BASES for template in TEMPLATES]
    done = subprocess.run(
        [SERVICES / "bin" / "python", "-c", NOVA],
        input=json.dumps([(BASES[name], template) for name, template in cases]),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return dict(zip(cases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("base", BASES)
def test_templates_are_expanded_as_nova_does(nova: dict[tuple[str, str], str], base: str) -> None:
    """Traps included: lower case, lost brackets, ports that are None, and the raw text where nothing makes sense."""
    expected = {template: nova[base, template] for template in TEMPLATES}
    assert {template: expand(template, BASES[base]) for template in TEMPLATES} == expected


def test_the_table_has_what_nova_falls_back_on(nova: dict[tuple[str, str], str]) -> None:
    """The comparison is not one of raw texts alone: Nova did expand, and did fall back."""
    first = TEMPLATES[1]
    assert nova["plain", first] == "mysql+pymysql://nova:secret@db:3306/nova_cell2?charset=utf8"
    assert nova["no port", first].endswith("@db:None/nova_cell2?")
    assert nova["bad port", first] == nova["none", first] == first


# -- what becomes of them


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small cloud in SQLite files."""
    cloud = build(tmp_path_factory.mktemp("discovery") / "cloud", servers=8, seed=4)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def cloud(built: Cloud) -> Cloud:
    """The cloud as it was built."""
    built.reset()
    return built


def found(
    cloud: Cloud, tmp_path: Path, more: str = "", nova_conf: str | None = None, *, write: bool = False
) -> Databases:
    """The databases that discovery finds for the cloud's configuration and more."""
    text = cloud.toml() + more
    if nova_conf is not None:
        (tmp_path / "nova.conf").write_text(nova_conf, encoding="utf-8")
        text += '\n[files]\nnova = "nova.conf"\n'
    path = tmp_path / "cloud.toml"
    path.write_text(text, encoding="utf-8")
    return connect(configuration.load(str(path)), write=write)


def remap(cloud: Cloud, cell: str, **values: Any) -> None:
    """Change a row of cell_mappings."""
    cloud.update("nova_api", "cell_mappings", {"name": cell}, **values)


def test_every_cell_is_found(cloud: Cloud, tmp_path: Path) -> None:
    """All rows of cell_mappings, those of disabled cells too (R2)."""
    remap(cloud, "cell2", disabled=1)
    databases = found(cloud, tmp_path)
    assert databases.cells_known
    assert databases.errors == {}
    assert {n for n in databases.addresses if n.startswith("cell:")} == {"cell:cell0", "cell:cell1", "cell:cell2"}


def test_cell0_is_told_by_its_uuid(cloud: Cloud, tmp_path: Path) -> None:
    """cell0 may have any name, or none; a cell without one goes by its uuid, and so does the second of a name."""
    cloud.update("nova_api", "cell_mappings", {"uuid": CELL0}, name="zero")
    uuid = cloud.rows("nova_api", "SELECT uuid FROM cell_mappings WHERE name = 'cell1'")[0]["uuid"]
    remap(cloud, "cell1", name=None)
    assert {"cell:cell0", f"cell:{uuid}", "cell:cell2"} <= set(found(cloud, tmp_path).addresses)
    cloud.update("nova_api", "cell_mappings", {"uuid": uuid}, name="cell2")
    names = set(found(cloud, tmp_path).addresses)
    assert len({n for n in names if n.startswith("cell:")}) == 3
    assert names & {"cell:cell2"}


@pytest.mark.parametrize(
    ("url", "conf", "says"),
    [
        ("{scheme}://{username}@{hostname}/x", None, "template"),
        ("{scheme}://{username}:{password}@{hostname}:{port}/x", f"mysql://u:{SECRET}@h/nova", "without a port"),
        ("{scheme}://{username}:{password}@{nothing}:{port}/x", f"mysql://u:{SECRET}@h:1/nova", "template"),
        ("{scheme}://{username}:{password}@{hostname}:{port}/x", f"mysql://u:{SECRET}@[::1]:1/nova", "cell2"),
        (f"none://u:{SECRET}@h/x", None, "scheme"),
        ("none:///", None, "scheme"),
        (f"mysql://u:{SECRET}@h:x/y", None, "malformed"),
        (f"mysql://u:{SECRET}@h", None, "has no database name"),
        ("", None, "scheme"),
    ],
)
def test_a_cell_whose_url_makes_no_sense_is_an_error_by_name(
    cloud: Cloud, tmp_path: Path, url: str, conf: str | None, says: str
) -> None:
    """It is never left out: the cell is named, not all cells are known, and no password is shown."""
    remap(cloud, "cell2", database_connection=url)
    databases = found(cloud, tmp_path, nova_conf=f"[database]\nconnection = {conf}\n" if conf else None)
    assert not databases.cells_known
    assert "cell:cell2" not in databases.addresses
    assert "cell2" in databases.errors["cell:cell2"]
    assert says in databases.errors["cell:cell2"]
    assert SECRET not in repr(databases)
    assert {"cell:cell0", "cell:cell1"} <= set(databases.addresses)


def test_a_template_takes_novas_own_url(cloud: Cloud, tmp_path: Path) -> None:
    """[files] nova gives the base; the password comes out of its encoding."""
    remap(cloud, "cell2", database_connection="{scheme}://{username}:{password}@{hostname}:{port}/nova_cell2")
    conf = "[database]\nconnection = mysql+pymysql://nova:p%40ss%2Fword@db:3307/nova\n"
    address = found(cloud, tmp_path, nova_conf=conf).addresses["cell:cell2"]
    assert address.redacted == "mysql://nova@db:3307/nova_cell2"
    assert address.password == "p@ss/word"


def test_accounts(cloud: Cloud, tmp_path: Path) -> None:
    """[reader] reads the cells found, [writer] writes to everything, and configured cells keep their own account."""
    remap(cloud, "cell2", database_connection=f"mysql://nova:{SECRET}@db/nova_cell2")
    accounts = '\n[reader]\nusername = "r"\npassword = "rp"\n[writer]\nusername = "w"\npassword = "wp"\n'
    reading, writing = found(cloud, tmp_path, accounts), found(cloud, tmp_path, accounts, write=True)
    assert reading.addresses["cell:cell2"].redacted == "mysql://r@db:3306/nova_cell2"
    assert writing.addresses["cell:cell2"].redacted == "mysql://w@db:3306/nova_cell2"
    own = f'\n[databases.cells]\ncell2 = "mysql://own:{SECRET}@other/x"\n' + accounts
    assert found(cloud, tmp_path, own).addresses["cell:cell2"].redacted == "mysql://own@other:3306/x"
    assert SECRET not in repr(reading) + repr(writing)


def test_a_database_that_is_mapped_twice_is_read_once(cloud: Cloud, tmp_path: Path) -> None:
    """Under the name of the older mapping, whatever the account, the port and the options, and even if it is named."""
    remap(cloud, "cell1", database_connection=f"mysql+pymysql://nova:{SECRET}@db:3306/nova?charset=utf8")
    remap(cloud, "cell2", database_connection="mysql://other:secret@db/nova")
    for more in ("", '\n[databases.cells]\ncell2 = "mysql://own@other/x"\n'):
        databases = found(cloud, tmp_path, more)
        assert databases.cells_known
        assert {n for n in databases.addresses if n.startswith("cell:")} == {"cell:cell0", "cell:cell1"}
        assert databases.errors == {}


def test_names_that_differ_in_case_are_two_databases(cloud: Cloud, tmp_path: Path) -> None:
    """A server on Linux tells them apart."""
    remap(cloud, "cell1", database_connection="mysql://a:b@db/nova")
    remap(cloud, "cell2", database_connection="mysql://a:b@db/Nova")
    assert {"cell:cell1", "cell:cell2"} <= found(cloud, tmp_path).addresses.keys()


def test_two_servers_on_one_machine_are_two_databases(cloud: Cloud, tmp_path: Path) -> None:
    """Only their sockets differ: none of the two may be taken for the other, and be left unread."""
    for cell in ("cell1", "cell2"):
        remap(cloud, cell, database_connection=f"mysql://a:b@localhost/nova?charset=utf8&unix_socket=/run/{cell}.sock")
    databases = found(cloud, tmp_path)
    assert {"cell:cell1", "cell:cell2"} <= databases.addresses.keys()
    assert databases.errors == {}
    assert databases.cells_known


def test_one_database_by_two_spellings_is_said(cloud: Cloud, tmp_path: Path) -> None:
    """A template that expands to another cell's URL: that cell is not read, and not all cells are known."""
    remap(cloud, "cell1", database_connection="mysql://nova:x@db:3307/nova")
    remap(cloud, "cell2", database_connection="{scheme}://{username}:{password}@{hostname}:{port}/nova")
    databases = found(cloud, tmp_path, nova_conf="[database]\nconnection = mysql+pymysql://nova:x@db:3307/nova\n")
    assert not databases.cells_known
    assert "cell:cell2" not in databases.addresses
    said = "it is the database of cell1 as well: two cells are mapped to one database"
    assert databases.errors["cell:cell2"] == said


def test_the_same_cloud_has_one_identity(cloud: Cloud, tmp_path: Path) -> None:
    """Accounts do not make another cloud; another place or another cell does."""
    url = "mysql://{}@db/nova_cell2"
    remap(cloud, "cell2", database_connection=url.format("a:b"))
    first = found(cloud, tmp_path).identity
    assert found(cloud, tmp_path, '\n[writer]\nusername = "w"\n', write=True).identity == first
    remap(cloud, "cell2", database_connection=url.format("c:d"))
    assert found(cloud, tmp_path).identity == first
    remap(cloud, "cell2", database_connection="mysql://c:d@elsewhere/nova_cell2")
    assert found(cloud, tmp_path).identity != first


def test_unreadable_mappings_are_an_error(cloud: Cloud, tmp_path: Path) -> None:
    """Without cell_mappings no cell is known, and that is said of nova_api; configured cells do not make up for it."""
    cloud.execute("nova_api", "DROP TABLE cell_mappings")
    databases = found(cloud, tmp_path, '\n[databases.cells]\ncell1 = "mysql://own@other/x"\n')
    assert not databases.cells_known
    assert "cell_mappings" in databases.errors["nova_api"]
