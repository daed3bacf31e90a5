# SPDX-License-Identifier: Apache-2.0
"""``--nice`` spares the machine that it runs on, too: often a controller, beside the services."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.cloud import build

from .conftest import PROGRAM

_LOWEST = 19


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a small healthy cloud."""
    folder = tmp_path_factory.mktemp("giving-way")
    cloud = build(folder / "cloud", servers=20)
    cloud.close()
    file = folder / "stackmend.toml"
    file.write_text(cloud.toml(), encoding="utf-8")
    return file


def priorities(*argv: str) -> set[int]:
    """The priorities that an audit was seen to have, until it had ended; an idle cloud ages meanwhile."""
    found = set()
    with subprocess.Popen([PROGRAM, "-q", *argv], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found.add(os.getpriority(os.PRIO_PROCESS, process.pid))
            time.sleep(0.005)
    assert process.returncode in (Exit.CLEAN, Exit.FINDINGS)
    return found


@pytest.mark.parametrize("always", [False, True])
def test_a_nice_audit_gives_way_to_every_other_process(config: Path, tmp_path: Path, always: bool) -> None:
    """Asked by the option or by the configuration: lowest priority. Without either, that of whoever starts it."""
    chosen, ours = tmp_path / "stackmend.toml", os.getpriority(os.PRIO_PROCESS, 0)
    text = config.read_text(encoding="utf-8")
    chosen.write_text(text + ("\n[nice]\nalways = true\nrest = 0.1\n" if always else ""), encoding="utf-8")
    assert max(priorities("--config", str(chosen), "audit", *([] if always else ["--nice"]))) == _LOWEST
    if not always:
        assert priorities("--config", str(chosen), "audit") == {ours}


def test_who_calls_the_program_as_a_function_keeps_its_priority(config: Path) -> None:
    """A priority is lowered for good: only the program's own process does that."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert main(["-q", "--config", str(config), "audit", "--nice"]) in (Exit.CLEAN, Exit.FINDINGS)
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours
