# SPDX-License-Identifier: Apache-2.0
"""Processes to kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .ground import Mortal


@pytest.fixture(scope="session")
def mortal() -> Iterator[Mortal]:
    """The program that starts runs and sees them die."""
    program = Mortal()
    yield program
    program.close()
