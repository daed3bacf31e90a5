# SPDX-License-Identifier: Apache-2.0
"""stackmend without the lab, as ``pip install stackmend`` brings it, and the lab that belongs to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import stackmend
import stackmend_lab
from stackmend.model.errors import Exit

ROOT = Path(__file__).parents[2]
LAB = ["lab break", "lab break volume-stuck-detaching", "lab down", "lab heal", "lab restart x", "lab shell -c true",
       "lab status", "lab up"]  # fmt: skip
EVERY_MODULE = """
import importlib, pkgutil, sys
import stackmend
found = pkgutil.walk_packages(stackmend.__path__, "stackmend.")
names = [module.name for module in found if module.name != "stackmend.__main__"]
for name in names:
    importlib.import_module(name)
assert "stackmend_lab" not in sys.modules
print(len(names))
"""
ANOTHER_VERSION = """
import sys
import stackmend_lab
from stackmend.cli.shell import main
stackmend_lab.__version__ = "9.8.7"
sys.exit(main(sys.argv[1:]))
"""


def python(*words: str, state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with the sources of stackmend, and what it depends on: not even as editable is the lab there (``-S``)."""
    path = os.pathsep.join([str(ROOT / "src"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STACKMEND"))}
    return subprocess.run(
        [sys.executable, "-S", *words],
        env={**kept, "PYTHONPATH": path, "STACKMEND_STATE": str(state), **environment},
        cwd=state,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("line", ["demo", "demo --keep demonstration", *LAB])
def test_what_needs_the_lab_says_how_to_get_it(line: str, tmp_path: Path) -> None:
    """Two lines and the exit code of a command line that asks for what does not exist; nothing is left behind."""
    done = python("-m", "stackmend", *line.split(), state=tmp_path)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr == "error: the lab is not installed\nhint: Install it: pip install 'stackmend[lab]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["--version", "--help", "lab up --help", "demo --help", "check list", "repair list"])
def test_the_rest_does_without_it(line: str, tmp_path: Path) -> None:
    """The catalogue, and the help of the two commands themselves."""
    done = python("-m", "stackmend", *line.split(), state=tmp_path)
    assert (done.returncode, done.stderr) == (Exit.CLEAN, "")
    assert done.stdout


def test_no_module_of_stackmend_imports_it(tmp_path: Path) -> None:
    """Every module can be imported where the lab is not installed."""
    done = python("-c", EVERY_MODULE, state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300


def test_a_lab_of_another_version_is_not_used(tmp_path: Path) -> None:
    """What it breaks is for checks and repairs that this version may not have."""
    shutil.copytree(ROOT / "lab/src/stackmend_lab", tmp_path / "site/stackmend_lab")
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT / "src"), sysconfig.get_path("platlib")])
    done = python("-c", ANOTHER_VERSION, "lab", "break", state=tmp_path, PYTHONPATH=path)
    assert done.returncode == Exit.USAGE
    assert done.stderr == (
        f"error: the installed lab has version 9.8.7, stackmend has {stackmend.__version__}\n"
        f"hint: Install the same version: pip install 'stackmend[lab]=={stackmend.__version__}'\n"
    )


def test_both_have_one_version_and_one_licence() -> None:
    """Wherever it is written down."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lab = tomllib.loads((ROOT / "lab/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {tool["version"], lab["version"], stackmend_lab.__version__} == {stackmend.__version__}
    assert tool["optional-dependencies"]["lab"] == [f"stackmend-lab=={stackmend.__version__}"]
    assert f"stackmend=={stackmend.__version__}" in lab["dependencies"]
    assert (ROOT / "lab/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert tool["requires-python"] == lab["requires-python"]
