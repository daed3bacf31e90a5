# SPDX-License-Identifier: Apache-2.0
"""Ad hoc."""

from .proofs import Rehearsal
from .repairs import PROOFS

WANTED = {
    "server-wrong-host",
    "allocation-wrong-provider",
    "port-binding-wrong-host",
    "port-binding-inactive-leftover",
    "server-on-nonexistent-host",
}


def test_subset(plane, tmp_path):
    """Those."""
    r = Rehearsal(plane, [p for p in PROOFS if p.check in WANTED], tmp_path)
    r.run()
    for name, a in r.answers.items():
        print(name, a.planned, "clean", a.clean, "undone", a.undone, "used", a.used, "problem", repr(a.problem))
    print("surplus", r.surplus, "left", r.left)
    assert all(a.used for a in r.answers.values())
