# SPDX-License-Identifier: Apache-2.0
"""An audit of the real services by their APIs alone, and what they say of what their databases showed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.app.audits import audit
from stackmend.app.config import Config, load
from stackmend.lab import breaks
from stackmend.lab.plane import Plane
from stackmend.model.audit import Outcome, Report
from stackmend.model.errors import Exit
from stackmend.model.finding import Says, State

#: break -> the check that finds it by APIs alone. An empty network cache and one whose row is gone look alike there
SHOWN = {
    "allocation-orphan": "allocation-orphan",
    "allocation-wrong-provider": "allocation-wrong-provider",
    "cinder-attached-nova-not": "cinder-attached-nova-not",
    "info-cache-empty": "info-cache-empty",
    "info-cache-row-missing": "info-cache-empty",
    "port-binding-wrong-host": "port-binding-wrong-host",
    "port-without-server": "port-without-server",
    "server-on-nonexistent-host": "server-on-nonexistent-host",
    "server-wrong-host": "server-wrong-host",
    "volume-in-use-server-gone": "volume-in-use-server-gone",
    "volume-stuck-detaching": "volume-stuck-detaching",
    "volume-stuck-error-deleting": "volume-stuck-error-deleting",
}


def by_api(plane: Plane, folder: Path) -> Config:
    """An account of the lab, and nothing else."""
    path = folder / "api.toml"
    accounts = f'[api]\ncloud = "lab"\nclouds = "{plane.clouds_yaml}"\n'
    path.write_text(f'{accounts}[state]\ndirectory = "{folder / "state"}"\n', encoding="utf-8")
    return load(str(path))


def marks(report: Report, names: set[str] | None = None) -> set[str]:
    """Fingerprints of the findings of these checks, or of all."""
    return {finding.fingerprint for finding in report.findings if names is None or finding.check in names}


def test_a_lab_in_use(plane: Plane, tmp_path: Path) -> None:
    """What the APIs can answer is what the databases answer; the rest is named. An audit asks for nothing but reads."""
    theirs = audit(by_api(plane, tmp_path), settle=0)
    ours = audit(load(str(plane.toml)), settle=0, use_api=False)
    whole = {name for name, result in theirs.checks.items() if result.outcome is Outcome.OK}
    assert len(whole) == 9
    assert theirs.exit is Exit.INCOMPLETE
    assert not theirs.manifest.failed()
    rows = {f.key["server"] for f in ours.findings if f.check == "info-cache-row-missing-or-deleted"}
    alike = {f.fingerprint for f in theirs.findings if f.check == "info-cache-empty" and f.key["server"] in rows}
    assert marks(theirs, whole) - alike == marks(ours, whole)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_break(plane: Plane, tmp_path: Path, name: str) -> None:
    """A break that APIs can show is found by them alone, and nothing besides that databases do not find as well."""
    config = by_api(plane, tmp_path)
    before = marks(audit(config, settle=0))
    try:
        key = breaks.make(plane, name)
        after = audit(config, settle=0)
        both = audit(load(str(plane.toml)), settle=0)
    finally:
        breaks.heal(plane)
    new = [finding for finding in after.findings if finding.fingerprint not in before]
    found = [finding for finding in new if finding.check == SHOWN[name]]
    expected = {column: value for column, value in key.items() if found and column in found[0].key}
    assert [(finding.key, finding.state) for finding in found] == [(expected, State.CONFIRMED)]
    known = breaks.modules()[name].BREAK
    assert {finding.check for finding in new} <= {SHOWN[name], *known.also}
    witnessed = [finding for finding in both.findings if (finding.check, dict(finding.key)) == (known.check, key)]
    assert [finding.state for finding in witnessed] == [State.CONFIRMED]
    assert [finding.api.says for finding in witnessed if finding.api] == [Says.SUPPORTS]
