# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage in the configuration: what they must say, and what cannot be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.config.settings import Config, load
from stackmend.model.errors import ConfigError
from stackmend.model.objects.storage import BackEnd

POOL = '[storage.ceph]\nkind = "rbd"\nplace = "volumes"\n'


def read(tmp_path: Path, text: str) -> Config:
    """The configuration with this text."""
    path = tmp_path / "cloud.toml"
    path.write_text(text)
    return load(str(path))


def test_a_back_end_is_what_its_section_says(tmp_path: Path) -> None:
    """Every key, and what is meant without it."""
    more = 'host = "ctl"\ncinder = ["ctl@ceph#a", "all@ceph"]\nnova = true\nshared = true\ntimeout = 60\n'
    folder = '[storage.nfs]\nkind = "file"\nplace = "/mnt/a b"\ncinder = ["ctl@nfs"]\n'
    ceph = BackEnd(
        name="ceph", kind="rbd", place="volumes", host="ctl", cinder=("ctl@ceph#a", "all@ceph"), nova=True, shared=True,
        program=("rbd", "--id", "x"), limit=60.0,
    )  # fmt: skip
    nfs = BackEnd(name="nfs", kind="file", place="/mnt/a b", cinder=("ctl@nfs",))
    assert read(tmp_path, f'{folder}{POOL}{more}program = ["rbd", "--id", "x"]\n').storage == (ceph, nfs)
    assert read(tmp_path, "").storage == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (POOL, "does not say whose it is"),
        ('[storage.ceph]\nkind = "rdb"\n', "kind of .* is not file or lvm or rbd"),
        ('[storage.ceph]\nplace = "volumes"\n', "kind of"),
        ('[storage.ceph]\nkind = "rbd"\nplace = "-v"\nnova = true\n', "not the name of a pool"),
        ('[storage.ceph]\nkind = "lvm"\nplace = "a/b"\nnova = true\n', "not the name of a pool"),
        ('[storage.nfs]\nkind = "file"\nplace = "mnt"\nnova = true\n', "not a folder"),
        ('[storage."a b"]\nkind = "rbd"\n', "no name to write on a command line"),
        ('[storage.one]\nkind = "lvm"\nplace = "a"\nnova = true\n', "it is no rbd"),
        (f'{POOL}cinder = ["ctl"]\n', "ctl, which is no back end"),
        (f"{POOL}colour = 1\n", "unknown key colour"),
        ('[storage]\nkind = "rbd"\n', "storage.kind in .* must be a section"),
        (f'{POOL}cinder = ["c@a"]\n[storage.two]\nkind = "rbd"\nplace = "b"\ncinder = ["c@a"]\n', "both have volumes"),
        (
            f'{POOL}cinder = ["c@a#x"]\n[storage.two]\nkind = "rbd"\nplace = "b"\ncinder = ["c@a"]\n',
            "both have volumes",
        ),
        (
            f'{POOL}cinder = ["c@a"]\n[storage.two]\nkind = "rbd"\nplace = "b"\ncinder = ["c@a#x"]\n',
            "both have volumes",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """With the section and the way out."""
    with pytest.raises(ConfigError, match=why) as caught:
        read(tmp_path, text)
    assert caught.value.hint


def test_two_pools_of_a_back_end_are_two_sections(tmp_path: Path) -> None:
    """Each with the name of its pool."""
    two = '[storage.two]\nkind = "rbd"\nplace = "b"\ncinder = ["c@a#y"]\n'
    assert [one.name for one in read(tmp_path, f'{POOL}cinder = ["c@a#x"]\n{two}').storage] == ["ceph", "two"]
