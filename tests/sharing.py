# SPDX-License-Identifier: Apache-2.0
"""How tests are shared among the workers of xdist: those of the lab are one worker's, one after another.

The lab is brought up once; its tests wait for services more than they compute, so they get a worker besides those that
there are for the cores. All other tests go in small lots to whoever is idle.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

#: all in there use the lab but these
LAB_FOLDER = "lab/control_plane"
WITHOUT_LAB = frozenset({"test_commands", "test_configuration", "test_layout", "test_levers", "test_process"})
#: what wants a lab on which nothing was broken yet comes first (and the tales, begun with the operations, are over
#: before others pull levers or disable hosts), what stops it last, the rest between
FIRST = ("test_plane", "test_host_status", "test_proofs", "test_api_audit", "test_operations", "test_old_recipes")
LAST = ("test_whole_again",)
LAB = "lab"
#: of one file: more would leave workers without any at the end, fewer would make what a module shares again and again
LOT = 8
#: files whose tests only look at what takes a minute to make: one worker makes it
WHOLE = frozenset({"tests/repairs/test_network_info.py"})


class Sharing(LoadScopeScheduling):
    """One lot for the lab, small ones for the rest."""

    def schedule(self) -> None:
        """Sort what was collected into lots, the first time.

        They are given out as they were collected, not the largest first: a worker that came back to a file that it had
        left would find there what the fixtures of the module had made before.
        """
        self.config.option.loadscopereorder = False
        if self.collection is None and self.collection_is_completed:
            self._lots = lots(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._lots[nodeid]


def lots(collection: list[str]) -> dict[str, str]:
    """Test -> the lot it is in."""
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
    """When a file of the lab comes, by its name."""
    if file in FIRST:
        return FIRST.index(file) - len(FIRST)
    return LAST.index(file) + 1 if file in LAST else 0
