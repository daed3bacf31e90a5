# SPDX-License-Identifier: Apache-2.0
"""``stackmend lab`` without a lab: errors in two lines, exit codes, and nothing left behind."""

from __future__ import annotations

import shutil

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend.tables.releases import NEWEST
from stackmend_lab.control_plane import install


@pytest.mark.parametrize("command", ["down", "status", "shell", "heal"])
def test_without_a_lab(tmp_path, capsys, command):
    """Exit 2 and what to type; no folder is created."""
    folder = tmp_path / "lab"
    assert main(["lab", command, "--folder", str(folder)]) == Exit.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: there is no lab in {folder}\nhint: 'stackmend lab up' makes one.\n"
    assert not folder.exists()


def test_the_folder_comes_from_the_environment(tmp_path, capsys, monkeypatch):
    """STACKMEND_LAB names the folder if --folder is not given."""
    monkeypatch.setenv("STACKMEND_LAB", str(tmp_path / "mine"))
    assert main(["lab", "status"]) == Exit.USAGE
    assert str(tmp_path / "mine") in capsys.readouterr().err


def test_services_that_are_none_are_refused(tmp_path, capsys):
    """--services with a folder that lacks the programs is refused."""
    code = main(["lab", "up", "--folder", str(tmp_path / "lab"), "--services", str(tmp_path)])
    assert code == Exit.USAGE
    assert "has no bin/nova-compute" in capsys.readouterr().err
    assert not (tmp_path / "lab" / "lab.json").exists()


def test_services_of_another_release_are_refused(tmp_path, capsys):
    """An environment is known by its Nova; the hint says which release to name."""
    for name in install._SERVICES:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).touch()
    (tmp_path / "lib" / "python3.11" / "site-packages" / "nova-29.4.0.dist-info").mkdir(parents=True)
    code = main(["lab", "up", "--folder", str(tmp_path / "lab"), "--services", str(tmp_path)])
    assert code == Exit.USAGE
    assert (
        f"{tmp_path} has the services of 2024.1, not of {NEWEST}\nhint: Name it: --release" in capsys.readouterr().err
    )
    assert not (tmp_path / "lab" / "lab.json").exists()


def test_a_release_that_no_lab_runs_is_refused(tmp_path, capsys):
    """It is read, but its services do not run here; names are those of operators."""
    assert main(["lab", "up", "--folder", str(tmp_path / "lab"), "--release", "Antelope"]) == Exit.USAGE
    assert "no lab runs the services of 2023.1\nhint: Of these: 2026.2, 2024.1." in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--hosts", "1", "--cells", "2"], ["--hosts", "0"], ["--cells", "0"]])
def test_impossible_sizes_are_refused(tmp_path, capsys, words):
    """Exit 2 before anything is installed or started."""
    assert main(["lab", "up", "--folder", str(tmp_path / "lab"), *words]) == Exit.USAGE
    assert "makes no lab" in capsys.readouterr().err


def test_missing_programs_without_root_say_what_to_type(tmp_path, monkeypatch):
    """An ordinary user without sudo reads the line for apt-get."""
    for name, real in (("apt-get", "true"), ("sudo", "false")):
        (tmp_path / name).symlink_to(str(shutil.which(real)))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    wanted = {"a-program-that-nobody-has": "its-package", "sh": "dash"}
    with pytest.raises(install.LabError, match=r"missing Debian packages: its-package$") as caught:
        install.ensure_packages(lambda text: None, tmp_path / "log", wanted)
    assert "apt-get install --no-install-recommends its-package" in caught.value.hint
