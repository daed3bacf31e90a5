# SPDX-License-Identifier: Apache-2.0
"""The key that seals secret columns is there whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackmend.drivers.writing.seal import Sealer
from stackmend.model.errors import JournalError

SECRET = {"password": "Xyzzy-plugh-42", "raw": b"\x00\xff", "none": None}
#: seals with a key that cannot be written: as on a full disk, the file is created and stays empty
ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from stackmend.drivers.writing.seal import Sealer
from stackmend.model.errors import JournalError
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    Sealer(Path(sys.argv[1])).seal({})
except JournalError as problem:
    print(problem.message)
"""


def test_what_is_sealed_is_unsealed_with_its_key_only(tmp_path: Path) -> None:
    """The very values, from a file that only its owner reads; another key is named."""
    sealed = Sealer(tmp_path / "new" / "key").seal(SECRET)
    assert Sealer(tmp_path / "new" / "key").unseal(sealed) == SECRET
    assert (tmp_path / "new" / "key").stat().st_mode & 0o777 == 0o600
    assert "Xyzzy" not in sealed
    Sealer(tmp_path / "other").seal({})
    with pytest.raises(JournalError, match="do not match the key"):
        Sealer(tmp_path / "other").unseal(sealed)


def test_a_key_that_cannot_be_written_leaves_none(tmp_path: Path) -> None:
    """A full disk is an error with a name, and not in the way when there is space again."""
    key = tmp_path / "key"
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(key)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"the key {key} cannot be read or created: File too large\n"
    assert not key.exists()
    assert Sealer(key).unseal(Sealer(key).seal(SECRET)) == SECRET
