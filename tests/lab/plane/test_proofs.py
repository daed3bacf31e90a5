# SPDX-License-Identifier: Apache-2.0
"""Every repair by each of its strategies on the real services: broken, found, mended, taken back, mended, and used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from stackmend.lab.plane import Plane
from stackmend.lab.plane.configuration import set_options
from stackmend.model.errors import Exit

from . import harms, ways
from . import using as use
from .proofs import Desk, Proof, Rehearsal, broken, described, pairs, written
from .using import Thing

#: breaks that restart services come first, and of them the one that lets Nova heal; what they leave would be touched
PROOFS = (
    broken("preserve-on-delete-wrong", "keep-port", "db", use.server, restarts=True),
    broken("allocation-orphan", "delete-allocations", "api", use.no_allocation, undo=True, restarts=True),
    broken("allocation-wrong-provider", "move-allocations", "api", use.server, undo=True, restarts=True,
           also=("allocation-orphan", "port-binding-inactive-leftover")),
    Proof("port-binding-inactive-leftover", "drop-inactive-binding", "api", use.server, ways.killed_move, how="service",
          undo=True, restarts=True, also=("allocation-orphan", "allocation-wrong-provider")),
    broken("nova-bdm-cinder-detached", "drop-stale-bdm", "api", use.server_without_volume, restarts=True),
    broken("volume-stuck-detaching", "roll-detaching", "api", use.server_with_volume, undo=True, restarts=True),
    broken("volume-in-use-server-gone", "detach-volume", "api", use.free_volume, restarts=True),
    broken("info-cache-stale-port", "drop-stale-vif", "api", use.server, restarts=True),
    broken("server-wrong-host", "set-server-host", "db", use.server, restarts=True, also=("allocation-orphan",)),
    broken("volume-stuck-error-deleting", "mark-volume-deleted", "api", use.no_volume),
    broken("port-without-server", "release-leftover-port", "api", use.port),
    broken("port-without-server", "release-leftover-port", "db", use.port),
    broken("extra-ports-on-server", "release-leftover-port", "api", use.server_without_port,
           harm=harms.one_nic_too_many),
    broken("extra-ports-on-server", "release-leftover-port", "db", use.server_without_port),
    broken("port-binding-wrong-host", "rebind-port", "api", use.server, undo=True),
    broken("port-binding-wrong-host", "rebind-port", "db", use.bound_server),
    broken("cinder-attached-nova-not", "restore-bdm", "db", use.server_with_volume, harm=harms.unknown_to_nova),
    broken("info-cache-empty", "rebuild-info-cache", "db", use.server, harm=harms.addresses_hidden),
    broken("info-cache-row-missing", "rebuild-info-cache", "db", use.server),
    broken("vif-rows-mismatch", "mend-vif-rows", "db", use.server),
    broken("server-deleted-incompletely", "finish-deletion", "db", use.archived_server),
    broken("server-on-nonexistent-host", "restore-host", "db", use.server),
    broken("volume-deleted-incompletely", "finish-volume-deletion", "db", use.purgeable_volume),
    broken("server-half-purged", "restore-instance-extra", "db", use.server),
    Proof("allocation-orphan", "delete-allocations", "db", use.no_allocation, ways.orphan),
    Proof("allocation-wrong-provider", "move-allocations", "db", use.server, ways.wrong_provider),
    Proof("port-binding-inactive-leftover", "drop-inactive-binding", "db", use.server, ways.bound_twice, how="service",
          harm=harms.not_to_that_host),
    Proof("nova-bdm-cinder-detached", "drop-stale-bdm", "db", use.server_without_volume, ways.stale_mapping,
          harm=harms.listed_but_not_attached),
    Proof("volume-stuck-detaching", "roll-detaching", "db", use.server_with_volume, ways.detaching,
          harm=harms.neither_detached_nor_deleted),
    Proof("volume-stuck-detaching", "detach-volume", "api", use.server_without_volume, ways.detaching_mapping_gone,
          way="mapping-gone"),
    Proof("volume-stuck-detaching", "detach-volume", "db", use.server_without_volume, ways.detaching_attachment_gone,
          way="attachment-gone", also=("nova-bdm-cinder-detached",)),
    Proof("volume-stuck-detaching", "detach-volume", "db", use.free_volume, ways.detaching_both_gone, way="both-gone"),
    Proof("volume-in-use-server-gone", "detach-volume", "db", use.free_volume, ways.volume_of_nobody),
    Proof("info-cache-stale-port", "drop-stale-vif", "db", use.server, ways.stale_port, also=("vif-rows-mismatch",)),
    Proof("volume-stuck-error-deleting", "mark-volume-deleted", "db", use.no_volume, ways.error_deleting,
          harm=harms.undeletable),
    Proof("server-deleted-incompletely", "finish-deletion", "db", use.no_server, ways.marked_deleted, way="old-recipe",
          also=("port-without-server", "allocation-orphan"), harm=harms.deleted_but_running, undo=False),
    Proof("", "keep-port", "db", use.kept_port, ways.novas_port, way="request",
          words=lambda key: ["port", "keep", key["port"]]),
    Proof("", "detach-volume", "api", use.server_without_volume, ways.plain_volume, way="request",
          words=lambda key: ["volume", "detach", key["volume"]]),
    Proof("", "detach-volume", "db", use.server_without_volume, ways.plain_volume, way="request",
          words=lambda key: ["volume", "detach", key["volume"]]),
    Proof("", "release-port", "db", use.released_port, ways.own_port, way="request",
          words=lambda key: ["port", "release", key["port"]]),
    Proof("", "mark-server-deleted", "api", use.no_server, ways.half_deleted, way="request",
          words=lambda key: ["server", "mark-deleted", key["server"]]),
    Proof("", "mark-server-deleted", "db", use.no_server, ways.half_deleted, way="request",
          words=lambda key: ["server", "mark-deleted", key["server"]]),
    Proof("", "purge-server", "db", use.purged_server, ways.long_deleted, way="request",
          words=lambda key: ["server", "purge", key["server"]]),
)  # fmt: skip
#: environment variable that has the table of the docs written anew, by a run of all proofs
WRITE = "STACKMEND_WRITE_PROOFS"
TABLE = Path(__file__).parents[3] / "docs" / "proved.json"
#: the one that needs Nova to be set otherwise while it is mended
HEALER = Proof(
    "info-cache-empty", "rebuild-info-cache", "api", use.unmoved_server, ways.emptied_elsewhere, way="healer"
)
BY_NAME = {proof.name: proof for proof in PROOFS}


@pytest.fixture(scope="module")
def rehearsal(plane: Plane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Rehearsal:
    """All proofs whose tests are asked for (``-k``), made once; each test reads its own answers."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    proofs = [proof for name, proof in BY_NAME.items() if name in asked]
    done = Rehearsal(plane, proofs, Path(tmp_path_factory.mktemp("proofs")))
    done.run()
    if os.environ.get(WRITE):
        known = json.loads(TABLE.read_text())["proofs"] if TABLE.exists() else []
        kept = [line for line in known if line["name"] in BY_NAME and line["name"] not in asked]
        TABLE.write_text(json.dumps(written(done, kept, HEALER), indent=1) + "\n")
    return done


