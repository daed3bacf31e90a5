# SPDX-License-Identifier: Apache-2.0
"""Record a real rehearsal on a lab: docs/how-to/rehearsal/*.txt. Nothing in those files is written by hand.

Run it on a lab that is up, after a change of what the commands print:
``python scripts/record_rehearsal.py /path/of/the/lab``. Nothing may be wrong there. It removes what it makes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait, wait_server

PAGES = Path(__file__).parent.parent / "docs" / "how-to" / "rehearsal"
#: widest line that a page shows whole
WIDTH = 150


class Terminal:
    """Types commands into the environment of ``stackmend lab shell`` and keeps what came."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        self.lines: list[str] = []

    def type(self, command: str) -> str:
        """One command; its output, standard error after standard output, and the exit code unless that is 0."""
        variables = {**os.environ, **self.plane.shell_environment(), "STACKMEND_LAB": str(self.plane.folder)}
        variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=variables, capture_output=True, text=True, check=False
        )
        shown = [f"$ {command}", *(line.rstrip() for line in (done.stdout + done.stderr).splitlines())]
        self.lines += [line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in shown]
        if done.returncode:
            self.lines.append(f"[exit {done.returncode}]")
        return done.stdout

    def save(self, name: str) -> None:
        """End one page; paths of this machine become those of the docs."""
        text = "\n".join(self.lines) + "\n"
        text = text.replace(str(self.plane.folder), "/srv/lab").replace(f"{self.folder}/", "")
        PAGES.mkdir(exist_ok=True)
        (PAGES / f"{name}.txt").write_text(text)
        self.lines = []


def record(plane: Plane, folder: Path) -> None:
    """Break, audit, plan, apply, use, undo; then mend it for good."""
    terminal = Terminal(plane, folder)
    terminal.type("stackmend audit")
    if not any("no findings" in line for line in terminal.lines):
        sys.exit("\n".join(["something else is wrong on this lab:", *terminal.lines]))
    terminal.lines = []
    broken = json.loads(terminal.type("stackmend lab break info-cache-empty -f json"))
    server = shlex.quote(broken["key"]["server"])
    terminal.type(f"openstack server show {server} -c addresses -c status")
    terminal.type(f"openstack port list --server {server} -c ID -c Status -c 'Fixed IP Addresses'")
    terminal.save("break")
    terminal.type("stackmend audit")
    terminal.type("stackmend plan create --allow-db --out plan.json")
    terminal.type("stackmend plan show plan.json")
    terminal.save("plan")
    terminal.type("stackmend plan apply plan.json --yes")
    run = _run(terminal.lines)
    terminal.type("stackmend audit")
    terminal.save("apply")
    terminal.type(f"stackmend run undo {run} --yes")
    terminal.type("stackmend audit")
    terminal.type("stackmend plan create --allow-db --out again.json")
    terminal.type("stackmend plan apply again.json --yes")
    terminal.save("undo")
    terminal.type(f"openstack server reboot --hard --wait {server}")
    terminal.type(f"openstack server show {server} -c addresses -c status")
    terminal.type(f"stackmend port list --server {server}")
    cloud = plane.connect()
    wait_server(cloud, server)
    wait(lambda: all(p.status == "ACTIVE" for p in cloud.network.ports(device_id=server)), "ports to be ACTIVE", 60)
    terminal.type(f"openstack port list --server {server} -c ID -c Status -c 'Fixed IP Addresses'")
    own = next(port.id for port in cloud.network.ports(device_id=server) if port.name)
    terminal.type(f"openstack server delete --wait {server}")
    terminal.type(f"openstack port show {own} -c name -c device_id -c fixed_ips -c status")
    terminal.save("use")
    cloud.network.delete_port(own)


def _run(lines: list[str]) -> str:
    """Id of the run that was just made."""
    return re.findall(r"run undo (\S+) --yes", "\n".join(lines))[-1]


def main() -> None:
    """Record it."""
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/record_rehearsal.py FOLDER-OF-A-LAB")
    with tempfile.TemporaryDirectory() as folder:
        record(Plane(Path(sys.argv[1])), Path(folder))


if __name__ == "__main__":
    main()
