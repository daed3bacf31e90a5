# SPDX-License-Identifier: Apache-2.0
"""How the lab reports what it does and what it waits for."""

from __future__ import annotations

from collections.abc import Callable

#: takes one line of text, without a full stop
Tell = Callable[[str], None]


def silently(text: str) -> None:
    """Report nothing."""
    del text
