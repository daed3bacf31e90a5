# SPDX-License-Identifier: Apache-2.0
"""The service and the timer that audit every night: what systemd reads in them, and what the service would run."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud

from .conftest import Ran

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "units.json").read_text())
SERVICE, TIMER = "stackmend-audit.service", "stackmend-audit.timer"


def parsed(text: str) -> configparser.ConfigParser:
    """A unit, read as the INI file that it nearly is."""
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return found


def test_both_files_are_printed(run: Callable[..., Ran], cloud_config: Path) -> None:
    """As text for people, as records for machines, with the configuration that is used now."""
    done = run("--config", cloud_config, "config", "systemd", "--user", "auditor", "-f", "json")
    assert done.code == Exit.CLEAN
    document = json.loads(done.out)
    jsonschema.validate(document, SCHEMA)
    texts = {unit["file"]: unit["text"] for unit in document}
    service, timer = parsed(texts[SERVICE]), parsed(texts[TIMER])
    assert service["Service"]["User"] == "auditor"
    assert service["Service"]["SuccessExitStatus"] == str(int(Exit.FINDINGS))
    assert timer["Timer"]["OnCalendar"] == "*-*-* 03:30:00"
    plain = run("--config", cloud_config, "config", "systemd")
    assert all(f"# /etc/systemd/system/{name}\n" in plain.out for name in texts)


def test_what_the_service_runs_is_an_audit(
    run: Callable[..., Ran], broken_cloud: Cloud, cloud_config: Path, tmp_path: Path
) -> None:
    """The command line of the written unit, run as it is, finds what is broken, and writes where it may."""
    folder = tmp_path / "units"
    folder.mkdir()
    done = run("--config", cloud_config, "config", "systemd", "--out", folder)
    assert (done.code, done.out) == (Exit.CLEAN, "")
    assert "systemctl enable --now stackmend-audit.timer" in done.err
    service = parsed((folder / SERVICE).read_text())["Service"]
    before = broken_cloud.dump()
    ran = subprocess.run(shlex.split(service["ExecStart"]), capture_output=True, check=False, timeout=120)
    assert ran.returncode == int(service["SuccessExitStatus"]), ran.stderr
    assert broken_cloud.dump() == before
    assert (Path(service["ReadWritePaths"]) / "journal.db").is_file()


def test_a_folder_that_is_missing_is_said(run: Callable[..., Ran], cloud_config: Path, tmp_path: Path) -> None:
    """The service may write to the state and to the journal elsewhere, and cannot make their folders."""
    journal = f'[state]\njournal = "sqlite:///{tmp_path}/elsewhere/j.db"'
    cloud_config.write_text(cloud_config.read_text().replace("[state]", journal))
    done = run("--config", cloud_config, "config", "systemd", "--user", "auditor")
    assert f"install -d -m 700 -o auditor {tmp_path}/elsewhere" in done.err
    assert re.search(rf"^ReadWritePaths=/\S+ {tmp_path}/elsewhere$", done.out, re.MULTILINE)


def test_the_service_finds_what_this_command_does(
    run: Callable[..., Ran], cloud_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment says where the journal is, the unit does: a service inherits nothing of it."""
    state = tmp_path / "50 % of $state"
    state.mkdir()
    cloud_config.write_text(cloud_config.read_text().partition("[state]")[0])
    monkeypatch.setenv("STACKMEND_STATE", str(state))
    done = run("--config", cloud_config, "config", "systemd")
    told = str(state).replace("%", "%%")
    assert f'\nEnvironment="STACKMEND_STATE={told}"\n' in done.out
    assert f'\nReadWritePaths="{told}"\n' in done.out


def test_systemd_understands_them(run: Callable[..., Ran], cloud_config: Path, tmp_path: Path) -> None:
    """Also a path with blanks, quotes and what systemd would replace."""
    if not (systemd := shutil.which("systemd-analyze")):
        pytest.skip("systemd is not installed")
    odd = tmp_path / '50 % of "the" $clouds'
    odd.mkdir()
    shutil.copy(cloud_config, odd / "cloud.toml")
    assert run("--config", odd / "cloud.toml", "config", "systemd", "--out", tmp_path).code == Exit.CLEAN
    units = [str(tmp_path / name) for name in (SERVICE, TIMER)]
    done = subprocess.run([systemd, "verify", *units], capture_output=True, text=True, check=False, timeout=60)
    assert not re.search(f"{SERVICE}|{TIMER}", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--user", "a\nExecStartPre=/bin/false"), "cannot be written into a unit"),
        (("--on-calendar", " "), "cannot be written into a unit"),
        (("--out", "/nowhere/at/all"), "cannot be written: No such file or directory"),
    ],
    ids=["a second line", "nothing", "no folder"],
)
def test_what_no_unit_can_hold_is_refused(
    run: Callable[..., Ran], cloud_config: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit 2 and a hint, and nothing is written."""
    done = run("--config", cloud_config, "config", "systemd", *words)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert said in done.err
    assert "hint:" in done.err
