# SPDX-License-Identifier: Apache-2.0
"""Runs a program of a service, and waits for a line on its input after every statement that changes the schema.

Usage: python halting_migration.py PROGRAM [ARGUMENT]...   It is run by the Python that the services are installed in.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

import sqlalchemy as sa

_CHANGING = {"ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE"}


@sa.event.listens_for(sa.engine.Engine, "after_cursor_execute")
def _halt(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
    if statement.split(None, 1)[0].upper() in _CHANGING:
        sys.stdout.write(f"carried out: {' '.join(statement.split())}\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
