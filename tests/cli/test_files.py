# SPDX-License-Identifier: Apache-2.0
"""Files that operators name: devices and pipes stay what they are, and nothing waits for ever or reads without end."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from argparse import Namespace
from pathlib import Path

import pytest

from stackmend.model import files
from stackmend.model.errors import Exit


@pytest.mark.attack("--out names a device, a pipe or a link")
def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    """/dev/null stays a device, a pipe hands on what is written, a link still leads to the file that was replaced."""
    before = os.stat("/dev/null")
    files.write("/dev/null", "text")
    after = os.stat("/dev/null")
    assert (before.st_ino, before.st_rdev, before.st_mode) == (after.st_ino, after.st_rdev, after.st_mode)
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    while reader.is_alive():
        try:
            files.write(pipe, "text")
            break
        except files.Refused:
            continue  # nobody reads yet: said at once
    reader.join(10)
    assert got == [b"text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    files.write(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe", "real"]


@pytest.mark.attack("--out names a device, a pipe or a link")
def test_descriptors_are_written_to(tmp_path: Path) -> None:
    """/dev/fd/N of a pipe, and of a file that has no name any more."""
    reading, writing = os.pipe()
    files.write(f"/dev/fd/{writing}", "text")
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "text"


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "a\0b", "missing/file", "loop", "pipe"])
def test_what_cannot_be_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said in words, at once; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    with pytest.raises(files.Refused):
        files.write(name, "text")
    assert sorted(os.listdir()) == ["loop", "pipe"]


@pytest.mark.attack("a plan is read from a device without an end or a pipe without a writer")
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/dev/random", "pipe", ".", "loop", "none", "x" * 300])
def test_what_is_no_plan(run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2 at once, and the file is named."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    done = run("plan", "show", name)
    assert done.code == Exit.USAGE
    assert f"error: the plan {name}" in done.err


def test_what_is_too_large(tmp_path: Path) -> None:
    """A file is read up to a bound."""
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert files.read(tmp_path / "large", 100) == b"x" * 100
    with pytest.raises(files.Refused, match="more than"):
        files.read(tmp_path / "large", 99)


def test_a_plan_by_way_of_pipes(run, broken_cloud, cloud_config, monkeypatch: pytest.MonkeyPatch) -> None:
    """``plan create --out /dev/stdout``-like pipes and ``plan show -`` go together."""
    reading, writing = os.pipe()
    done = run(
        "--config", cloud_config, "plan", "create", "--check", "allocation-orphan", "--allow-db", "--out",
        f"/dev/fd/{writing}",
    )  # fmt: skip
    assert done.code == Exit.FINDINGS
    assert "next:" not in done.err
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    shown = run("--config", cloud_config, "plan", "show", "-", "-f", "json")
    assert shown.code == Exit.CLEAN
    assert json.loads(shown.out)["id"] == json.loads(text)["plan"]["id"]


def test_a_configuration_that_everybody_can_read(run, tmp_path: Path) -> None:
    """With passwords in it: a warning, once, with the way out; without, or closed to others, none."""
    path = tmp_path / "cloud.toml"
    path.write_text('[databases]\nneutron = "mysql+pymysql://reader:hunter2@127.0.0.1:1/neutron"\n')
    path.chmod(0o644)
    done = run("--config", path, "audit")
    assert done.err.count("is readable by every account") == 1
    assert f"chmod o-r {path}" in done.err
    assert "hunter2" not in done.err
    path.chmod(0o640)
    assert "every account" not in run("--config", path, "audit").err
    path.write_text('[databases]\nneutron = "sqlite:////nowhere"\n')
    path.chmod(0o644)
    assert "every account" not in run("--config", path, "audit").err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[state]\ndirectory = "~nobody-here/x"\n', "is in a home folder that does not exist"),
        ('[databases.cells]\n"a\\u0000b" = "sqlite:///x"\n', "has a control character"),
        ('[databases]\nneutron = "sqlite:///a\\u0000b"\n', "has a control character"),
        ("[ages.none-such]\nidle = 1\n", "unknown check none-such"),
        ("[ages.volume-stuck-detaching]\nnone = 1\n", "unknown age none of check volume-stuck-detaching"),
        ("[ages.volume-stuck-detaching]\nidle = 99999999999\n", "from 0 to 31622400"),
        ("[counts.none-such]\nmany = 1\n", "unknown check none-such"),
        ("[counts.cinder-rows-unpurged]\nkept = 1\n", "unknown count kept of check cinder-rows-unpurged"),
        ('[severities]\nnone-such = "info"\n', "unknown check none-such"),
        ('[severities]\nallocation-orphan = "bad"\n', "[severities] allocation-orphan"),
        ('[severities]\nallocation-orphan = "bad"\n', "must be error, warning or info"),
        ('[plans]\nkey = "~nobody-here/x"\n', "is in a home folder that does not exist"),
        ("[plans]\nrequire_signature = 1\n", "must be true or false"),
    ],
)
def test_odd_configurations(run, tmp_path: Path, text: str, said: str) -> None:
    """Exit 2 with what is wrong, never a bug."""
    (tmp_path / "odd.toml").write_text(text)
    done = run("--config", tmp_path / "odd.toml", "audit")
    assert done.code == Exit.USAGE
    assert said in done.err


def test_a_name_like_a_formula(run, cloud, cloud_config) -> None:
    """In CSV it is text to a spreadsheet too; JSON has it as it is, and numbers are numbers."""
    from stackmend.cli.formats import Csv

    out = io.StringIO()
    names = ["=1+1", "@SUM(A1)", "-2+3", "+4", "-5", "plain"]
    Csv().emit_list(["name"], [[name] for name in names], out, Namespace(quote_mode="minimal"))
    assert out.getvalue().splitlines() == ["name", "'=1+1", "'@SUM(A1)", "'-2+3", "+4", "-5", "plain"]


def test_help_of_what_is_no_command(run) -> None:
    """The nearest commands, exit 2."""
    done = run("help", "NONSENSE")
    assert done.code == Exit.USAGE
    assert "there is no command 'NONSENSE'" in done.err


def test_the_account_that_reads(run, mariadb, tmp_path: Path) -> None:
    """Without a [writer] it writes only when somebody says that it may: exit 2, and both ways are named."""
    from stackmend_lab.cloud import build
    from stackmend_lab.plants.placement import allocation_orphan

    cloud = build(mariadb, servers=40, prefix="oneaccount_")
    try:
        allocation_orphan.plant(cloud)
        toml, file = tmp_path / "one.toml", tmp_path / "plan.json"
        toml.write_text(cloud.toml())
        assert run("--config", toml, "plan", "create", "--allow-db", "--out", file).code == Exit.FINDINGS
        before = cloud.dump()
        done = run("--config", toml, "plan", "apply", file, "--yes")
        assert done.code == Exit.USAGE
        assert "has no [writer]" in done.err
        assert "--same-account" in done.err
        assert cloud.dump() == before
        assert run("--config", toml, "plan", "apply", file, "--yes", "--same-account").code == Exit.REPAIRED
        toml.write_text(cloud.toml(same_account=True))
        assert run("--config", toml, "plan", "apply", file, "--yes").code == Exit.CLEAN
    finally:
        cloud.close()
