# SPDX-License-Identifier: Apache-2.0
"""Every repair by each of its strategies on the real services: broken, found, mended, undone, mended again, used."""

from __future__ import annotations

import json
import shutil

import pytest

from stackmend.engine.auditing import catalogue
from stackmend.model.errors import Exit
from stackmend_lab import plants
from stackmend_lab.control_plane.configuration import set_options

from .proofs import TABLE, Desk, described, pairs
from .repairs import ALL, BY_NAME, ELSEWHERE, HEALER, LEFT
from .using import Thing


def test_every_strategy_has_a_proof():
    """Every strategy of every repair has a proof, or its plant says why the lab has none; no proof is of another."""
    proved = {(proof.repair, proof.strategy) for proof in (*ALL, HEALER)}
    assert proved <= pairs() - ELSEWHERE
    checks = {catalogue.repairs()[repair].checks[0] for repair, _ in pairs() - ELSEWHERE - proved}
    assert checks == set(plants.not_on_lab())
    assert len(BY_NAME) == len(ALL)


def test_the_docs_name_proofs_that_were_run():
    """The committed table has only what a run has held, and says of each proof what it is now.

    ``STACKMEND_WRITE_PROOFS=1 pytest`` on this file writes it; what fails or is not run is not in it.
    """
    listed = [{k: v for k, v in line.items() if k != "undone"} for line in json.loads(TABLE.read_text())["proofs"]]
    known = {line["name"]: line for line in map(described, (*ALL, HEALER))}
    assert listed == [known.get(line["name"]) for line in listed]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LEFT else name for name in BY_NAME]
)
def test_a_repair_holds_on_the_real_services(rehearsal, name):
    """The check finds it; the repair mends it by that strategy, undo reverts it, redo mends it, the services use it."""
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
    """Nothing is found but what was broken, nor after everything was used while nova-compute's periodic tasks ran."""
    assert rehearsal.surplus == []
    assert rehearsal.left == []


def test_a_plan_is_done_once(rehearsal):
    """Applied a second time, a plan changes nothing."""
    assert rehearsal.runs
    assert [again["steps"] for again in rehearsal.again] == [0] * len(rehearsal.runs)


def test_novas_own_healer_is_waited_for(plane, tmp_path, rehearsal):
    """If nova.conf enables the healer and no port must survive, the plan is to wait, and Nova heals the cache."""
    desk, host = Desk(plane, tmp_path), plane.hosts[-1]
    healing = {"DEFAULT": {"heal_instance_info_cache_interval": 2}}
    thing = Thing(plane, HEALER.make(plane))
    before = desk.audit(HEALER.check)
    found = [mark for mark, finding in before.items() if thing.concerns(finding)]
    assert len(found) == 1

    more = plane.layout.configuration / "nova.conf.d"
    more.mkdir()
    try:
        set_options(more / "healing.conf", healing)
        plan = desk.plan("healer", "api", [before[found[0]]])
        plane.configure(f"compute-{host}", healing)
        plane.stop(f"nova-compute-{host}")
        plane.start(f"nova-compute-{host}")
        assert desk.apply(plan, (Exit.REPAIRED, Exit.CLEAN))["done"] == 1
    finally:
        shutil.rmtree(more)
        plane.reset_options()
        plane.up()

    assert found[0] not in desk.audit(HEALER.check)
    HEALER.use(thing)
