# SPDX-License-Identifier: Apache-2.0
"""Workers of xdist: the tests of the lab stay together, the rest goes in small lots."""

from __future__ import annotations

import ast
import importlib
import random
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import pytest

from .lab.control_plane.conftest import LEFT_TO_FAKES
from .sharing import DATABASES, FIRST, LAB, LAST, LONGEST, LOT, WITHOUT_LAB, Sharing, lots, place, shares, turn

TESTS = Path(__file__).parent
PLANE = TESTS / "lab" / "control_plane"


def test_the_lab_is_one_lot():
    """Whatever file of its the tests are in."""
    found = lots(
        [
            f"tests/lab/control_plane/{name}.py::test_{number}"
            for name in (*FIRST, "test_x", *LAST)
            for number in range(LOT)
        ]
    )
    assert set(found.values()) == {LAB}


def test_the_rest_goes_in_small_lots():
    """Neighbours of one file share one; a file of the lab's folder that needs no lab is like any other."""
    names = [f"tests/cli/test_a.py::test_{number}" for number in range(LOT + 1)]
    names += [
        "tests/cli/test_b.py::test_0",
        "tests/lab/control_plane/test_layout.py::test_0",
        "tests/lab/test_plane.py::test_0",
    ]
    found = lots(names)
    assert len(set(found.values())) == 5
    assert LAB not in found.values()
    assert len({found[name] for name in names[:LOT]}) == 1


def test_what_a_module_makes_is_made_once(tmp_path: Path):
    """A file with a fixture for all of its tests is one lot, however many they are; also with one of its folder."""
    own, beside = tmp_path / "own" / "test_own.py", tmp_path / "beside" / "test_beside.py"
    for file in (own, beside):
        file.parent.mkdir()
        file.write_text("def test_x(): pass\n")
    assert not shares(tmp_path / "test_none.py")
    own.write_text('@pytest.fixture(scope="module")\ndef made(): pass\n')
    beside.with_name("conftest.py").write_text('@pytest.fixture(params=[1], scope="module")\ndef made(): pass\n')
    assert shares(own)
    assert shares(beside)
    names = [f"tests/properties/test_size.py::test_{number}" for number in range(3 * LOT)]
    assert len(set(lots(names).values())) == 1


def test_the_case_book_is_a_lot_for_each_kind_of_database():
    """What is made for all of its tests is made for a kind of database; the files that take longest are there."""
    (file,) = LONGEST
    assert (TESTS / f"{file}.py").is_file()
    names = [f"tests/{file}.py::test_{number}[{kind}-x]" for number in range(LOT) for kind in DATABASES]
    names += [f"tests/{file}.py::test_rehearsed[check]"]
    assert len(set(lots(names).values())) == len(DATABASES) + 1


def test_what_cannot_be_divided_begins_first():
    """The lab, the case book, the files that are one lot; small lots are what is left to fill the gaps at the end."""
    small = next(path for path in TESTS.glob("cli/test_*.py") if not shares(path))
    whole = TESTS / "properties" / "test_size.py"
    files = [small, whole, TESTS / "test_casebook.py", PLANE / "test_proofs.py"]
    assert sorted(files, key=place) == files[::-1]


class Worker:
    """What a scheduler sees of a worker: it is told which tests to run."""

    shutting_down = False

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.todo: list[int] = []
        self.ran: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.todo += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.mark.parametrize("seed", range(5))
def test_no_worker_comes_back_to_a_file_that_it_left(seed: int):
    """Whatever sizes the files have, and whoever is quick: fixtures of a module are made once in each worker."""
    dice = random.Random(seed)
    names = [f"tests/lab/control_plane/test_proofs.py::test_{number}" for number in range(30)]
    names += [f"tests/test_{file}.py::test_{n}" for file in range(20) for n in range(dice.randrange(1, 5 * LOT))]
    options = SimpleNamespace(loadscopereorder=True, maxschedchunk=None)
    workers = [Worker(number) for number in range(3)]
    sharing = Sharing(SimpleNamespace(option=options, getvalue=lambda _: [f"{len(workers)}*popen"]))
    for worker in workers:
        sharing.add_node(worker)
        sharing.add_node_collection(worker, names)
    sharing.schedule()
    while busy := [worker for worker in workers if worker.todo]:
        worker = dice.choice(busy)
        index = worker.todo.pop(0)
        worker.ran.append(names[index])
        sharing.mark_test_complete(worker, index)
    assert sorted(name for worker in workers for name in worker.ran) == sorted(names)
    for worker in workers:
        files = [file for file, _ in groupby(name.split("::")[0] for name in worker.ran)]
        assert len(files) == len(set(files))


def test_no_file_without_the_lab_uses_it():
    """Two workers would bring up two labs."""
    using = {path.stem for path in PLANE.glob("test_*.py") if {"plane", "rehearsal"} & _arguments(path)}
    assert {path.stem for path in PLANE.glob("test_*.py")} >= WITHOUT_LAB
    assert using & WITHOUT_LAB == set()


def test_the_lab_is_whole_at_first_and_stopped_at_last():
    """Files that nobody gave a turn come between."""
    assert sorted(["test_whole_again", "test_x", "test_proofs", "test_plane"], key=turn) == [
        "test_plane", "test_proofs", "test_x", "test_whole_again"
    ]  # fmt: skip


def _arguments(path: Path) -> set[str]:
    """Names of the arguments of every function in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {argument.arg for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for argument in node.args.args}


def test_what_is_left_to_fakes_is_a_test_of_theirs():
    """A test that is renamed does not stay away from the lab unnoticed, or come back to it."""
    for stem, names in LEFT_TO_FAKES.items():
        module = importlib.import_module(f"tests.lab.control_plane.{stem}")
        (shared,) = (one for name, one in vars(module).items() if name.startswith("Test"))
        assert names <= set(dir(shared))
        assert not names & set(vars(shared)), "it is the lab's own"
