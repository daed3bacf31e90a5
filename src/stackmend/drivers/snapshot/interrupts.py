# SPDX-License-Identifier: Apache-2.0
"""Signals during a DuckDB call: an exception raised by the handler is lost inside DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

#: DuckDB's message in that case, in a plain RuntimeError
_INTERRUPTED = "Query interrupted"


@contextmanager
def interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt if a signal ended a DuckDB call; wraps every call, innermost."""
    try:
        yield
    except duckdb.InterruptException as problem:
        raise KeyboardInterrupt from problem
    except RuntimeError as problem:
        if str(problem) == _INTERRUPTED:
            raise KeyboardInterrupt from problem
        raise
