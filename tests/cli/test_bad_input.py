# SPDX-License-Identifier: Apache-2.0
"""What goes wrong before anything is read: the text, the hint and the exit code of each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stackmend.model.errors import Exit

SERVER = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"


@pytest.fixture
def config(tmp_path):
    """Write a configuration and return its path."""

    def write(text):
        path = tmp_path / "cloud.toml"
        path.write_text(text)
        return path

    return write


def test_no_configuration(run, tmp_path):
    """A file that does not exist is named, with where to look."""
    done = run("--config", tmp_path / "none.toml", "audit")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert f"error: configuration file {tmp_path}/none.toml does not exist" in done.err
    assert "hint: Check --config" in done.err


def test_an_unknown_key_gets_a_suggestion(run, config):
    """A misspelt key is refused, not ignored."""
    done = run("--config", config('[databases]\nneutro = "sqlite:///x"\n'), "audit")
    assert done.code == Exit.USAGE
    assert "error: unknown key neutro in [databases]" in done.err
    assert "hint: Did you mean neutron?" in done.err


def test_a_broken_file_is_named(run, config):
    """TOML that does not parse says where."""
    done = run("--config", config("[databases\n"), "audit")
    assert done.code == Exit.USAGE
    assert "is not valid TOML" in done.err


@pytest.mark.parametrize(
    "url", ["mysql+pymysql//reader:hunter2@db/x", "oracle://reader:hunter2@db/x", "reader:hunter2@db"]
)
def test_a_wrong_url_is_named_without_its_password(run, config, url):
    """An URL that cannot be used says which one it is, and its password is in no output."""
    done = run("--config", config(f'[databases]\nneutron = "{url}"\n'), "audit")
    assert done.code == Exit.USAGE
    assert "[databases] neutron" in done.err
    assert "hunter2" not in done.out + done.err


def test_a_wrong_password_is_not_echoed(run, config, mariadb):
    """A refused login names account, host and database; nothing can be said, so the audit is incomplete."""
    url = f"mysql+pymysql://intruder:hunter2@127.0.0.1:{mariadb.port}/neutron"
    done = run("--config", config(f'[databases]\nneutron = "{url}"\n'), "audit")
    assert done.code == Exit.INCOMPLETE
    assert "neutron" in done.err
    assert "intruder" in done.err
    assert "hunter2" not in done.out + done.err


def test_a_missing_database_makes_the_audit_incomplete(run, cloud, tmp_path):
    """A database that is not there is told on stderr; stdout is still one JSON array."""
    text = cloud.toml().replace("placement.db", "nowhere.db")
    (tmp_path / "broken.toml").write_text(text)
    done = run("--config", tmp_path / "broken.toml", "audit", "-f", "json")
    assert done.code == Exit.INCOMPLETE
    assert done.out == "[]\n"
    assert "warning: placement could not be read" in done.err


def test_an_unknown_check_gets_a_suggestion(run, cloud_config):
    """A misspelt check is a usage error before any database is read."""
    done = run("--config", cloud_config, "audit", "--check", "alocation-orphan")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "error: there is no check 'alocation-orphan'" in done.err
    assert "hint: Did you mean: allocation-orphan" in done.err


def test_an_unknown_column_is_refused(run):
    """A column that no document has is a usage error."""
    done = run("check", "list", "-c", "nme")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "error: there is no column 'nme'" in done.err


@pytest.mark.parametrize("content", ["", "{", '{"format": "stackmend-plan-1"', "[]", "plan"])
def test_a_truncated_or_foreign_plan_is_refused(run, cloud_config, tmp_path, content):
    """What is no whole plan is never applied."""
    plan = tmp_path / "plan.json"
    plan.write_text(content)
    done = run("--config", cloud_config, "plan", "apply", plan, "--yes")
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert str(plan) in done.err
    assert "hint: Make a new one with 'stackmend plan create'." in done.err


def test_a_missing_plan_is_named(run, cloud_config, tmp_path):
    """The path that cannot be read is in the error."""
    done = run("--config", cloud_config, "plan", "show", tmp_path / "none.json")
    assert done.code == Exit.USAGE
    assert f"error: the plan {tmp_path}/none.json cannot be read" in done.err


def test_an_unwritable_state_folder_stops_before_anything_is_changed(run, broken_cloud, tmp_path):
    """Without a journal nothing is applied."""
    config, plan = tmp_path / "unwritable.toml", tmp_path / "plan.json"
    (tmp_path / "file").write_text("in the way")
    config.write_text(broken_cloud.toml().replace(str(broken_cloud.state), str(tmp_path / "file" / "state")))
    before = broken_cloud.dump()
    created = run("--config", config, "plan", "create", "--allow-db", "--out", plan)
    done = created if not plan.exists() else run("--config", config, "plan", "apply", plan, "--yes", "--accept", "all")
    assert done.code == Exit.STOPPED
    assert str(tmp_path / "file") in done.err
    assert "hint: " in done.err
    assert broken_cloud.dump() == before


def test_a_request_for_a_server_that_is_not_there(run, cloud_config):
    """A typo in a uuid changes nothing and says so."""
    done = run("--config", cloud_config, "port", "list", "--server", SERVER)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert f"error: there is no server '{SERVER}'" in done.err


def test_toml_that_is_nested_without_end(run, config):
    """Brackets by the ten thousand are refused like any other wrong file."""
    done = run("--config", config("x = " + "[" * 50_000), "audit")
    assert done.code == Exit.USAGE
    assert "is nested too deeply" in done.err


@pytest.mark.parametrize("number", ["inf", "nan", "-1", "1e9", "a minute"])
def test_seconds_that_are_none(run, number):
    """A wait is a number of seconds, and ends."""
    done = run("audit", "--settle", number)
    assert done.code == Exit.USAGE
    assert "--settle" in done.err
    assert "bug" not in done.err


def test_a_waiver_beyond_the_calendar(run):
    """More days than there are years for is a usage error."""
    done = run("finding", "waive", "1f0c", "--reason", "x", "--until", "99999999999d")
    assert done.code == Exit.USAGE
    assert "after the end of the calendar" in done.err


@pytest.mark.attack("a user id without a passwd entry and without a home, as in a container")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another user id")
def test_a_user_without_a_name(tmp_path):
    """Where there is no folder for the journal it is said what to set; a run is by "uid 54321"."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    code = (
        "import os, pwd\n"
        "from stackmend.app import runs\n"
        "from stackmend.config import settings\n"
        "from stackmend.model.errors import ConfigError\n"
        "os.setgid(54321); os.setuid(54321)\n"  # after the imports: others may not read this interpreter
        "print(runs._operator())\n"
        "try: settings.default_state()\n"
        "except ConfigError as problem: print(problem.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd="/", timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "uid 54321\nSet STACKMEND_STATE, or HOME.\n"), done.stderr
