# SPDX-License-Identifier: Apache-2.0
"""Distribution of tests to the workers of xdist: those of the lab run on one worker, one after another.

The lab is started once; its tests wait for services more than they compute, so they get a worker in addition to one per
core. All other tests go in small lots to idle workers.
"""

from __future__ import annotations

from pathlib import PurePosixPath

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
LAST = ("test_whole_again",)
LAB = "lab"
#: from one file: more would leave workers idle at the end, fewer would repeatedly create what a module shares
LOT = 8
#: files whose tests only read what takes a minute to create: one worker creates it
WHOLE = frozenset({"tests/repairs/test_network_info.py"})


class Sharing(LoadScopeScheduling):
    """One lot for the lab, small ones for the rest."""

    def schedule(self) -> None:
        """Divide the collected tests into lots, the first time.

        They are assigned in the order of collection, not the largest first: a worker that returned to a file it had
        left would find there what the module's fixtures had made before.
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
        if path.parent.as_posix().endswith(LAB_FOLDER) and path.stem not in WITHOUT_LAB:
            found[nodeid] = LAB
        else:
            number = seen[str(path)] = seen.get(str(path), -1) + 1
            found[nodeid] = f"{path} {0 if path.as_posix() in WHOLE else number // LOT}"
    return found


def turn(file: str) -> int:
    """The position of a lab file, by its name."""
    if file in FIRST:
        return FIRST.index(file) - len(FIRST)
    return LAST.index(file) + 1 if file in LAST else 0
