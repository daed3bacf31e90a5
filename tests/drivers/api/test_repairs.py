# SPDX-License-Identifier: Apache-2.0
"""Every repair that an API can do, from the finding to the audit that finds nothing any more, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stackmend.app import audits, plans, runs
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.repair import Repair
from stackmend.model.step import ApiCall, StepState, irreversible
from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import cache, keep, other_host, write
from stackmend_lab.plants.cinder import (
    volume_in_use_server_gone,
    volume_status_attachment_mismatch,
    volume_stuck_detaching,
    volume_stuck_error_deleting,
)
from stackmend_lab.plants.glance import image_id_reuse_risk
from stackmend_lab.plants.keystone import resource_user_missing
from stackmend_lab.plants.neutron import (
    dhcp_port_stale,
    extra_ports_on_server,
    port_binding_duplicate_active,
    port_binding_inactive_leftover,
    port_binding_missing,
    port_binding_wrong_host,
    port_without_server,
    qos_or_child_row_orphan,
    router_port_drift,
)
from stackmend_lab.plants.neutron.addresses import floating_ip_port_orphan
from stackmend_lab.plants.nova import info_cache_stale_port, nova_bdm_cinder_detached
from stackmend_lab.plants.placement import allocation_missing, allocation_orphan, allocation_wrong_provider

from ...support.planning import plan_for
from .fake import Fake

Plant = Callable[[Cloud], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """Damage, what is sent to mend it (method and the end of the path), and whether it can be taken back."""

    check: str
    plant: Plant
    sent: tuple[str, ...]
    back: tuple[str, ...] = ()
    young: bool = False  #: what is put back is too young to be found again


CASES = {
    "a port that its owner made": Case(
        "port-without-server", port_without_server.VARIANTS["unknown"], ("PUT ports/{port}",), ("PUT ports/{port}",)
    ),
    "a port that anybody may have made": Case(
        "port-without-server", port_without_server.plant,
        ("PUT ports/{port}", "PUT ports/{port}/tags/stackmend-unbound"),
        ("DELETE ports/{port}/tags/stackmend-unbound", "PUT ports/{port}"),
    ),
    "a port that Nova made": Case(
        "port-without-server", port_without_server.VARIANTS["of_the_build"], ("DELETE ports/{port}",)
    ),
    "a leftover on a living server": Case(
        "extra-ports-on-server", extra_ports_on_server.plant,
        ("PUT ports/{port}", "PUT ports/{port}/tags/stackmend-unbound"),
        ("DELETE ports/{port}/tags/stackmend-unbound", "PUT ports/{port}"),
    ),
    "a NIC whose port is free": Case(
        "info-cache-stale-port", info_cache_stale_port.VARIANTS["freed"], ("POST os-server-external-events",)
    ),
    "a port bound to another host": Case(
        "port-binding-wrong-host", port_binding_wrong_host.plant, ("PUT ports/{port}",), ("PUT ports/{port}",)
    ),
    "a binding that a move has left": Case(
        "port-binding-inactive-leftover", port_binding_inactive_leftover.plant,
        ("DELETE ports/{port}/bindings/{left_host}",), ("POST ports/{port}/bindings",),
    ),
    "a port of a floating IP that is gone": Case(
        "floating-ip-port-orphan", floating_ip_port_orphan.plant, ("DELETE ports/{port}",)
    ),
    "a DHCP port that no agent uses": Case("dhcp-port-stale", dhcp_port_stale.plant, ("DELETE ports/{port}",)),
    "a port whose router is gone": Case(
        "router-port-drift", router_port_drift.VARIANTS["router_gone"], ("DELETE ports/{port}",)
    ),
    "a port without a binding": Case(
        "port-binding-missing", port_binding_missing.plant, ("POST ports/{port}/bindings",),
        ("DELETE ports/{port}/bindings/",),
    ),
    "a port that is bound twice": Case(
        "port-binding-duplicate-active", port_binding_duplicate_active.plant, ("DELETE ports/{port}/bindings/",)
    ),
    "an allocation of nobody": Case(
        "allocation-orphan", allocation_orphan.plant, ("PUT allocations/{consumer}",), ("PUT allocations/{consumer}",),
        young=True,
    ),
    "an allocation of the wrong host": Case(
        "allocation-wrong-provider", allocation_wrong_provider.plant, ("PUT allocations/{server}",),
        ("PUT allocations/{server}",),
    ),
    "a server without an allocation": Case(
        "allocation-missing", allocation_missing.plant, ("PUT allocations/{server}",), ("PUT allocations/{server}",)
    ),
    "a volume that is still attached": Case(
        "volume-stuck-detaching", volume_stuck_detaching.plant, ("POST volumes/{volume}/action",),
        ("POST volumes/{volume}/action",),
    ),
    "a volume that Nova has let go of": Case(
        "volume-stuck-detaching", volume_stuck_detaching.VARIANTS["mapping_gone"], ("DELETE attachments/",)
    ),
    "a volume with nothing but a status": Case(
        "volume-stuck-detaching", volume_stuck_detaching.VARIANTS["both_gone"], ("POST volumes/{volume}/action",)
    ),
    "a volume of a server that is gone": Case(
        "volume-in-use-server-gone", volume_in_use_server_gone.plant, ("DELETE attachments/",)
    ),
    "a volume that was set free by hand": Case(
        "volume-status-attachment-mismatch", volume_status_attachment_mismatch.plant,
        ("POST volumes/{volume}/action",),
    ),
    "a volume that nobody has": Case(
        "volume-status-attachment-mismatch", volume_status_attachment_mismatch.VARIANTS["nobody"],
        ("POST volumes/{volume}/action",),
    ),
    "a volume that could not be deleted": Case(
        "volume-stuck-error-deleting", volume_stuck_error_deleting.plant,
        ("POST volumes/{volume}/action", "DELETE volumes/{volume}"),
    ),
    "a network shared with a project that is gone": Case(
        "qos-or-child-row-orphan", qos_or_child_row_orphan.VARIANTS["shared_with_nobody"],
        ("DELETE rbac-policies/{row}",),
    ),
    "key pairs of a user who is gone": Case(
        "resource-user-missing", resource_user_missing.plant,
        ("DELETE user_id={user}", "DELETE user_id={user}"),
    ),
    # once its placeholder is deleted Glance remembers the id again
    "an image that Glance has forgotten": Case(
        "image-id-reuse-risk", image_id_reuse_risk.plant, ("POST images",), ("DELETE images/{image}",), young=True
    ),
}  # fmt: skip


def planned(config: Config, check: str, **options: Any) -> Plan:
    """A plan for what one check finds."""
    return plan_for(config, checks=(check,), settle=0, **options)


def found(config: Config, check: str) -> list[dict[str, Any]]:
    """What one check finds."""
    report = audits.audit(config, checks=(check,), settle=0)
    assert report.incomplete == {}
    return [dict(finding.key) for finding in report.findings]


def matches(changes: list[str], wanted: tuple[str, ...], key: dict[str, Any]) -> bool:
    """Whether these requests were sent, in this order, and no others."""
    ends = [tuple(text.format(**key).split(" ", 1)) for text in wanted]
    return len(changes) == len(ends) and all(
        change.startswith(method) and end in change for change, (method, end) in zip(changes, ends, strict=True)
    )


@pytest.mark.parametrize("name", CASES)
def test_an_api_mends_it(built: Cloud, fake: Fake, config: Config, name: str) -> None:
    """The plan holds API calls alone; they are made once, the check is content, and what has an inverse goes back."""
    case = CASES[name]
    key = case.plant(built)
    assert key in found(config, case.check)
    plan = planned(config, case.check, via="api")
    action = next(a for a in plan.runnable if dict(a.key) == key)
    plan = replace(plan, actions=(action,))
    assert action.strategy == "api"
    assert all(isinstance(step, ApiCall) for step in action.steps)
    assert action.irreversible is (not case.back)
    fake.seen.clear()
    result = runs.apply(config, plan, accept=("all",))
    assert (result.exit, result.notes) == (Exit.REPAIRED, ())
    assert key not in found(config, case.check)
    assert matches(fake.changes(), case.sent, key)
    entries = runs.show_run(config, result.run)[2]
    done = [entry for entry in entries if entry.state is StepState.DONE]
    assert len(done) == len(action.steps)
    assert all("req-" in entry.note for entry in done)
    fake.seen.clear()
    back = runs.undo(config, result.run)
    assert matches(fake.changes(), case.back, key)
    lost = [step for step in action.steps if irreversible(step)]
    assert back.exit is (Exit.STOPPED if lost else Exit.CLEAN)
    assert (key in found(config, case.check)) is (bool(case.back) and not case.young)


def test_no_api_takes_the_nic_of_a_port_that_is_lost(built: Cloud, config: Config) -> None:
    """Nova's host would unplug it, and nothing would remember the port: neither way of mending it uses an API."""
    key = info_cache_stale_port.plant(built)
    for repair, reason in (("drop-stale-vif", "its host would unplug the NIC"), ("restore-port", "an id of its own")):
        plan = planned(config, "info-cache-stale-port", via="api", repairs=(repair,))
        assert key["server"] not in {action.resource_id for action in plan.actions}
        assert [reason in left.reason for left in plan.not_repaired if left.resource_id == key["server"]] == [True]


