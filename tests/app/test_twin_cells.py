# SPDX-License-Identifier: Apache-2.0
"""Cells that share a database, as operators make them: what each audit says, and that nothing else is found."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.audits import audit
from stackmend.config.settings import load
from stackmend.model.audit import Report
from stackmend_lab.cloud import Cloud

from ..support.small_clouds import kept

CELL0 = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with kept(tmp_path_factory.mktemp("twins"), servers=250, seed=7) as cloud:
        yield cloud


@pytest.fixture
def cloud(built: Cloud) -> Cloud:
    built.reset()
    return built


@pytest.fixture
def config(cloud: Cloud, tmp_path: Path) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(cloud.toml(), encoding="utf-8")
    return path


def audited(config: Path) -> Report:
    """An audit that has an answer of every check, and finds nothing but cells."""
    report = audit(load(str(config)), settle=0)
    assert report.incomplete == {}
    assert {finding.check for finding in report.findings} == {"cell-database-shared"}
    return report


def mapping(cloud: Cloud, cell: str) -> dict[str, Any]:
    return cloud.rows("nova_api", "SELECT * FROM cell_mappings WHERE name = :n ORDER BY id", {"n": cell})[0]


def again(cloud: Cloud, cell: str, **values: Any) -> int:
    """Map the database of a cell once more; the id of the new mapping."""
    row = {**mapping(cloud, cell), "uuid": str(uuid.uuid4()), "transport_url": "rabbit://a:b@mq/again", **values}
    del row["id"]
    return int(cloud.insert("nova_api", "cell_mappings", **row))


def move(cloud: Cloud, old: int, new: int) -> None:
    """Map to one cell everything that is mapped to another."""
    for table in ("host_mappings", "instance_mappings"):
        cloud.execute("nova_api", f"UPDATE {table} SET cell_id = :n WHERE cell_id = :o", {"n": new, "o": old})


@pytest.mark.parametrize(
    "name", ["cell1", *(pytest.param(name, marks=pytest.mark.long) for name in ("cell2", "cell0", "", None))]
)
def test_names_need_not_be_unique(cloud: Cloud, config: Path, name: str | None) -> None:
    """A second mapping of the same name, of another cell's or of none is said, and takes no cell from anybody."""
    again(cloud, "cell1", name=name)
    (finding,) = audited(config).findings
    assert finding.evidence["code"] == "empty"


def test_the_older_of_two_mappings_is_the_needless_one(cloud: Cloud, config: Path) -> None:
    """All is mapped to the younger: nobody is told to move a million servers back to a cell that was given up."""
    old = mapping(cloud, "cell1")
    move(cloud, old["id"], again(cloud, "cell1", name="new"))
    cloud.update("nova_api", "cell_mappings", {"id": old["id"]}, disabled=1)
    (finding,) = audited(config).findings
    assert finding.evidence["code"] == "former"
    way = str(finding.evidence["way"])
    assert f"delete_cell --cell_uuid {old['uuid']}, without --force" in way
    assert "UPDATE" not in way


def test_hosts_are_moved_first_and_servers_in_parts(cloud: Cloud, config: Path) -> None:
    """Otherwise the next server is built under the mapping that is emptied; one write of a million is too much."""
    old, new = mapping(cloud, "cell1")["id"], again(cloud, "cell1", name="new")
    cloud.execute("nova_api", "UPDATE instance_mappings SET cell_id = :n WHERE id % 2 = 0 AND cell_id = :o",
                  {"n": new, "o": old})  # fmt: skip
    (finding,) = audited(config).findings
    way = str(finding.evidence["way"])
    hosts, servers = (f"UPDATE nova_api.{table} SET cell_id = {old} WHERE cell_id = {new}" for table in (
        "host_mappings", "instance_mappings"))  # fmt: skip
    assert 0 < way.index(hosts) < way.index(f"{servers} ORDER BY id LIMIT")


def test_cell0_on_the_database_of_a_cell(cloud: Cloud, config: Path) -> None:
    """Its servers stay in that database, and are to be mapped to the cell that keeps it, before cell0 gets another."""
    cell, zero = mapping(cloud, "cell1"), mapping(cloud, "cell0")
    cloud.execute("nova_api", "DELETE FROM instance_mappings WHERE cell_id = :z", {"z": zero["id"]})
    cloud.update("nova_api", "cell_mappings", {"uuid": CELL0}, database_connection=cell["database_connection"])
    (finding,) = audited(config).findings
    assert finding.evidence["code"] == "cell0"
    way = str(finding.evidence["way"])
    assert f"SET cell_id = {cell['id']} WHERE cell_id = {zero['id']} ORDER BY" in way
    assert f"update_cell --cell_uuid {CELL0}" in way
