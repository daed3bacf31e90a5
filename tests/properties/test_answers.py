# SPDX-License-Identifier: Apache-2.0
"""What an audit saves itself changes no answer, whatever is broken."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from pyarrow import parquet

from stackmend.app import snapshots
from stackmend.config.settings import load
from stackmend.drivers.snapshot.query import open_snapshot
from stackmend.drivers.snapshot.uniform import ids, note
from stackmend.drivers.snapshot.uniform import uniform as is_uniform
from stackmend.engine.auditing.ask import ask, held_back, whatever_their_age
from stackmend.engine.auditing.catalogue import checks
from stackmend.model.finding import same
from stackmend.model.snapshot import Manifest
from stackmend_lab import plants
from stackmend_lab.cloud import build

Rows = dict[str, list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot."""

    folder: Path
    manifest: Manifest

    def suspects(self, *, few: bool = False) -> Rows:
        """What each check that has ages of doubt finds without them."""
        with closing(open_snapshot(self.folder, self.manifest.now, few=few)) as query:
            found, unasked = whatever_their_age(checks().values(), query, self.manifest, {})
        assert unasked == {}
        return found

    def rows(self, suspects: Rows | None = None, *, few: bool = False) -> Rows:
        """What each check finds."""
        with closing(open_snapshot(self.folder, self.manifest.now, few=few)) as query:
            return ask(checks().values(), query, self.manifest, {}, suspects)[0]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """A cloud with everything wrong that a cloud of plants has, and everything that only looks so."""
    folder = tmp_path_factory.mktemp("answers")
    with closing(build(folder / "cloud", servers=3500, seed=4)) as cloud:
        for module in plants.modules().values():
            for make in (module.plant, *getattr(module, "VARIANTS", {}).values(), *module.LOOK_ALIKES.values()):
                make(cloud)
        (folder / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
        config = load(str(folder / "cloud.toml"))
        _, manifest = snapshots.create(config, into=str(folder / "taken"))
    return Taken(folder / "taken", manifest)


def told(rows: Rows) -> dict[str, list[str]]:
    """Rows in one order."""
    return {name: sorted(map(repr, some)) for name, some in rows.items()}


def test_few_rows_are_answered_like_many(broken: Taken) -> None:
    """Whether the steps of a statement are planned together or one by one."""
    rows = broken.rows()
    assert told(broken.rows(few=True)) == told(rows)
    assert sum(map(bool, rows.values())) > 100


def test_what_is_old_enough_is_suspected_too(broken: Taken) -> None:
    """Without its ages a check finds all that it finds with them: if that is nothing, it need not be run again."""
    rows, suspects = broken.rows(), broken.suspects()
    for name, some in suspects.items():
        every = {same(checks()[name], row) for row in some}
        assert {same(checks()[name], row) for row in rows[name]} <= every, name
    assert told(broken.rows(suspects)) == told(rows)
    assert any(held_back(checks().values(), suspects, rows).values())


def test_ids_in_capitals_are_answered_alike(broken: Taken, tmp_path: Path) -> None:
    """Bytes are compared in columns noted as uniform; case is ignored with others, of which some are in capitals."""
    chance = Random(7)
    uniform = 0
    for label in (path.name for path in broken.folder.iterdir() if path.is_dir()):
        for folder in ("noted", "blind"):
            (tmp_path / folder / label).mkdir(parents=True)
    for file in sorted(broken.folder.glob("*/*.parquet")):
        rows = parquet.read_table(file)
        for name in sorted(ids(rows.schema)):
            if chance.random() < 0.3:
                at = rows.schema.get_field_index(name)
                cased = [v.upper() if v and chance.random() < 0.5 else v for v in rows.column(name).to_pylist()]
                rows = rows.set_column(at, rows.schema.field(at), pa.chunked_array([pa.array(cased, pa.string())]))
        alike = [name for name in ids(rows.schema) if is_uniform(rows.column(name))]
        uniform += len(alike)
        for folder, metadata in (("noted", note(alike)), ("blind", {})):
            written = tmp_path / folder / file.parent.name / file.name
            parquet.write_table(rows.replace_schema_metadata(metadata), written)
    noted, blind = (replace(broken, folder=tmp_path / folder).rows() for folder in ("noted", "blind"))
    # of the ways in which rows of a group write an id, any is shown
    assert repr(told(noted)).lower() == repr(told(blind)).lower()
    assert {name for name, rows in blind.items() if rows} == {name for name, rows in broken.rows().items() if rows}
    assert uniform > 100
