# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.drain``: compares draining a host of the lab with a shell loop of ``openstack server migrate``.

It uses a lab of real services in a temporary folder. The contestants take turns with the same servers, from c01 to c02
and back again. It reports wall time and the number of requests that Nova's API received, as ratios. The lab's fake
hypervisors move a guest at once, so this measures the orchestration, which is where the contestants differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import Cost, ratio, say, timed
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait_server

#: both in cell1
HOSTS = ("c01", "c02")


@dataclass
class Contestant:
    """One way to empty a host."""

    name: str
    drain: Callable[[Plane, str, str, list[str]], None]
    cost: Cost = field(default_factory=Cost)
    requests: list[int] = field(default_factory=list)

    def turn(self, plane: Plane, source: str, target: str, servers: list[str]) -> None:
        """Empty ``source``, and verify that it is empty."""
        before = _requests(plane)
        timed(self.cost, lambda: self.drain(plane, source, target, servers))
        self.requests.append(_requests(plane) - before)
        cloud: Any = plane.connect()
        left = [s.id for s in cloud.compute.servers(all_projects=True, compute_host=source)]
        if left:
            raise RuntimeError(f"{self.name} left {len(left)} servers on {source}")
        for service in cloud.compute.services(binary="nova-compute", host=source):
            cloud.compute.enable_service(service)

    def as_dict(self) -> dict[str, Any]:
        """The costs as JSON values."""
        return {**self.cost.as_dict(), "api_requests": sorted(self.requests)[len(self.requests) // 2]}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.drain", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--servers", type=int, default=20, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="of each contestant; the median counts")
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="servers that stackmend moves at a time")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackmend-bench-") as folder:
        plane = Plane(Path(folder) / "lab")
        try:
            plane.up(say)
            results = measured(plane, options)
        finally:
            plane.down()
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def measured(plane: Plane, options: argparse.Namespace) -> dict[str, Any]:
    """Measure both contestants in rounds, there and back again."""
    cloud: Any = plane.connect()
    for one in cloud.compute.servers(all_projects=True):
        if one.compute_host in HOSTS:
            cloud.compute.delete_server(one, ignore_missing=True)
            cloud.compute.wait_for_delete(one)
    servers = [create_server(cloud, f"bench-{n}", [], f"nova:{HOSTS[0]}") for n in range(options.servers)]
    for server in servers:
        wait_server(cloud, server)
    contestants = (
        Contestant("stackmend", partial(_stackmend, options.parallel)),
        Contestant("loop", _loop),
    )
    source, target = HOSTS
    for number in range(options.rounds):
        for one in contestants:
            one.turn(plane, source, target, servers)
            source, target = target, source
            say(f"round {number + 1}: {one.name} took {one.cost.wall[-1]:.1f} s, {one.requests[-1]} requests")
    ours, theirs = contestants
    return {
        "servers": options.servers,
        "parallel": options.parallel,
        "stackmend": ours.as_dict(),
        "loop": theirs.as_dict(),
        "wall_to_loop": ratio(ours.cost, theirs.cost),
        "requests_to_loop": round(ours.as_dict()["api_requests"] / theirs.as_dict()["api_requests"], 3),
    }


def _stackmend(parallel: int, plane: Plane, source: str, target: str, servers: list[str]) -> None:
    del servers
    words = ["host", "drain", source, "--to", target, "--parallel", str(parallel), "--yes", "--accept", "all"]
    _run(plane, [str(Path(sys.executable).with_name("stackmend")), "--config", str(plane.toml), *words], {0, 4})


def _loop(plane: Plane, source: str, target: str, servers: list[str]) -> None:
    """Do what source document 002 does, plus the wait that it omits: otherwise nobody knows when the host is empty."""
    openstack = f"{plane.layout.services}/bin/openstack"
    _run(plane, [openstack, "compute", "service", "set", "--disable", source, "nova-compute"], {0})
    for server in servers:
        _run(plane, [openstack, "server", "migrate", "--live-migration", "--host", target, "--wait", server], {0})


def _run(plane: Plane, argv: list[str], expect: set[int]) -> None:
    done = subprocess.run(argv, env=plane.shell_environment(), capture_output=True, text=True, check=False)
    if done.returncode not in expect:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")


def _requests(plane: Plane) -> int:
    """The number of requests that Nova's API has answered."""
    log = plane.layout.logs / "nova-api.log"
    with log.open(encoding="utf-8", errors="replace") as lines:
        return sum("requestlog" in line for line in lines)


if __name__ == "__main__":
    main()
