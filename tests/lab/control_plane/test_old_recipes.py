# SPDX-License-Identifier: Apache-2.0
"""What damage and the recipes that are passed on do on real services: why stackmend does it otherwise."""

from __future__ import annotations

import pytest

from .old_recipes import TALES


@pytest.mark.parametrize("name", [tale.__name__ for tale in TALES])
def test_so_it_goes(told, name):
    """The tale of that name is true."""
    assert told[name].result() is None
