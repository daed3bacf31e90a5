# SPDX-License-Identifier: Apache-2.0
"""Record how the diagnosis of every case of the causes turns out: docs/explanation/recorded/accuracy.md.

``python scripts/record_accuracy.py`` runs the cases. A test compares the table with a new run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.causes.judging import TABLE, cases, table

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [(case, case.outcome(Path(folder) / str(number))) for number, case in enumerate(cases())]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(outcomes), encoding="utf-8")
