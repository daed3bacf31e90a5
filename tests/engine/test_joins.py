# SPDX-License-Identifier: Apache-2.0
"""No check compares every row with every row, nor every server of a host with every port of it."""

from __future__ import annotations

import pytest
from tests.engine.joins import unkeyed_joins

from stackmend.engine.auditing import catalogue
from stackmend.model.check import Check


@pytest.mark.parametrize("check", catalogue.checks().values(), ids=lambda check: check.name)
def test_every_join_of_a_check_has_a_key(check: Check) -> None:
    """An equality with a column of many values, or a side of one row for each of few; or it is with the clock."""
    assert unkeyed_joins(check.sql) == []


@pytest.mark.parametrize(
    ("join", "keyed"),
    [
        ("JOIN neutron_ports p ON p.device_id = i.uuid", True),
        ("JOIN neutron_ports p ON LOWER(p.device_id) = LOWER(i.uuid)", True),
        ("JOIN neutron_ports p USING (uuid)", True),
        (", neutron_ports p WHERE p.device_id = i.uuid", True),
        ("JOIN nova_migrations m ON m.instance_uuid = i.uuid AND m.source_compute = i.host", True),
        ("CROSS JOIN clock c", True),
        ("JOIN nova_services s ON s.host = i.host AND s.cell = i.cell", True),
        ("JOIN (SELECT cell, MAX(id) AS id FROM nova_migrations GROUP BY cell) t ON t.cell = i.cell", True),
        ("JOIN (SELECT DISTINCT host FROM neutron_ml2_port_bindings) t ON t.host = i.host", True),
        ("JOIN (SELECT host FROM neutron_agents UNION SELECT host FROM nova_services) t ON t.host = i.host", True),
        ("JOIN (SELECT host FROM neutron_agents UNION ALL SELECT host FROM nova_services) t ON t.host = i.host", False),
        (", neutron_ports p", False),
        ("CROSS JOIN neutron_ports p", False),
        ("JOIN neutron_ports p ON p.device_id > i.uuid", False),
        ("JOIN neutron_ports p ON p.status = 'ACTIVE'", False),
        ("JOIN neutron_ports p ON i.uuid = i.host", False),
        ("JOIN neutron_ports p ON p.device_id = i.uuid OR p.status = 'ACTIVE'", False),
        ("JOIN neutron_ports p ON NOT p.device_id = i.uuid", False),
        ("JOIN neutron_ml2_port_bindings b ON b.host = i.host", False),
        ("JOIN neutron_ml2_port_bindings b USING (host)", False),
        ("JOIN cinder_volumes v ON v.host = i.host AND v.project_id = i.project_id", False),
        ("JOIN (SELECT host, cell FROM nova_migrations GROUP BY host, cell) t ON t.host = i.host", False),
        ("JOIN nova_services s ON s.cell = i.cell JOIN cinder_volumes v ON v.project_id = i.project_id", False),
    ],
)
def test_a_join_without_a_key_is_seen(join: str, keyed: bool) -> None:
    """What compares every row with every row is named, however it is written, and so is a key of few values."""
    assert (unkeyed_joins(f"SELECT i.uuid FROM nova_instances i {join}") == []) is keyed


def test_a_step_under_with_is_a_side_of_a_join() -> None:
    """One that groups by the key has one row for each of its values; one that does not has none."""
    statement = "WITH t AS (SELECT host FROM moves {}) SELECT i.uuid FROM nova_instances i JOIN t USING (host)"
    assert unkeyed_joins(statement.format("GROUP BY host")) == []
    assert unkeyed_joins(statement.format("")) != []
