# SPDX-License-Identifier: Apache-2.0
"""One host on one screen, from real services."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "host-status.json"


def test_every_source_is_asked(plane: Plane, capsys: pytest.CaptureFixture[str]) -> None:
    """Nova, Neutron, Cinder and Placement name the same servers; the answer says that libvirt is not configured."""
    servers = list(plane.connect().compute.servers(all_projects=True, details=True))
    host = next(server.compute_host for server in servers if server.compute_host)
    here = sorted(server.id for server in servers if server.compute_host == host)
    code = main(["--config", str(plane.toml), "host", "status", host, "--no-audit", "-f", "json"])
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert code == Exit.CLEAN
    views = {view["source"]: view for view in told["views"]}
    assert views["nova"]["servers"] == views["placement"]["servers"] == here
    assert set(views["neutron"]["servers"]) <= set(here)
    assert views["cinder"]["count"] is not None
    assert "not configured" in views["libvirt"]["why_not"] or "no libvirt" in views["libvirt"]["why_not"]
    assert [one["state"] for one in told["services"]] == ["up"]
    assert told["apart"] == {}


def test_a_host_that_nobody_knows(plane: Plane, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown host is the operator's mistake, not an empty host."""
    assert main(["--config", str(plane.toml), "host", "status", "c99"]) == Exit.USAGE
    assert "there is no host 'c99'" in capsys.readouterr().err
