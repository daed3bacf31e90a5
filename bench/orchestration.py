# SPDX-License-Identifier: Apache-2.0
"""``python -m bench.orchestration --hosts N --servers M``: what it costs to drain host after host, without real waits.

The cloud is simulated (stackmend_lab.simulated), including its time; the planner, runner, executor, operations and a
journal on disk are the real ones. The CPU time of the simulated services is subtracted. The baseline is a script that
starts the move of each server and checks every five seconds whether it has arrived, without guards, a journal or a
proof that the host is empty. The same drains are measured again in a cloud with four times as many hosts: what
stackmend keeps in memory must not grow with it. What the process keeps of each move is what the simulation keeps, which
the script shows, plus what stackmend keeps.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import say
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.planning import workflow_planner
from stackmend.engine.running.lanes import lanes
from stackmend.engine.running.runner import Runner, Tools
from stackmend.model.api import Request, Response
from stackmend.model.errors import Exit, SourceError
from stackmend.model.journal import RunRecord
from stackmend.model.plan import Limits, Plan
from stackmend.model.workflow import Sight
from stackmend_lab.simulated import Cloud, Faults, invariants

LIMITS = Limits(parallel=20, max_rows=1_000_000)
#: in every hundred calls and moves, some go wrong
FAULTS = Faults(every=200, no_valid_host=0.01, slow=0.01, rolled_back=0.01, broken=0.003, stranded=0.003)
_TRIES = 20
_LOOK = 5.0  #: seconds between two polls of the script
_WIDE = 50  #: the number of hosts that are drained in the cloud with four times as many hosts


class Size(NamedTuple):
    """The size of a measurement."""

    hosts: int
    servers: int  #: on each host
    drained: int  #: the number of hosts that are drained, one after the other


class Counted(Cloud):
    """A simulated cloud that counts its own costs."""

    spent = 0.0  #: CPU seconds
    requests = 0

    def send(self, request: Request, mark: str = "") -> Response:
        """Answer a request."""
        begin = time.process_time()
        try:
            return super().send(request, mark)
        finally:
            self.spent += time.process_time() - begin
            self.requests += 1


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.orchestration", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--hosts", type=int, default=500, metavar="N")
    parser.add_argument("--servers", type=int, default=40, metavar="M", help="of each host")
    parser.add_argument("--drained", type=int, default=50, metavar="D", help="hosts that are drained; 0: every one")
    parser.add_argument("--json", type=Path, help="write the results there too")
    options = parser.parse_args()
    size = Size(options.hosts, options.servers, options.drained or options.hosts)
    four = Size(4 * size.hosts, size.servers, min(size.drained, _WIDE))
    results = {
        "hosts": size.hosts, "servers_per_host": size.servers, "drained": size.drained,
        "stackmend": alone(drained, size), "script": alone(scripted, size), "stackmend_4x_hosts": alone(drained, four),
        "stackmend_troubled": alone(troubled, size),
    }  # fmt: skip
    ours, script, wide = results["stackmend"], results["script"], results["stackmend_4x_hosts"]
    results["requests_to_script"] = round(ours["requests"] / script["requests"], 2)
    results["kept_4x_to_1x"] = round(wide["kept_kib_per_move"] / ours["kept_kib_per_move"], 2)
    text = json.dumps(results, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def alone(measure: Callable[[Size], dict[str, Any]], size: Size) -> dict[str, Any]:
    """Measure in a separate process, whose peak memory includes nothing else."""
    say(f"{measure.__name__}: {size.drained} of {size.hosts} hosts with {size.servers} servers each")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (size,))


def drained(size: Size) -> dict[str, Any]:
    """Plan and run the drain of each host, verify that it is empty, and let it accept servers again."""
    cloud = _cloud(size)
    costs, exits = _rolled(cloud, size)
    assert set(exits) == {Exit.REPAIRED}, exits
    assert invariants(cloud) == []
    return costs


def troubled(size: Size) -> dict[str, Any]:
    """The same while services break down and moves fail, stall or strand. No server may be lost or exist twice."""
    cloud = _cloud(size, FAULTS)
    costs, exits = _rolled(cloud, size)
    assert invariants(cloud) == []
    words = {one.name.lower(): number for one, number in sorted(Counter(exits).items())}
    return costs | {"runs": words, "servers_broken_by_nova": len(cloud.world.harmed), "faults": _told(FAULTS)}


def _rolled(cloud: Counted, size: Size) -> tuple[dict[str, Any], list[Exit]]:
    """(what it cost to drain one host after the other, how each run ended)."""
    built, first, planning, running, steps = _peak(), 0, 0.0, 0.0, 0
    exits: list[Exit] = []
    with tempfile.TemporaryDirectory(prefix="stackmend-bench-") as folder:
        journal = DatabaseJournal(f"sqlite:///{folder}/journal.db")
        for name in list(cloud.world.hosts)[: size.drained]:
            begin, theirs = time.process_time(), cloud.spent
            plan = _plan(cloud, name)
            planning += time.process_time() - begin - (cloud.spent - theirs)
            begin, theirs = time.process_time(), cloud.spent
            record = RunRecord(
                id=f"r-{name}", kind="apply", plan=plan.id, sha256="", cloud=cloud.name, version="", operator="",
                host="", pid=1, created_at=plan.created_at, limits=LIMITS,
            )  # fmt: skip
            journal.begin(record, plan.runnable)
            result = Runner(_tools(cloud, journal), record, lanes(plan.runnable)).run(checked=True)
            running += time.process_time() - begin - (cloud.spent - theirs)
            exits.append(result.exit)
            assert result.exit is not Exit.REPAIRED or not cloud.world.hosts[name].servers, name
            steps += result.steps
            cloud.world.hosts[name].disabled = False
            # modules that the first drain loads are kept only once
            first = first or _peak()
        journal.close()
    cloud.clock.sleep(60)
    moved = len(cloud.world.migrations)
    return {
        "moves": moved, "steps": steps, "requests": cloud.requests,
        "plan_cpu_ms_per_host": _each(planning, size.drained), "run_cpu_ms_per_step": _each(running, steps),
        "run_cpu_ms_per_move": _each(running, moved), "services_cpu_ms_per_move": _each(cloud.spent, moved),
        "simulated_seconds_per_host": round(cloud.clock.seconds / size.drained, 1),
        "cloud_rss_mib": built // 1024, "peak_rss_mib": _peak() // 1024,
        "kept_kib_per_move": round((_peak() - first) / moved, 2),
    }, exits  # fmt: skip


def _plan(cloud: Counted, name: str) -> Plan:
    """Plan the drain of one host; try again if a service breaks down meanwhile."""
    for _ in range(_TRIES):
        sight = Sight(api=ApiReading(cloud, cloud.clock), live=None, hosts=None, now=cloud.clock.now().isoformat())
        drain = workflow_planner.workflow_of("drain-host")
        with suppress(SourceError):
            return workflow_planner.plan(
                drain, {"host": name}, sight, cloud=cloud.name, limits=LIMITS, describe=describe, waits=waits
            )
    raise SourceError(f"{name} cannot be planned")


def _told(faults: Faults) -> dict[str, Any]:
    """The faults that are switched on."""
    return {
        name: value
        for name, value in asdict(faults).items()
        if isinstance(value, int | float) and value and name != "span"
    }


def scripted(size: Size) -> dict[str, Any]:
    """Do what an operator's script does: ``server migrate --live-migration`` for all, then poll until none is left."""
    cloud = _cloud(size)
    total, first, moved = time.process_time(), 0, 0
    for name in list(cloud.world.hosts)[: size.drained]:
        host = cloud.world.hosts[name]
        host.disabled = True
        path = f"/servers/detail?all_tenants=1&host={name}"
        left = [one["id"] for one in _get(cloud, path)["servers"]]
        moved += len(left)
        while left:
            for server in left[: LIMITS.parallel]:
                body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
                way = f"/servers/{server}/action"
                cloud.send(Request(service="compute", method="POST", path=way, body=body, microversion="2.34"))
            some, left = left[: LIMITS.parallel], left[LIMITS.parallel :]
            while some:
                cloud.clock.sleep(_LOOK)
                some = [s for s in some if _get(cloud, f"/servers/{s}")["server"]["OS-EXT-SRV-ATTR:host"] == name]
        host.disabled = False
        first = first or _peak()
    total = time.process_time() - total
    return {
        "moves": moved, "requests": cloud.requests, "run_cpu_ms_per_move": _each(total - cloud.spent, moved),
        "simulated_seconds_per_host": round(cloud.clock.seconds / size.drained, 1),
        "kept_kib_per_move": round((_peak() - first) / moved, 2),
    }  # fmt: skip


def _cloud(size: Size, faults: Faults | None = None) -> Counted:
    cloud = Counted(1, size.hosts, size.servers, faults=faults)
    # the first use loads modules that are loaded only once
    workflow_planner.workflow_of("drain-host")
    cloud.requests, cloud.spent = 0, 0.0
    return cloud


def _get(cloud: Cloud, path: str) -> Any:
    return cloud.send(Request(service="compute", method="GET", path=path, microversion="2.1")).body


class _NoRows:
    """A writer for these plans, which have no row steps."""

    def close(self) -> None:
        """Nothing to close."""


def _tools(cloud: Cloud, journal: DatabaseJournal) -> Tools:
    return Tools(
        journal=journal,
        writer=_NoRows(),  # type: ignore[arg-type]
        ask=lambda _: Confirmed(),
        progress=lambda *_: None,
        executors={"api": ApiExecutor(lambda: cloud, cloud.clock)},
        clock=cloud.clock,
    )


def _each(seconds: float, number: int) -> float:
    return round(1000 * seconds / number, 3)


def _peak() -> int:
    """The peak memory of this process in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
