# SPDX-License-Identifier: Apache-2.0
"""Names of projects where Keystone's database is not configured, and its API is."""

from __future__ import annotations

from dataclasses import replace

from stackmend.app.names import known, of_actions
from stackmend.config.settings import Config
from stackmend.model.plan import Unrepaired
from stackmend_lab.cloud import Cloud

from .fake import Fake, Fault


def _left(server: str, other: str) -> Unrepaired:
    return Unrepaired(
        check="c", fingerprint="f", resource_type="server", resource_id=server, message="", reason=f"server {other}"
    )


def test_projects_are_named_by_the_api(built: Cloud, config: Config, fake: Fake) -> None:
    """What an action is about and what it mentions has the name of its project; without an answer, its id."""
    one, other = built.rows("cell:cell1", "SELECT * FROM instances WHERE deleted = 0 LIMIT 2")
    wanted = list(of_actions([_left(one["uuid"], other["uuid"])]))
    whole = known(config, wanted)
    assert {whole["server", s["uuid"]].name for s in (one, other)} == {one["display_name"], other["display_name"]}
    databases = {name: address for name, address in config.databases.items() if name != "keystone"}
    assert known(replace(config, databases=databases), wanted) == whole
    assert any("/projects/" in seen.path for seen in fake.seen)
    fake.faults += [Fault("GET", "/projects/", "refuse", status=403)] * 10
    assert known(replace(config, databases=databases), wanted)["server", one["uuid"]].project == one["project_id"]
    fake.faults.clear()


def test_a_cloud_that_cannot_be_read_has_no_names(config: Config) -> None:
    """That is no reason not to show a plan."""
    assert known(replace(config, databases={}, cells={}), [("server", "s")]) == {}