def test_every_strategy_has_a_proof():
    """And no proof is of something that is not there."""
    assert {(proof.repair, proof.strategy) for proof in (*PROOFS, HEALER)} == pairs()
    assert len(BY_NAME) == len(PROOFS)


def test_the_docs_name_every_proof():
    """The committed table is that of a run of these proofs: ``STACKMEND_WRITE_PROOFS=1 pytest`` on this file."""
    listed = [{k: v for k, v in line.items() if k != "undone"} for line in json.loads(TABLE.read_text())["proofs"]]
    assert listed == sorted(map(described, (*PROOFS, HEALER)), key=lambda line: line["name"])


@pytest.mark.parametrize("name", BY_NAME)
def test_a_repair_holds_on_the_real_services(rehearsal, name):
    """The check finds it; that repair by that strategy mends it, and undo and redo it; then the services use it."""
    proof, answer = BY_NAME[name], rehearsal.answers[name]
    if answer.problem is not None:
        raise answer.problem
    if proof.check:
        assert proof.check in answer.found.values(), "the audit did not find it"
    assert answer.planned == (proof.repair, proof.strategy)
    assert answer.clean, "the audit found it again"
    assert answer.undone is not False, "undo did not bring the damage back, or it could not be mended again"
    assert answer.used


def test_audits_find_nothing_else(rehearsal):
    """Neither beside what was broken, nor after everything was used while nova-compute's periodic tasks ran."""
    assert rehearsal.surplus == []
    assert rehearsal.left == []


def test_a_plan_is_done_once(rehearsal):
    """Applied a second time it changes nothing."""
    assert [again["steps"] for again in rehearsal.again.values()] == [0] * len(rehearsal.runs)


def test_novas_own_healer_is_waited_for(plane, tmp_path, rehearsal):
    """Where nova.conf says that it is on, and no port is to survive, the plan is to wait; and Nova heals."""
    desk, host = Desk(plane, tmp_path), plane.hosts[-1]
    healing = {"DEFAULT": {"heal_instance_info_cache_interval": 2}}
    thing = Thing(plane, HEALER.make(plane))
    before = desk.audit()
    found = [mark for mark, f in before.items() if thing.concerns(f) and f["check"] == HEALER.check]
    assert len(found) == 1

    more = plane.layout.configuration / "nova.conf.d"
    more.mkdir()
    try:
        set_options(more / "healing.conf", healing)
        plan = desk.plan("healer", "api", [thing.server])
        plane.configure(f"compute-{host}", healing)
        plane.stop(f"nova-compute-{host}")
        plane.start(f"nova-compute-{host}")
        assert desk.apply(plan, (Exit.REPAIRED, Exit.CLEAN))["done"] == 1
    finally:
        shutil.rmtree(more)
        plane.reset_options()
        plane.up()

    assert found[0] not in desk.audit()
    HEALER.use(thing)