def test_key_pairs_that_nova_finds_under_no_address(built: Cloud, config: Config) -> None:
    """None is deleted through the API while the other stays: all are deleted in the database, or none."""
    key = resource_user_missing.no_address(built)
    alone = planned(config, "resource-user-missing", via="api")
    assert key["user"] not in {action.resource_id for action in alone.actions}
    (left,) = (left for left in alone.not_repaired if left.resource_id == key["user"])
    assert "Nova finds no key pair by the name 'Büro'" in left.reason
    either = planned(config, "resource-user-missing", allow_db=True)
    assert [a.strategy for a in either.runnable if a.resource_id == key["user"]] == ["db"]


def allocations(cloud: Cloud, consumer: str) -> list[dict[str, Any]]:
    """What a consumer holds."""
    sql = "SELECT resource_provider_id, resource_class_id, used FROM allocations WHERE consumer_id = :c ORDER BY 1, 2"
    return cloud.rows("placement", sql, {"c": consumer})


def test_allocations_come_back_as_they_were(built: Cloud, config: Config) -> None:
    """Undo gives the consumer the same amounts of the same providers."""
    consumer = allocation_orphan.plant(built)["consumer"]
    before = allocations(built, consumer)
    result = runs.apply(config, planned(config, "allocation-orphan", via="api"))
    assert (before != [], allocations(built, consumer)) == (True, [])
    assert runs.undo(config, result.run).exit is Exit.CLEAN
    assert allocations(built, consumer) == before
    built.delete("placement", "allocations", {"consumer_id": consumer})


