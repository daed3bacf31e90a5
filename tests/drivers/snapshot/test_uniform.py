# SPDX-License-Identifier: Apache-2.0
"""Which columns of a snapshot are noted as ids that are written in one way."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from stackmend.drivers.snapshot.query import DuckQuery
from stackmend.drivers.snapshot.stream import _Sink
from stackmend.drivers.snapshot.uniform import KEY, ids, uniform

MANY = [str(uuid.UUID(int=n * 7**20)) for n in range(1, 100)]


@pytest.mark.parametrize("odd", [MANY[5].upper(), f"{MANY[5]} ", "lb-é", "compute:Nova"])
def test_one_odd_id_counts(odd: str) -> None:
    """Capitals, blanks and anything that is not ASCII."""
    assert uniform(pa.chunked_array([MANY]))
    assert not uniform(pa.chunked_array([MANY, [None, odd]]))


def test_no_id_is_in_no_other_case() -> None:
    """A column without any text is uniform."""
    assert uniform(pa.chunked_array([pa.array([None, None], pa.string())]))
    assert uniform(pa.chunked_array([], pa.string()))


def test_only_ids() -> None:
    """A status in lower case is compared with constants, which a service may have written in capitals."""
    names = ("id", "uuid", "port_id", "instance_uuid", "status", "host", "identity", "paid")
    assert ids(pa.schema([(name, pa.string()) for name in names])) == {"id", "uuid", "port_id", "instance_uuid"}
    assert ids(pa.schema([("id", pa.int64())])) == frozenset()


def written(file: Path, *groups: list[str]) -> Path:
    """A file as the collector writes it."""
    sink = _Sink(file)
    for group in groups:
        sink.write(pa.table({"uuid": group, "status": ["x"] * len(group)}))
    sink.close()
    return file


def test_the_collector_notes_what_all_rows_are(tmp_path: Path) -> None:
    """Over all row groups."""
    alike, odd = written(tmp_path / "a", MANY), written(tmp_path / "b", MANY * 700, [MANY[0].upper()])
    assert parquet.read_metadata(odd).num_row_groups > 1
    assert parquet.read_metadata(alike).metadata[KEY.encode()] == b"uuid"
    assert parquet.read_metadata(odd).metadata[KEY.encode()] == b""


@pytest.mark.parametrize(
    ("files", "found"), [(("alike",), 0), (("alike", "odd"), 1), (("alike", "unnoted"), 1), (("odd",), 1)]
)
def test_a_table_is_as_its_files_are(tmp_path: Path, files: tuple[str, ...], found: int) -> None:
    """Only if all files are noted, bytes are compared; else capitals do not count."""
    written(tmp_path / "alike", MANY)
    written(tmp_path / "odd", [MANY[0].upper()])
    parquet.write_table(pa.table({"uuid": MANY, "status": ["x"] * len(MANY)}), tmp_path / "unnoted")
    query = DuckQuery()
    query.add_files("servers", [tmp_path / name for name in files])
    shouted = query.rows(f"SELECT DISTINCT uuid FROM servers WHERE uuid = '{MANY[0].upper()}'", {})
    query.close()
    assert len(shouted) == found
