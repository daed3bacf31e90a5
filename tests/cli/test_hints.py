# SPDX-License-Identifier: Apache-2.0
"""What an error tells the reader to do helps in the state it is in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud

from .conftest import Ran


def test_consent_is_not_asked_for_where_it_would_not_help(
    run: Callable[..., Ran], cloud: Cloud, cloud_config: Path
) -> None:
    """A name in the place of an id: the server is what is wrong, not the missing --allow-db."""
    ran = run("--config", cloud_config, "server", "mark-deleted", "web-server-7")
    assert ran.code in (Exit.STOPPED, Exit.USAGE)
    assert "web-server-7" in ran.err
    assert "allow-db" not in ran.err
    server = cloud.pick("active")
    ran = run("--config", cloud_config, "server", "cache", "rebuild", server.uuid)
    assert "allow-db" in ran.err or ran.code == Exit.CLEAN


def test_a_host_of_another_cell_is_called_that(run: Callable[..., Ran], cloud: Cloud, cloud_config: Path) -> None:
    """Nobody looks for a host that is there: its cell is named. Neither is a typing error taken for anything else."""
    server = cloud.pick("active")
    own = server.database
    other = next(name for name in cloud.databases if name.startswith("cell:") and name not in (own, "cell:cell0"))
    host = cloud.rows(other, "SELECT host FROM compute_nodes WHERE deleted = 0")[0]["host"]
    line = ("--config", cloud_config, "server", "set-host", server.uuid, "--allow-db", "--host")
    ran = run(*line, host)
    assert ran.code == Exit.STOPPED
    assert f"host {host} is in cell {other.removeprefix('cell:')}" in ran.err
    ran = run(*line, "no-such-host")
    assert (ran.code, "there is no host 'no-such-host'" in ran.err) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    "words", [("C0001x", "--inventory"), ("C0001x", "--to", "c0002"), ("c0001", "--to", "C0001x")], ids=" ".join
)
def test_a_host_to_salvage_is_looked_up_first(
    words: tuple[str, ...], run: Callable[..., Ran], cloud: Cloud, cloud_config: Path
) -> None:
    """A typing error is said before anything is read of a host, with what is near."""
    del cloud
    ran = run("--config", cloud_config, "host", "salvage", *words)
    assert (ran.code, "there is no host 'C0001x'" in ran.err) == (Exit.USAGE, True), ran.err
    assert "Did you mean c0001" in ran.err


def test_a_waiver_is_taken_back_by_what_one_has_at_hand(
    run: Callable[..., Ran], broken_cloud: Cloud, cloud_config: Path
) -> None:
    """Its id, the fingerprint of its finding, or the beginning of either."""
    del broken_cloud
    front = ("--config", cloud_config)
    found = json.loads(run(*front, "audit", "-f", "json", "--settle", "0").out)
    first, second = found[0]["fingerprint"], found[1]["fingerprint"]
    for named in (first, first[:6]):
        assert run(*front, "finding", "waive", first, "--reason", "known").code == Exit.CLEAN
        ran = run(*front, "finding", "unwaive", named, "-f", "json")
        assert (ran.code, json.loads(ran.out)) == (Exit.CLEAN, []), ran.err
    ran = run(*front, "finding", "unwaive", second)
    assert ran.code == Exit.USAGE
    assert "finding waivers" in ran.err
