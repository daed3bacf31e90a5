# SPDX-License-Identifier: Apache-2.0
"""An audit names the releases whose schemas it read, says which it does not know, and what that means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackmend.cli.shell import main
from stackmend_lab.cloud import Cloud, build

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def zed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A healthy cloud of Zed."""
    folder = tmp_path_factory.mktemp("zed")
    cloud = build(folder / "cloud", servers=60, seed=3, release="zed")
    (folder / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def run(zed: Cloud, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the cloud as it was: (exit code, stdout, stderr)."""
    zed.reset()
    toml = str(zed.state.parent.parent / "cloud.toml")

    def command(*words: str) -> tuple[int, str, str]:
        code = main(["--config", toml, *words])
        return code, *capsys.readouterr()

    return command


def test_an_audit_names_the_release(run: Run) -> None:
    """One sentence, where all databases fit one release."""
    code, _, said = run("audit", "--no-api")

    assert code == 0
    assert "the databases have the schemas of Zed\n" in said


@pytest.mark.parametrize("revisions", [["5c85685d616d"], ["5c85685d616d", "fedcba987654"]])
def test_an_unknown_revision_is_named_with_what_it_means(run: Run, zed: Cloud, revisions: list[str]) -> None:
    """A schema whose migrations were not finished, or one newer than this program: nothing is assumed of it."""
    zed.execute("neutron", "DELETE FROM alembic_version")
    for revision in revisions:
        zed.insert("neutron", "alembic_version", version_num=revision)

    code, _, said = run("audit", "--check", "info-cache-content-drift")

    assert f"the schema of database neutron (revision {', '.join(revisions)}) is of no release that is known" in said
    assert "or its migrations were not finished" in said
    assert "the databases have the schemas of Zed\n" in said
    assert code == 0


def test_databases_of_different_releases_are_told_apart(run: Run, zed: Cloud) -> None:
    """In the middle of an upgrade each service is named with its release."""
    zed.execute("nova_api", "UPDATE alembic_version SET version_num = 'cdeec0c85668'")
    zed.execute("cell:cell1", "UPDATE alembic_version SET version_num = '1acf2c98e646'")

    _, _, said = run("audit", "--check", "instance-mapping-without-server")

    apart = "nova Zed, nova 2023.2, nova_api 2023.2 to 2026.2, placement Xena to 2023.1. An upgrade is in progress"
    assert f"the databases have the schemas of different releases: {apart}" in said


def test_a_snapshot_keeps_releases_and_revisions(run: Run, tmp_path: Path) -> None:
    """In the manifest, in the document and for people; of one made before they were kept, the revision."""
    code, _, _ = run("snapshot", "create", "--out", str(tmp_path / "snapshot"))
    assert code == 0
    file = tmp_path / "snapshot" / "manifest.json"
    manifest = json.loads(file.read_text())
    kept = {s["database"]: (s["revision"], s["releases"]) for s in manifest["sources"]}
    assert kept["cell:cell1"] == ("ccb0fa1a2252", ["zed"])
    assert kept["placement"] == ("422ece571366", ["xena", "yoga", "zed", "2023.1"])

    _, shown, _ = run("snapshot", "show", str(tmp_path / "snapshot"), "-f", "json")
    placement = next(s for s in json.loads(shown)["sources"] if s["database"] == "placement")
    assert (placement["release"], placement["revision"]) == ("Xena to 2023.1", "422ece571366")
    _, shown, _ = run("snapshot", "show", str(tmp_path / "snapshot"))
    assert "  the databases have the schemas of Zed\n" in shown

    for source in manifest["sources"]:
        source["release"] = source.pop("revision")
        del source["releases"]
    file.write_text(json.dumps(manifest))
    _, shown, _ = run("snapshot", "show", str(tmp_path / "snapshot"))
    assert "  neutron (revision 5881373af7f5, 5c85685d616d): " in shown