def bound(cloud: Cloud, server: Server) -> set[str]:
    """The hosts that the server's ports are bound to."""
    sql = "SELECT host FROM ml2_port_bindings WHERE port_id = :p"
    return {row["host"] for port in server.ports for row in cloud.rows("neutron", sql, {"p": port})}


def test_a_lane_of_rows_and_calls(built: Cloud, fake: Fake, config: Config) -> None:
    """Where the server is stands in rows alone; its allocation and its ports move by the APIs, and all of it back."""
    server = built.pick("active")
    there = other_host(built, server)
    asked = {"server": server.uuid, "host": there, "overrule": str(server.host)}
    plan = plans.request(config, "set-server-host", asked, allow_db=True)
    kinds = [step.kind for step in plan.runnable[0].steps if step.kind in ("update", "api")]
    assert kinds == ["update", "api", *["api"] * len(server.ports)]
    assert "no API shows where the guest is" in plan.runnable[0].instead
    rows = built.dump()
    result = runs.apply(config, plan, accept=("all",))
    assert (result.exit, result.notes) == (Exit.REPAIRED, ())
    host = "SELECT host FROM ml2_port_bindings WHERE port_id = :p"
    assert [r["host"] for p in server.ports for r in built.rows("neutron", host, {"p": p})] == [there] * len(
        server.ports
    )
    assert server.uuid not in {key["server"] for key in found(config, "allocation-wrong-provider")}
    back = runs.undo(config, result.run)
    assert (back.exit, back.notes) == (Exit.CLEAN, ())
    assert [r["host"] for p in server.ports for r in built.rows("neutron", host, {"p": p})] == [server.host] * len(
        server.ports
    )
    assert {k for k, v in built.dump().items() if v != rows.get(k)} <= {
        ("neutron", "ml2_port_bindings"), ("neutron", "ml2_port_binding_levels"), ("placement", "allocations"),
        ("placement", "consumers"), ("neutron", "standardattributes"),  # Neutron counts revisions there
    }  # fmt: skip
    assert allocations(built, server.uuid) != []


