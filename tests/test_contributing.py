# SPDX-License-Identifier: Apache-2.0
"""A check and a repair are added as CONTRIBUTING says, in a copy of the tree: three files, and nothing is edited."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = Path(__file__).parent / "example"
CHECK, REPAIR = "volume-migration-left", "clear-migration-status"
#: tests of these two, and of the whole; not of each of all others
NEW = f"{CHECK} or {REPAIR} or not (test_a_ or test_steps_ or test_every_)"
#: file of the example -> where CONTRIBUTING says that it goes
FILES = {
    "check.py": "src/stackmend/checks/cinder/volume_migration_left.py",
    "repair.py": "src/stackmend/repairs/cinder/clear_migration_status.py",
    "case.py": "lab/src/stackmend_lab/plants/cinder/volume_migration_left.py",
}
GENERATE = """
import sys
from pathlib import Path

sys.path.insert(0, "docs/_ext")
import generate

generate.write(Path("out"))
"""
_LEFT_OUT = shutil.ignore_patterns("_build", "__pycache__", "*.pyc", "example", "test_contributing.py")


class Tree:
    """A copy of the tree with a check and a repair more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        services = os.environ.get("STACKMEND_SERVICES", str(ROOT / ".services"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONPATH": f"{folder / 'src'}:{folder / 'lab/src'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STACKMEND_SERVICES": str(Path(services).absolute()),
        }

    def python(self, *words: str) -> str:
        """What a program says there; it has to end well."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    def stackmend(self, *words: str) -> str:
        """What a command prints there."""
        return self.python("-m", "stackmend", *words)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The copy; it is not the installed one that is asked."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("src", "lab", "tests", "docs", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=_LEFT_OUT)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".md", ".toml"):
            shutil.copy(path, folder)
    for name, place in FILES.items():
        shutil.copy(EXAMPLE / name, folder / place)
    made = Tree(folder)
    assert made.python("-c", "import stackmend; print(stackmend.__file__)").startswith(str(folder))
    assert made.python("-c", "import stackmend_lab; print(stackmend_lab.__file__)").startswith(str(folder))
    return made


def test_contributing_says_where_they_go() -> None:
    """And names no further file."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for place in FILES.values():
        assert f"{place.partition('/volume_')[0].partition('/cinder')[0]}/" in text


def test_everything_sees_them(tree: Tree) -> None:
    """The commands, and what can be broken on the lab."""
    assert CHECK in {check["name"] for check in json.loads(tree.stackmend("check", "list", "-f", "json"))}
    assert REPAIR in {repair["name"] for repair in json.loads(tree.stackmend("repair", "list", "-f", "json"))}
    assert CHECK in {entry["name"] for entry in json.loads(tree.stackmend("lab", "break", "-f", "json"))}


def test_their_pages_are_made(tree: Tree) -> None:
    """By the generator that the documentation runs."""
    tree.python("-c", GENERATE)
    assert CHECK in (tree.folder / "out" / "checks" / "index.md").read_text()
    assert CHECK in (tree.folder / "out" / "repairs" / f"{REPAIR}.md").read_text()


def test_the_demo_breaks_it_and_mends_it(tree: Tree) -> None:
    """Without being told of it."""
    assert CHECK in tree.stackmend("demo", "--check", CHECK)


@pytest.mark.parametrize(
    "files",
    [
        (
            "tests/test_catalogue.py",
            "tests/test_docs.py",
            "tests/test_tidy.py",
            "tests/test_safe_repairs.py",
            "-k",
            NEW,
        ),
        ("tests/test_casebook.py", "-k", CHECK, "-m", "not long"),
        ("tests/lab/control_plane/test_what_breaks.py", "-k", "every_check_has_a_break"),
        ("tests/lab/control_plane/test_proofs.py", "-k", "has_a_proof or docs_name"),
    ],
    ids=lambda files: Path(files[0]).stem,
)
def test_the_tests_hold_it_to_its_promises(tree: Tree, files: tuple[str, ...]) -> None:
    """Damage, look-alikes, apply, undo, pages, style: all of it without a word about the new ones."""
    told = tree.python("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *files)
    assert " passed" in told
    assert "failed" not in told
