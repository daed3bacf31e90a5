# SPDX-License-Identifier: Apache-2.0
"""What is read of a process is what the kernel says; none of it follows the clock."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from stackmend_lab import processes


def ticks(pid: int) -> int:
    """Field 22 of proc(5), which earlier versions wrote into their files."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_the_start_is_the_kernels(tmp_path: Path) -> None:
    """To the tick, for every process there is: a lab that an earlier version has begun is known again."""
    same = [(pid, ticks(pid)) for pid in (os.getpid(), os.getppid(), 1)]
    assert [(pid, processes.begun(pid)) for pid, _ in same] == same
    assert abs(processes.started_at(ticks(os.getpid())) - time.time()) < 24 * 3600


def test_what_was_not_waited_for_is_dead() -> None:
    """A zombie of one thread, then a number that nobody has."""
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        begun = processes.begun(child.pid)
        assert begun == ticks(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}/stat").exists()
        assert processes.begun(child.pid) is None
        assert processes.variable(child.pid, "PATH") == ""
    assert processes.begun(child.pid) is None
    assert processes.session(child.pid) == 0


@pytest.mark.parametrize("value", ["", "x", "a=b", "/a folder/with \udcff:n\u00e4me"])
def test_a_variable_is_what_was_given(value: str) -> None:
    """Whatever a folder is called; one that is not there is empty."""
    with subprocess.Popen(["/bin/sleep", "600"], env={"MARK": value, "LAST": "1"}) as child:
        while not Path(f"/proc/{child.pid}/environ").read_bytes():  # the kernel has yet to show it
            time.sleep(0.01)
        # a report is sent as UTF-8, which a surrogate cannot be
        assert ascii(processes.variable(child.pid, "MARK")) == ascii(value)
        assert processes.variable(child.pid, "MAR") == ""
        assert child.pid in processes.every()
        assert processes.session(child.pid) == os.getsid(0)
        child.kill()