def test_a_stale_mapping_goes_with_a_reboot_only_where_that_is_asked_for(
    built: Cloud, fake: Fake, config: Config
) -> None:
    """Left to itself the planner takes the row; with --via api the guest is rebooted, once, after consent by name."""
    key = nova_bdm_cinder_detached.plant(built)
    check = "nova-bdm-cinder-detached"
    reason = next(left.reason for left in planned(config, check).not_repaired if left.resource_id == key["server"])
    assert "needs --allow-db" in reason
    assert "only a hard reboot" in reason
    by_row = next(a for a in planned(config, check, allow_db=True).runnable if dict(a.key) == key)
    assert (by_row.strategy, "only a hard reboot" in by_row.instead) == ("db", True)
    plan = planned(config, check, via="api")
    assert plan.needs_consent == ("drop-stale-bdm",)
    fake.seen.clear()
    assert runs.apply(config, plan, accept=("drop-stale-bdm",)).exit is Exit.REPAIRED
    assert fake.changes() == [f"POST /compute/v2.1/servers/{key['server']}/action"]
    assert found(config, check) == []


def test_a_server_that_hangs_in_its_deletion(built: Cloud, fake: Fake, config: Config) -> None:
    """Nova ignores a second delete until its state is reset: first that, then by force."""
    server = built.pick("active")
    built.update(server.database, "instances", {"uuid": server.uuid}, task_state="deleting")
    plan = plans.request(config, "mark-server-deleted", {"server": server.uuid}, via="api")
    assert [step.name for step in plan.runnable[0].steps if isinstance(step, ApiCall)] == [
        "reset-state", "force-delete",
    ]  # fmt: skip
    fake.seen.clear()
    assert runs.apply(config, plan, accept=("all",)).exit is Exit.REPAIRED
    bodies = [seen.body for seen in fake.sent("POST", "/action")]
    assert bodies == [{"os-resetState": {"state": "error"}}, {"forceDelete": None}]


HEALING = "DEFAULT.heal_instance_info_cache_interval"


def test_novas_own_healer_is_waited_for(built: Cloud, fake: Fake, config: Config) -> None:
    """Where it is on and no port is to be kept: nothing is sent, and the step is done when the addresses are back."""
    config = replace(config, nova_settings={HEALING: "5"})
    server = built.pick("active")
    for port in server.ports:
        keep(built, server, port, False)
    whole = cache(built, server)["network_info"]
    write(built, server, "[]")
    plan = plans.request(config, "rebuild-info-cache", {"server": server.uuid}, via="api")
    assert "wait until Nova shows" in plan.runnable[0].statements[0]
    fake.seen.clear()
    row = {"instance_uuid": server.uuid}

    def heal(looks: int) -> None:
        if looks:
            fake.after("GET", lambda: heal(looks - 1), server.uuid)
        else:
            fake.cloud.update(server.database, "instance_info_caches", row, network_info=whole)

    heal(3)
    assert runs.apply(config, plan).exit is Exit.CLEAN
    assert fake.changes() == []
    assert len(fake.sent("GET", server.uuid)) >= 3


def test_novas_own_healer_is_not_waited_for_where_it_would_lose_something(built: Cloud, config: Config) -> None:
    """It marks every port to be deleted with the server: a port that its owner made is a reason for the row."""
    config = replace(config, nova_settings={HEALING: "5"})
    server = built.pick("premade_port")
    write(built, server, "[]")
    asked = {"server": server.uuid}
    (left,) = plans.request(config, "rebuild-info-cache", asked).not_repaired
    assert f"would mark port {server.ports[0]} to be deleted with the server" in left.reason
    (action,) = plans.request(config, "rebuild-info-cache", asked, allow_db=True).runnable
    assert action.strategy == "db"


def test_a_back_end_that_goes_on_refusing(built: Cloud, fake: Fake, config: Config) -> None:
    """Delete, then delete by force; when both come to nothing the lane has failed and says what Cinder says."""
    key = volume_stuck_error_deleting.plant(built)
    plan = planned(config, "volume-stuck-error-deleting", via="api")
    fake.stubborn = True
    fake.seen.clear()
    result = runs.apply(config, plan, accept=("all",))
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert "error_deleting" in result.notes[0]
    assert [s.body for s in fake.sent("POST", key["volume"])][-1] == {"os-force_delete": {}}


@pytest.mark.parametrize("repair", [r for r in catalogue.repairs().values() if "api" not in r.strategies])
def test_a_repair_that_no_api_can_do_says_why(repair: Repair) -> None:
    """The reason is part of the repair, for the plan to show."""
    assert repair.no_api
    assert next(iter(repair.strategies)) == "db"


@pytest.mark.parametrize("repair", [r for r in catalogue.repairs().values() if "api" in r.strategies])
def test_an_api_comes_before_rows(repair: Repair) -> None:
    """Public APIs are preferred (RW1)."""
    assert list(repair.strategies) == ["api", "db"]
    assert not repair.no_api
