# SPDX-License-Identifier: Apache-2.0
"""Half a snapshot is none."""

from __future__ import annotations

import _thread
from pathlib import Path

import pytest

from stackmend.app import snapshots
from stackmend.config.settings import load
from stackmend_lab.cloud import build


@pytest.mark.attack("interrupts a snapshot while it is collected")
@pytest.mark.parametrize("into", ["", "new", "there"], ids=["the-state-folder", "a-folder-of-ones-own", "an-empty-one"])
def test_an_interrupted_snapshot_leaves_nothing(tmp_path: Path, into: str) -> None:
    """No folder that looks like one is left behind, one that was there stays; the next one of the same name is made."""
    cloud = build(tmp_path / "cloud", servers=60, seed=3)
    toml = tmp_path / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    config, folder = load(str(toml)), tmp_path / "taken" if into else None
    if into == "there":
        (tmp_path / "taken").mkdir()
    told: list[str] = []

    def interrupted(what: str, rows: int, expected: int | None) -> None:
        told.append(f"{what} {rows} {expected}")
        if len(told) == 5:
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        snapshots.create(config, into=str(folder) if folder else None, progress=interrupted)
    left = [file for file in tmp_path.rglob("*.parquet") if "cloud" not in file.parts[-3:-1]]
    assert left == []
    assert folder is None or folder.exists() is (into == "there")
    made, manifest = snapshots.create(config, into=str(folder) if folder else None)
    cloud.close()
    assert (made / "manifest.json").exists()
    assert sum(sum(source.rows.values()) for source in manifest.sources) > 500
