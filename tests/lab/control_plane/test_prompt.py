# SPDX-License-Identifier: Apache-2.0
"""The shell of a lab shows that it is one, and keeps the operator's own settings."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import subprocess
import termios
from pathlib import Path

import pytest

from stackmend_lab.control_plane.prompt import prompting


@pytest.mark.parametrize("name", ["bash", "dash", "zsh", "fish"])
def test_the_prompt_says_where_one_is(tmp_path: Path, name: str) -> None:
    """The prompt begins with (lab); the operator's settings stay."""
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / ".bashrc").write_text('PS1="mine> "; MINE=yes\n')
    words, more = prompting(shell, tmp_path)
    master, slave = pty.openpty()
    done = subprocess.Popen(
        [shell, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "HOME": str(tmp_path), **more},
        start_new_session=True,
        preexec_fn=_own,  # without a terminal of its own, fish is not interactive
    )
    os.close(slave)
    os.write(master, b"echo mine=$MINE; exit\n")
    text = _all(master).decode(errors="replace")
    done.wait(30)
    os.close(master)
    assert "(lab) " in text
    if name == "bash":
        assert "(lab) mine> " in text
        assert "mine=yes" in text


def _own() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _all(master: int) -> bytes:
    """Everything printed to the terminal until nobody has it open; a single read returns only a part."""
    found = b""
    with contextlib.suppress(OSError):  # EIO means that nobody has it open
        while some := os.read(master, 65536):
            found += some
    return found
