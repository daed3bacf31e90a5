# SPDX-License-Identifier: Apache-2.0
"""Distribution of tests to the workers of xdist: those of the lab run on one worker, one after another.

The lab is started once; its tests wait for services more than they compute, so they get a worker in addition to one per
core, and the other workers give way to it. A file that creates something for all of its tests goes to one worker, since
each worker would create it. All other tests go in small lots to idle workers, after those files: so all workers end at
about the same time.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path, PurePosixPath

from xdist.scheduler import LoadScopeScheduling

#: all tests in there use the lab, except these
LAB_FOLDER = "lab/control_plane"
WITHOUT_LAB = frozenset(
    {
        "test_balancer", "test_commands", "test_configuration", "test_layout", "test_levers", "test_process",
        "test_prompt", "test_together",
    }
)  # fmt: skip
#: tests that need an undamaged lab come first (and the stories, which start together with the operations, end before
#: others set levers or disable hosts), tests that stop it last, the rest in between
FIRST = ("test_plane", "test_host_status", "test_proofs", "test_api_audit", "test_operations", "test_old_recipes")
LAST = ("test_whole_again", "test_older_release")
LAB = "lab"
#: from one file: more would leave workers idle at the end
LOT = 8
#: files that take the most time begin first; of these each kind of database is a lot of its own
LONGEST = ("test_casebook",)
DATABASES = ("mariadb", "sqlite")
TESTS = Path(__file__).parent


class Sharing(LoadScopeScheduling):
    """One lot for the lab, small ones for the rest."""

    def schedule(self) -> None:
        """Divide the collected tests into lots, the first time.

        They are assigned in the order of collection (:func:`place`), not those of most tests first: a worker that
        returned to a file it had left would find there what the module's fixtures had made before.
        """
        self.config.option.loadscopereorder = False
        if self.collection is None and self.collection_is_completed:
            self._lots = lots(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._lots[nodeid]


def lots(collection: list[str]) -> dict[str, str]:
    """Each test with its lot."""
    seen: dict[str, int] = {}
    found = {}
    for nodeid in collection:
        path = PurePosixPath(nodeid.split("::", 1)[0])
        if of_the_lab(path):
            found[nodeid] = LAB
        elif path.stem in LONGEST:
            found[nodeid] = f"{path} {next((kind for kind in DATABASES if f'[{kind}' in nodeid), '')}"
        elif shares(TESTS.parent / path):
            found[nodeid] = str(path)
        else:
            number = seen[str(path)] = seen.get(str(path), -1) + 1
            found[nodeid] = f"{path} {number // LOT}"
    return found


def of_the_lab(path: PurePosixPath) -> bool:
    """Whether the tests of a file use the lab."""
    return path.parent.as_posix().endswith(LAB_FOLDER) and path.stem not in WITHOUT_LAB


def place(path: Path) -> int:
    """Which files come first: those of the lab, the longest, then those that are one lot; the rest fills the gaps."""
    if of_the_lab(PurePosixPath(path.as_posix())):
        return 0
    return 1 if path.stem in LONGEST else 2 if shares(path) else 3


@cache
def shares(path: Path) -> bool:
    """Whether a file, or a conftest.py beside it, has a fixture that lives as long as the module."""
    return any(_of_modules(file) for file in (path, path.with_name("conftest.py")) if file.is_file())


@cache
def _of_modules(file: Path) -> bool:
    """Whether a fixture of scope "module" is written there."""
    keywords = (node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.keyword))
    values = (word.value for word in keywords if word.arg == "scope")
    return any(isinstance(value, ast.Constant) and value.value == "module" for value in values)


def turn(file: str) -> int:
    """The position of a lab file, by its name."""
    if file in FIRST:
        return FIRST.index(file) - len(FIRST)
    return LAST.index(file) + 1 if file in LAST else 0
