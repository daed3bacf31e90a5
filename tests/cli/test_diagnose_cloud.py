# SPDX-License-Identifier: Apache-2.0
"""``diagnose`` with the databases of a cloud: actions, faults and findings stand in the same timeline as logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server

from .test_road import conforms

REQUEST = "req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11"


@pytest.fixture
def stackmend(run: Any, cloud_config: Path) -> Any:
    """Run a command on the cloud."""
    return lambda *argv: run("--config", cloud_config, *argv)


def failed(cloud: Cloud) -> Server:
    """A server whose build failed on c-other and went well on its own host, as Nova records it."""
    server = cloud.pick("active")
    database, when = server.database, "2026-11-29 12:00:00"
    cloud.insert(
        database, "instance_actions", instance_uuid=server.uuid, action="create", request_id=REQUEST, start_time=when,
        created_at=when, deleted=0,
    )  # fmt: skip
    sql = "SELECT id FROM instance_actions WHERE request_id = :r"
    (action,) = cloud.rows(database, sql, {"r": REQUEST})
    for host, result in (("c-other", "Error"), (server.host, "Success")):
        cloud.insert(
            database, "instance_actions_events", action_id=action["id"], event="compute__do_build_and_run_instance",
            host=host, result=result, start_time=when, finish_time="2026-11-29 12:00:05", deleted=0,
            traceback="Traceback\npassword=S3cret" if result == "Error" else None,
        )  # fmt: skip
    cloud.insert(
        database, "instance_faults", instance_uuid=server.uuid, code=500, message="Build failed", host="c-other",
        details="nova.exception.RescheduledException: Build of instance was re-scheduled: no", created_at=when,
        deleted=0,
    )  # fmt: skip
    return server


def test_rows_alone_tell(cloud: Cloud, stackmend: Any) -> None:
    """Without any log: by name, with actions, their events, the fault and the ports; secrets in them are masked."""
    server = failed(cloud)
    name = cloud.rows(server.database, "SELECT display_name FROM instances WHERE uuid = :u", {"u": server.uuid})
    done = stackmend("diagnose", "server", name[0]["display_name"], "--no-audit", "-f", "json")
    found = conforms(done.out, "diagnosis")
    assert done.code == Exit.FINDINGS
    assert found["id"] == server.uuid
    assert [cause["cause"] for cause in found["causes"]] == ["build-rescheduled"]
    assert {"action", "event", "fault", "object"} <= {entry["kind"] for entry in found["timeline"]}
    related = {one["id"]: one["kind"] for one in found["related"]}
    assert related[REQUEST] == "request"
    assert {related.get(port) for port in server.ports} == {"port"}
    assert "S3cret" not in done.out


def test_logs_and_rows_stand_together(cloud: Cloud, stackmend: Any, tmp_path: Path) -> None:
    """Requests that only Nova's actions name are found in logs that do not name the server."""
    server = failed(cloud)
    log = tmp_path / "logs" / "n1" / "neutron-server.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        f"2026-11-29 12:00:03.000 3 ERROR neutron.plugins.ml2.managers [{REQUEST} req-{server.ports[0]} a b - - - -] "
        f"Failed to bind port {server.ports[0]} on host c-other for vnic_type normal using segments []\n"
    )
    found = conforms(
        stackmend("diagnose", "server", server.uuid, "--logs", log.parent.parent, "--no-audit", "-f", "json").out,
        "diagnosis",
    )
    assert [(c["cause"], c["consequence_of"]) for c in found["causes"]] == [
        ("port-binding-failed", None), ("build-rescheduled", "port-binding-failed"),
    ]  # fmt: skip
    times = [entry["at"] for entry in found["timeline"] if entry["at"]]
    assert times == sorted(times)


def test_findings_are_a_part_of_it(broken_cloud: Cloud, stackmend: Any) -> None:
    """What the checks say of the object stands at the end."""
    done = stackmend("audit", "--check", "volume-stuck-detaching", "-f", "json")
    volume = conforms(done.out, "findings")[0]["key"]["volume"]
    found = conforms(stackmend("diagnose", "volume", volume, "-f", "json").out, "diagnosis")
    said = [entry["text"] for entry in found["timeline"] if entry["kind"] == "finding"]
    assert any(text.startswith("volume-stuck-detaching: ") for text in said)


@pytest.mark.parametrize("kind", ["port", "volume", "image", "host"])
def test_other_objects_of_a_cloud(cloud: Cloud, stackmend: Any, kind: str) -> None:
    """Each has a story of its own times, and no cause where nothing is wrong."""
    server = cloud.pick("volume_backed") if kind == "volume" else cloud.pick("active")
    names = {
        "port": server.ports[0],
        "volume": next(iter(server.volumes), ""),
        "image": cloud.rows("glance", "SELECT id FROM images")[0]["id"],
        "host": server.host,
    }
    done = stackmend("diagnose", kind, names[kind], "--no-audit", "-f", "json")
    found = conforms(done.out, "diagnosis")
    assert found["timeline"]
    assert found["causes"] == []
    assert done.code == Exit.CLEAN


def test_a_name_that_nothing_has(cloud: Cloud, stackmend: Any) -> None:
    """It is a typing error, not a healthy server."""
    done = stackmend("diagnose", "server", "no-such-server")
    assert done.code == Exit.USAGE
    assert "there is no server" in done.err
