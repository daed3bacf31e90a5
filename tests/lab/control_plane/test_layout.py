# SPDX-License-Identifier: Apache-2.0
"""A lab's folder, ports and passwords are chosen once, kept, and never guessed."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from stackmend.model.errors import UsageError
from stackmend.tables.releases import NEWEST
from stackmend_lab.control_plane import layout
from stackmend_lab.mariadb import LabError

SERVICES = Path("/opt/services")


@pytest.fixture
def lab(tmp_path):
    """A new lab's layout."""
    return layout.create(tmp_path / "lab", None, None, SERVICES)


def test_a_new_lab_has_four_hosts_in_two_cells(lab):
    """Three hosts in the first cell, one in the second."""
    assert lab.hosts == {"c01": "cell1", "c02": "cell1", "c03": "cell1", "c04": "cell2"}
    assert lab.cells == ("cell1", "cell2")


@pytest.mark.parametrize(
    ("hosts", "cells", "sizes"), [(1, 1, [1]), (4, 2, [3, 1]), (5, 5, [1] * 5), (20, 2, [15, 5]), (12, 3, [8, 2, 2])]
)
def test_every_cell_has_a_host(hosts, cells, sizes):
    """The first cell is the largest; no cell is empty and no host is lost."""
    spread = layout.spread(hosts, cells)
    assert len(spread) == hosts
    assert [list(spread.values()).count(f"cell{n}") for n in range(1, cells + 1)] == sizes


@pytest.mark.parametrize(("hosts", "cells"), [(1, 2), (0, 0), (-1, 1), (3, 0), (41, 2)])
def test_impossible_sizes_are_refused(tmp_path, hosts, cells):
    """Impossible sizes are a usage error, and nothing is created."""
    with pytest.raises(UsageError):
        layout.create(tmp_path / "lab", hosts, cells, SERVICES)
    assert not (tmp_path / "lab").exists()


def test_what_was_chosen_is_kept(lab):
    """Reading it again gives the same ports and passwords."""
    assert layout.load(lab.folder) == lab


def test_a_lab_keeps_its_release(tmp_path):
    """Its databases are those of a release: another one is refused; a lab without one in its file is of the newest."""
    lab = layout.create(tmp_path / "lab", 1, 1, SERVICES, release="2024.1")
    assert layout.adapted(layout.load(lab.folder), None, None, SERVICES).release == "2024.1"
    with pytest.raises(UsageError, match=r"has the services of 2024\.1 and keeps them"):
        layout.adapted(lab, None, None, SERVICES, release=NEWEST)

    path = lab.folder / "lab.json"
    document = json.loads(path.read_text())
    del document["release"]
    path.write_text(json.dumps(document))
    assert layout.load(lab.folder).release == NEWEST


def test_ports_are_distinct_free_and_below_those_of_outgoing_connections(lab):
    """The ports are chosen so that they are free at the next start too."""
    assert len(set(lab.ports.values())) == len(layout.LISTENERS)
    assert all(layout.is_free(port) and port < 32768 for port in lab.ports.values())


def test_a_port_in_use_is_not_free():
    """A port on which something listens is not offered."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not layout.is_free(taken.getsockname()[1])


def test_passwords_are_random_and_private(lab, tmp_path):
    """Another lab has other passwords; only the owner can read the file; the text of a layout does not show them."""
    other = layout.create(tmp_path / "other", None, None, SERVICES)
    assert not set(lab.passwords.values()) & set(other.passwords.values())
    assert stat.S_IMODE((lab.folder / "lab.json").stat().st_mode) == 0o600
    assert not any(password in repr(lab) for password in lab.passwords.values())


def test_a_folder_without_a_lab_says_so(tmp_path):
    """A folder without a lab raises NoLabError with what to type."""
    with pytest.raises(layout.NoLabError) as caught:
        layout.load(tmp_path)
    assert "stackmend lab up" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "services": "/x", "more": 1}'])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, text):
    """A damaged file is an error that names it, not a traceback."""
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"lab\.json is damaged"):
        layout.load(tmp_path)


def test_another_format_is_refused(lab):
    """The format of another version is refused, not guessed at."""
    path = lab.folder / "lab.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(LabError, match="another version"):
        layout.load(lab.folder)


@pytest.mark.parametrize("name", ["with blank", "dollar$", "per%cent", "ünder", "quote'"])
def test_paths_that_services_do_not_take_are_refused(tmp_path, name):
    """Paths that services do not accept are refused before anything is created."""
    with pytest.raises(UsageError, match="will not do"):
        layout.create(tmp_path / name, None, None, SERVICES)


def test_a_folder_with_other_things_is_refused(tmp_path):
    """A lab is never created in a folder that has other files."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        layout.create(tmp_path, None, None, SERVICES)


def test_a_lab_grows_in_its_first_cell(lab):
    """Hosts are added to the first cell; existing hosts stay where they are."""
    grown = layout.adapted(lab, 6, None, SERVICES)
    assert grown.hosts == {**lab.hosts, "c05": "cell1", "c06": "cell1"}
    assert grown.ports == lab.ports


@pytest.mark.parametrize(("hosts", "cells"), [(3, None), (None, 1), (None, 3)])
def test_a_lab_does_not_lose_hosts_or_change_cells(lab, hosts, cells):
    """Fewer hosts or other cells are a usage error that says what exists."""
    with pytest.raises(UsageError, match="keeps them"):
        layout.adapted(lab, hosts, cells, SERVICES)


def test_databases_are_called_as_stackmend_calls_them(lab):
    """The first cell's database is Nova's main one; cell0's is named as Nova derives it."""
    assert {name: lab.database(name) for name in ("cell:cell0", "cell:cell1", "cell:cell2", "neutron")} == {
        "cell:cell0": "nova_cell0",
        "cell:cell1": "nova",
        "cell:cell2": "nova_cell2",
        "neutron": "neutron",
    }
