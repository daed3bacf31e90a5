# SPDX-License-Identifier: Apache-2.0
"""The gate before an upgrade: the services' real programs on real schemas, and our checks, in one report."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.app.upgrading import gate
from stackmend.cli.shell import main
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.cinder.records import volume_service_unset
from stackmend_lab.plants.nova.hosts import evacuation_record_time_bomb, service_down_or_version_skew
from stackmend_lab.plants.nova.states import server_stuck_deleting
from stackmend_lab.plants.placement import provider_tree_broken

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "upgrade-check.json").read_text())
#: a program that has nothing to say against an upgrade
GOOD = '{"name": "Upgrade Check Results", "checks": [{"check": "All", "result": 0, "details": null}]}'
#: what each service has to know of its databases
FILES: dict[str, str] = {
    "nova": "[DEFAULT]\nstate_path={folder}\ntransport_url=fake:/\n[api_database]\nconnection={nova_api}\n"
    "[database]\nconnection={cell}\n",
    "placement": "[placement_database]\nconnection={placement}\n",
    "cinder": "[DEFAULT]\nstate_path={folder}\ntransport_url=fake:/\n[database]\nconnection={cinder}\n",
    "neutron": "[DEFAULT]\ncore_plugin=ml2\nstate_path={folder}\n[database]\nconnection={neutron}\n",
    "glance": "[database]\nconnection={glance}\n",
    "keystone": "[database]\nconnection={keystone}\n",
}


@dataclass(frozen=True, slots=True)
class Ready:
    """A cloud, and its configuration with programs."""

    cloud: Cloud
    folder: Path

    def config(self, programs: Mapping[str, list[str]]) -> str:
        """The configuration with these programs."""
        lines = [f"{name} = {json.dumps(words)}" for name, words in programs.items()]
        toml = self.folder / "gate.toml"
        toml.write_text("\n".join([self.cloud.toml(), "[upgrade]", *lines, ""]))
        toml.chmod(0o600)
        return str(toml)


@pytest.fixture(scope="module")
def on_mariadb(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """A small cloud on a real server, as the services read it."""
    cloud = build(mariadb, servers=30, seed=3, prefix="gate_")
    yield Ready(cloud, tmp_path_factory.mktemp("gate"))
    cloud.close()


@pytest.fixture
def in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ready]:
    """A small cloud in SQLite files, on a machine without any program of a service."""
    cloud = build(tmp_path / "cloud", servers=60)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    yield Ready(cloud, tmp_path)
    cloud.close()


def real(ready: Ready) -> dict[str, list[str]]:
    """The installed programs, each with the configuration that its service would have."""
    urls = {"cell" if name == "cell:cell1" else name: url for name, url in ready.cloud.databases.items()}
    found = {}
    for service, text in FILES.items():
        program, path = SERVICES / "bin" / f"{service}-status", ready.folder / f"{service}.conf"
        assert program.exists(), f"{program} is missing: make services"
        values = {name: url for name, url in urls.items() if ":" not in name}
        path.write_text(text.format(folder=ready.folder, **values))
        found[service] = [str(program), "--config-file", str(path)]
    return found


def says(out: str, code: int = 0) -> list[str]:
    """A program that prints this."""
    return ["sh", "-c", f"printf '%s\\n' {shlex.quote(out)}; exit {code}"]


def asked(config: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    """(exit code, document) of the command."""
    capsys.readouterr()
    code = main(["--config", config, "upgrade", "check", "--settle", "0", *options, "-f", "json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    return code, document


def results(document: Mapping[str, Any], service: str) -> dict[str, str]:
    """What a program said: check -> result."""
    (program,) = (one for one in document["programs"] if one["service"] == service)
    return {check["check"]: check["result"] for check in program["checks"]}


def test_the_real_programs_and_our_checks_agree(on_mariadb: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """What the services' own programs find in the databases is what our checks find, beside what only these know."""
    cloud = on_mariadb.cloud
    planted = provider_tree_broken.plant(cloud)
    backend = volume_service_unset.plant(cloud)["backend"]
    server = evacuation_record_time_bomb.plant(cloud)["server"]

    code, found = asked(on_mariadb.config(real(on_mariadb)), capsys)

    programs = {one["service"]: one for one in found["programs"]}
    assert results(found, "placement")["Missing Root Provider IDs"] == "failure"
    assert results(found, "cinder")["Service UUIDs"] == "failure"
    assert results(found, "nova")["Cells v2"] == "success"
    assert results(found, "nova")["Older than N-1 computes"] in ("success", "failure")
    assert set(results(found, "neutron").values()) <= {"success", "warning"}
    assert programs["neutron"]["code"] == 1
    assert [programs[name]["code"] for name in ("nova", "placement", "cinder")] == [2, 2, 2]
    # this release of it cannot check at all without an option that another module would have registered, and this one
    # needs keys that the machine does not have: both end with codes that look like results of others
    assert (programs["glance"]["outcome"], programs["glance"]["code"]) == ("failed", 255)
    assert (programs["keystone"]["outcome"], programs["keystone"]["code"]) == ("failed", 1)

    ours = {one["check"]: one for one in found["findings"]}
    assert ours["provider-tree-broken"]["key"] == planted
    assert ours["volume-service-unset"]["key"] == {"backend": backend}
    assert ours["evacuation-record-time-bomb"]["key"]["server"] == server
    assert all(one["upgrade"]["blocks"] for one in ours.values())
    assert (code, found["outcome"]) == (Exit.INCOMPLETE, "incomplete")


