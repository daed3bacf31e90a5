# SPDX-License-Identifier: Apache-2.0
"""Clouds that several tests use one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackmend_lab.cloud import Cloud, build


@contextmanager
def kept(folder: Path, **options: Any) -> Iterator[Cloud]:
    """A cloud in SQLite files, saved as it was built; ``reset`` and ``restore`` take it back to that."""
    cloud = build(folder, **options)
    cloud.save()
    try:
        yield cloud
    finally:
        cloud.close()
