# SPDX-License-Identifier: Apache-2.0
"""A signal that comes while DuckDB works: what its handler raises is lost on the way through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

#: what DuckDB says then, as a RuntimeError of no kind of its own
_INTERRUPTED = "Query interrupted"


@contextmanager
def interrupts() -> Iterator[None]:
    """KeyboardInterrupt for a call of DuckDB that a signal ended; around every one, inside of all other handling."""
    try:
        yield
    except duckdb.InterruptException as problem:
        raise KeyboardInterrupt from problem
    except RuntimeError as problem:
        if str(problem) == _INTERRUPTED:
            raise KeyboardInterrupt from problem
        raise