def test_a_healthy_cloud_is_ready(in_files: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that are not installed here are named; with --strict they are missed."""
    config = in_files.config({"nova": says(GOOD)})

    code, found = asked(config, capsys)
    assert (code, found["outcome"], found["blockers"], found["findings"]) == (Exit.CLEAN, "ready", 0, [])
    outcomes = {one["service"]: one["outcome"] for one in found["programs"]}
    assert outcomes == {**dict.fromkeys(FILES, "absent"), "nova": "answered"}

    code, found = asked(config, capsys, "--strict")
    assert (code, found["outcome"], found["blockers"]) == (Exit.INCOMPLETE, "incomplete", 0)
    code, found = asked(in_files.config(dict.fromkeys(FILES, says(GOOD))), capsys, "--strict")
    assert (code, found["outcome"]) == (Exit.CLEAN, "ready")


def test_a_machine_without_the_programs_says_so_last(in_files: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence that people read says that nothing was asked, also where the report is not looked at."""
    assert main(["--config", in_files.config({}), "upgrade", "check", "--settle", "0", "-f", "json"]) == Exit.CLEAN
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "not run: " in last
    assert all(f"{service}-status" in last for service in FILES)

    config = in_files.config(dict.fromkeys(FILES, says(GOOD)))
    assert main(["--config", config, "upgrade", "check", "--settle", "0"]) == Exit.CLEAN
    assert "not run" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "code", "options", "expected"),
    [
        (GOOD.replace("0", "1"), 1, (), Exit.CLEAN),
        (GOOD.replace("0", "1"), 1, ("--strict",), Exit.FINDINGS),
        (GOOD.replace("0", "2"), 2, (), Exit.FINDINGS),
        ("", 1, (), Exit.INCOMPLETE),
        ("", 2, (), Exit.INCOMPLETE),
    ],
)
def test_one_exit_code_is_the_whole_answer(
    in_files: Ready, capsys: pytest.CaptureFixture[str], out: str, code: int, options: tuple[str, ...], expected: Exit
) -> None:
    """A warning blocks only with --strict, a failure always; a program that ended like either without a word is 7."""
    programs = dict.fromkeys(FILES, says(GOOD)) | {"cinder": says(out, code)}
    found, document = asked(in_files.config(programs), capsys, *options)
    assert found == expected
    assert document["outcome"] == {0: "ready", 3: "blocked", 7: "incomplete"}[expected]


