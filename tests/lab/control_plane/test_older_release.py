# SPDX-License-Identifier: Apache-2.0
"""The services of an older release: an audit, every repair by API, and what their APIs do not offer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackmend.app.apis import SystemClock
from stackmend.app.audits import audit
from stackmend.cli.shell import main
from stackmend.config.settings import load
from stackmend.drivers.api.operations import implementations
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.session import ApiSession
from stackmend.model.errors import Exit, SourceError
from stackmend.model.operations.compute import VifDeleted
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.releases import installed

from .proofs import TABLE, Desk, Rehearsal
from .repairs import ALL
from .using import Thing

#: what holds on the newest, and is to hold here as well
HELD = {line["name"] for line in json.loads(TABLE.read_text())["proofs"]}
BY_API = {proof.name: proof for proof in ALL if proof.strategy == "api" and proof.name in HELD}
#: the highest that its services offer, and what newer ones offer that stackmend makes use of
HIGHEST = {"compute": (2, 96), "block-storage": (3, 71), "placement": (1, 39)}
NEWER = ("2.97", "2.98", "2.100")


@pytest.fixture(scope="module")
def proved(older: Plane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Rehearsal:
    """The requested proofs by API, gone through once."""
    using = [item for item in request.session.items if "proved" in getattr(item, "fixturenames", ())]
    asked = {item.callspec.params["name"] for item in using if hasattr(item, "callspec")} or set(BY_API)
    done = Rehearsal(older, [BY_API[name] for name in BY_API if name in asked], tmp_path_factory.mktemp("older"))
    done.run()
    return done


@pytest.fixture
def reading(older: Plane) -> Iterator[ApiReading]:
    """Reads by the account of the lab."""
    session = ApiSession.open("lab", older.clouds_yaml)
    yield ApiReading(session, SystemClock())
    session.close()


def test_a_healthy_cloud_of_it_is_clean(older: Plane) -> None:
    """Every check has an answer, of rows that services of that release wrote, and finds nothing."""
    report = audit(load(str(older.toml)), settle=0)

    assert installed(older.layout.services) == older.layout.release
    assert report.incomplete == {}
    assert report.findings == report.young == ()
    assert all(older.layout.release in source.releases for source in report.manifest.sources)


def test_what_newer_services_offer_is_not_asked_for(reading: ApiReading) -> None:
    """Microversions are those of the release; a newer one is not offered, and where it is asked for it is refused."""
    found = {service: reading._session.versions(service) for service in HIGHEST}

    assert {service: offered and offered[1] for service, offered in found.items()} == HIGHEST
    for newer in NEWER:
        assert not reading.offers("compute", newer)
        with pytest.raises(SourceError, match=rf"answered 406 .*{newer} is not supported .* maximum is 2\.96"):
            reading.get("compute", "/servers", newer)


def test_no_operation_is_lacking(reading: ApiReading) -> None:
    """All of stackmend's operations are offered by the release."""
    assert {of.NAME: why for of in implementations() if (why := reading.lacks(of))} == {}


def test_what_is_lacking_is_refused_before_anything_is_planned(older: Plane, tmp_path: Path) -> None:
    """By an endpoint of Nova without microversions (v2, which it still serves) nothing is planned, and it says why."""
    proof = BY_API["drop-stale-vif-api-freed"]
    thing = Thing(older, proof.make(older))
    desk = Desk(older, tmp_path)
    (finding,) = (found for found in desk.audit(proof.check).values() if thing.concerns(found))
    legacy = older.folder / "legacy.toml"  # beside the other one: it names files by relative paths
    legacy.touch(mode=0o600)
    legacy.write_text(older.toml.read_text().replace("clouds.yaml", str(_without_microversions(older, tmp_path))))
    out = tmp_path / "refused.json"
    words = ("plan", "create", "--via", "api", "--finding", finding["fingerprint"], "--out", str(out))

    assert main(["--config", str(legacy), *words]) == Exit.FINDINGS

    plan = json.loads(out.read_text())["plan"]
    why = "the API cannot be used: compute of cloud lab has no microversions: GET /os-services needs 2.53"
    assert plan["actions"] == []
    assert [one["reason"].partition(";")[0] for one in plan["not_repaired"]] == [why]
    planned = json.loads(desk.plan("planned", "api", [finding]).read_text())["plan"]["actions"]
    assert [action["repair"] for action in planned] == [proof.repair]


def test_an_operation_that_is_lacking_names_its_microversion(older: Plane, tmp_path: Path) -> None:
    """By the same endpoint of Nova: each operation says what it needs; those of other services are offered."""
    session = ApiSession.open("lab", _without_microversions(older, tmp_path))
    reading = ApiReading(session, SystemClock())

    lacking = {of: why for of in implementations() if (why := reading.lacks(of))}

    session.close()
    why = "vif-deleted needs microversion 2.1 of compute (Train or before), this cloud offers none."
    assert lacking[VifDeleted] == why
    assert {of.SERVICE for of in lacking} == {"compute"}


@pytest.mark.parametrize("name", BY_API)
def test_a_repair_holds_on_its_services(proved: Rehearsal, name: str) -> None:
    """As in test_proofs."""
    proof, answer = BY_API[name], proved.answers[name]
    if answer.problem is not None:
        raise answer.problem
    if proof.check:
        assert proof.check in answer.found.values(), "the audit did not find it"
    assert answer.planned == (proof.repair, "api")
    assert answer.clean, "the audit found it again"
    assert answer.undone is not False, "undo did not bring the damage back, or it could not be mended again"
    assert answer.used


def test_nothing_else_is_found(proved: Rehearsal) -> None:
    """Nothing but what was broken, and nothing after everything was used; a plan that is applied again does nothing."""
    assert proved.surplus == []
    assert proved.left == []
    assert [again["steps"] for again in proved.again] == [0] * len(proved.runs)


def _without_microversions(older: Plane, folder: Path) -> Path:
    """clouds.yaml with an endpoint of Nova that has none."""
    clouds: dict[str, Any] = yaml.safe_load(older.clouds_yaml.read_text())
    clouds["clouds"]["lab"]["compute_endpoint_override"] = older.layout.endpoint("nova") + "/v2"
    path = folder / "clouds.yaml"
    path.write_text(yaml.safe_dump(clouds))
    return path