def test_a_finding_blocks_or_warns_as_its_check_says(in_files: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """People read what would happen; a finding that only warns leaves the way open, and so does a waived one."""
    server_stuck_deleting.plant(in_files.cloud)
    config = in_files.config(dict.fromkeys(FILES, says(GOOD)))
    code, found = asked(config, capsys)
    assert (code, found["warnings"]) == (Exit.CLEAN, 1)
    assert asked(config, capsys, "--strict")[0] == Exit.FINDINGS

    evacuation_record_time_bomb.plant(in_files.cloud)
    code = main(["--config", config, "upgrade", "check", "--settle", "0"])
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    assert code == Exit.FINDINGS
    assert "BLOCKS evacuation-record-time-bomb: nova-compute on" in text
    assert "the upgrade restarts nova-compute, which then destroys the guest" in text
    assert "WARNING server-stuck-deleting" in text
    assert "do not upgrade yet (1 blocker, 1 warning)" in shown.err

    (mark,) = (one["fingerprint"] for one in asked(config, capsys)[1]["findings"] if one["upgrade"]["blocks"])
    assert main(["--config", config, "finding", "waive", mark, "--reason", "its disks are shared"]) == Exit.CLEAN
    code, found = asked(config, capsys)
    assert (code, found["blockers"]) == (Exit.CLEAN, 0)
    assert {one["state"] for one in found["findings"]} == {"confirmed", "waived"}


def test_only_the_version_of_nova_compute_blocks(in_files: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """Nova refuses to start for the row of an old nova-compute; it never asks for the version of a conductor."""
    config = in_files.config(dict.fromkeys(FILES, says(GOOD)))
    old = service_down_or_version_skew.conductor(in_files.cloud)["host"]
    in_files.cloud.execute("cell:cell1", "UPDATE services SET version = 60 WHERE host = :host", {"host": old})

    code, found = asked(config, capsys)
    assert [(one["evidence"]["code"], one["upgrade"]["blocks"]) for one in found["findings"]] == [("silent", False)]
    assert code == Exit.CLEAN

    compute = service_down_or_version_skew.old_version(in_files.cloud)["host"]
    code, found = asked(config, capsys)
    assert [one["key"]["host"] for one in found["findings"] if one["upgrade"]["blocks"]] == [compute]
    assert code == Exit.FINDINGS


def test_a_database_that_cannot_be_read_is_never_ready(in_files: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    """Our checks that need it have no answer, and say which one."""
    config = in_files.config(dict.fromkeys(FILES, says(GOOD)))
    lost = in_files.cloud.databases["placement"].removeprefix("sqlite:///")
    Path(lost).write_bytes(b"no database" * 1000)

    code, found = asked(config, capsys)
    assert (code, found["outcome"]) == (Exit.INCOMPLETE, "incomplete")
    assert set(found["incomplete"]) >= {"provider-tree-broken", "allocation-consumer-broken"}


def test_obstacles_are_about_findings_of_their_check() -> None:
    """Each names codes that its check has, the service's source, and a consequence; and no code has two."""
    checks = gate.concerned(Config())
    assert set(checks) == {name for name, one in catalogue.checks().items() if one.obstacles}
    for check in checks.values():
        told = [code for one in check.obstacles for code in (one.codes or check.codes)]
        assert set(told) <= set(check.codes), check.name
        assert len(told) == len(set(told)), check.name
        for one in check.obstacles:
            assert one.source.split("/")[0] in FILES
            assert one.what
            assert not one.what.endswith(".")
    assert any(one.blocks for check in checks.values() for one in check.obstacles)


@pytest.mark.parametrize("source", sorted({o.source for c in catalogue.checks().values() for o in c.obstacles}))
def test_the_source_of_an_obstacle_says_so(source: str) -> None:
    """The file is there in the installed services, and has the functions."""
    (packages,) = SERVICES.glob("lib/python3*/site-packages")
    for part in source.split("; "):
        name, _, functions = part.partition(", ")
        paths = [packages / name] if name.endswith(".py") else list(packages.glob(f"{name}_*.py"))
        (path,) = (path for path in paths if path.exists())
        text = path.read_text()
        for function in functions.replace(" and ", ", ").split(", "):
            assert not function or f"def {function}(" in text, part
