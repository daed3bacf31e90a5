# SPDX-License-Identifier: Apache-2.0
"""The soak: damage, audit, plan, apply and undo in a loop on three Galera nodes, of which any may die meanwhile."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from tests.soak.ledger import Change, Keys, Row, Rows, Text, of_run, text, violations
from tests.soak.services import MARKS, SERVICES, TABLES, Choice, Schemas, Service, raw
from tests.soak.trouble import ANY_TIME, Trouble
from tests.support.cut_wire import wire
from tests.support.damaged_cloud import Mortal
from tests.support.galera import Galera, Node, configuration

from stackmend.app import audits, plans
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import StackmendError
from stackmend.model.journal import RunRecord, RunState
from stackmend.model.plan import Plan
from stackmend.model.step import BumpRow, DeleteRow, StepState, UpdateRow
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.cloud.build import DATABASES
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants import Case, broken

#: of every node: what a crash must not lose is on disk
_DURABLE = {"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "1", "max_connections": "300"}
_SERVERS, _BREAKS = 150, 20
_TROUBLED, _ATTEMPTS = 3, 5
#: seconds of silence after which stackmend gives a database up: less than a node stands still at most
_SILENCE = 8
_SETTLED = (RunState.DONE, RunState.STOPPED)
#: violations that are printed of one comparison
_SHOWN = 10
#: seconds for which a cluster may answer nothing
_PATIENCE = 120
#: errors of a process that did not get as far as to begin: tried again
_LATER = {"SourceError", "SilentError", "BusyError", "LockedError", "WriteError"}


@dataclass
class Soak:
    """A cloud on a cluster, what writes to it, and what came of it so far."""

    galera: Galera
    cloud: Cloud
    config: Config
    file: Path
    die: Mortal
    trouble: Trouble
    chance: random.Random
    say: Callable[[str], None]
    keys: Keys
    schemas: Schemas = field(default_factory=lambda: {name: schema for name, (_, schema) in DATABASES.items()})
    figures: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    judged: Counter[str] = field(default_factory=Counter)  #: service -> how many of its commits were compared already

    def cycle(self) -> None:
        """One damage, and what becomes of it."""
        self._restored()
        planted = self._planted()
        before = self.rows()
        self._staffed(before)
        plan = self._planned(planted)
        if plan is not None:
            middle, known = self._phase(before, self.known(), lambda: self._ended("apply", self._filed(plan)), plan)
            applied = sorted(self.known() - known)
            after, known = self._phase(middle, self.known(), lambda: self._undone(applied), plan)
            self._as_before(before, after, applied, sorted(known))
        for service in self.services:
            service.stop()
        self._counted()
        self.trouble.calm()
        self._alike()
        self.figures["cycles"] += 1

    # -- one cycle

    def _restored(self) -> None:
        """The cloud as it was built, its services reported just now."""
        self.cloud.restore()
        self.cloud.renew()
        self.galera.whole()
        self.trouble.lead()

    def _planted(self) -> list[Case]:
        found = []
        for case in self.chance.sample(list(broken()), _BREAKS):
            try:
                case.make(self.cloud)
                found.append(case)
            except LookupError:
                self.figures["damage for which there were too few servers"] += 1
        self.figures["objects damaged"] += len(found)
        return found

    def _staffed(self, before: Rows) -> None:
        """Services, with the rows that there are."""
        chosen: dict[str, dict[tuple[str, str], list[dict[str, Text]]]] = {name: {} for name in TABLES}
        for row, image in before.items():
            for name, tables in TABLES.items():
                if DATABASES[row.database][0] == name and row.table in tables and image.get("deleted", "0") == "0":
                    chosen[name].setdefault((row.database, row.table), []).append(dict(image))
        seed = self.chance.random()
        self.judged = Counter()
        self.services = [
            Service(
                name, tasks, self.galera.nodes, Choice(chosen[name], f"{name} {seed}"), self.schemas, self.keys, pause
            )
            for name, (tasks, pause) in SERVICES.items()
        ]
        for service in self.services:
            service.start()
            service.go()

    def _planned(self, planted: Sequence[Case]) -> Plan | None:
        """An audit on some node and the plan for what it found; None if that was nothing, or could not be read."""
        if self.chance.random() < 0.15:
            self.say(f"  audit: {self.trouble.arm(ANY_TIME)}")
        try:
            report = audits.audit(self.config, settle=0, use_api=False)
            self.figures["audits"] += 1
            self.figures["audits incomplete"] += bool(report.incomplete)
            plan = plans.repair_plan(
                self.config, report, allow_db=True, repairs=[case.chosen for case in planted if case.chosen]
            )
        except StackmendError as problem:
            self.figures["audits and plans refused"] += 1
            self.say(f"  no plan: {problem.message}")
            return None
        finally:
            self.trouble.disarm()
        self.figures["findings"] += len(report.findings)
        self.figures["plans"] += bool(plan.runnable)
        self.say(
            f"  {len(report.findings)} findings, {len(report.incomplete)} incomplete, {len(plan.runnable)} repairs"
        )
        return plan if plan.runnable else None

    def _phase(self, before: Rows, known: set[str], act: Callable[[], None], plan: Plan) -> tuple[Rows, set[str]]:
        """Do it in trouble, then compare; returns the rows, and the runs that there were before."""
        aimed = changed(plan, self.keys)
        for service in self.services:
            service.choice.aim(aimed)
            service.go()
        act()
        for service in self.services:
            service.rest()
        self.trouble.disarm()
        self.trouble.awake()
        for service in self.services:
            service.rested()
        changes = [change for service in self.services for change in service.commits[self.judged[service.name] :]]
        self.judged = Counter({service.name: len(service.commits) for service in self.services})
        own = [change for run in self.known() - known for change in self._of(run)]
        after = self.rows()
        found = list(violations(before, after, [*changes, *own]))
        self.figures["rows that runs say they changed"] += len({change.row for change in own if not change.doubtful})
        self.figures["rows left in doubt"] += len({change.row for change in own if change.doubtful})
        self.figures["rows compared"] += len(after)
        self._repeated(self.known() - known)
        self._violated(found)
        return after, known

    def _violated(self, found: Sequence[str]) -> None:
        for one in found[:_SHOWN]:
            self.say(f"  VIOLATION {one}")
        self.violations += found

    def _filed(self, plan: Plan) -> Path:
        path = self.file.with_name("plan.json")
        plans.write(self.config, plan, str(path))
        return path

    def _ended(self, do: str, what: str | Path) -> None:
        """A run, resumed until it is settled."""
        known = self.known()
        for attempt in range(_ATTEMPTS):
            again = self._once(do, what, calm=attempt >= _TROUBLED)
            if self.known() - known or not again:
                break
            time.sleep(1)
        if not self.known() - known:
            self.figures["runs refused, or with nothing to do"] += 1
        for attempt in range(_ATTEMPTS):
            open_ = [run for run in self.records() if run.id not in known and run.state not in _SETTLED]
            if not open_:
                return
            self.figures["runs resumed"] += 1
            if attempt == _TROUBLED:
                self.trouble.calm()
            self._once("resume", open_[0].id, calm=attempt >= _TROUBLED)
            time.sleep(0.5)
        self.figures["runs never settled"] += 1
        self._violated([f"run {run.id} is still {run.state}" for run in self.records() if run.id in
                        self.known() - known and run.state is RunState.CUT_OFF])  # fmt: skip

    def _once(self, do: str, what: str | Path, *, calm: bool) -> bool:
        """One process, which may be killed, beside nodes that may be; True if it is worth trying again."""
        order: dict[str, Any] = {}
        told = []
        if not calm and self.chance.random() < 0.25:
            order = {"deadly": self.chance.randrange(1, 10), "when": self.chance.choice(["before", "after"])}
            told.append(f"killed {order['when']} its write {order['deadly']}")
        if not calm and self.chance.random() < 0.6:
            told.append(self.trouble.arm())
        begun = time.monotonic()
        ended = self.die(do, self.file, what, **order)
        result, error = ended["result"], ended["error"]
        self.figures[f"processes that {do}"] += 1
        self.figures["processes killed"] += bool(ended["signal"])
        if result is None and not ended["signal"] and not error:
            self._violated([f"{do} ended with a traceback"])
            return False
        shown = f"signal {ended['signal']}" if ended["signal"] else error[1] if error else (
            f"exit {result['exit']}, {result['done']} done, {result['stale']} stale, {result['failed']} failed,"
            f" {result['in_doubt']} in doubt"
        )  # fmt: skip
        self.say(f"  {do} ({'; '.join(told) or 'calm'}): {shown} ({time.monotonic() - begun:.1f} s)")
        if ended["signal"] or error or result["exit"] == 6:
            self.figures["runs interrupted"] += 1
        return bool(ended["signal"]) or bool(error and error[0] in _LATER)

    def _undone(self, applied: Sequence[str]) -> None:
        for run in self.records():
            if run.id in applied and run.kind == "apply":
                self._ended("undo", run.id)

    def _as_before(self, before: Rows, after: Rows, applied: Sequence[str], known: Sequence[str]) -> None:
        """Where all was undone, and no service wrote, the rows are as before the run; counters never go back."""
        served = {change.row for service in self.services for change in service.commits}
        back = [run for run in self.records() if run.undoes in applied and run.id not in known]
        if not back or any(run.state is not RunState.DONE for run in back):
            return
        undone = {change.row for run in back for change in self._of(run.id) if not change.by}
        counted = {change.row for run in back for change in self._of(run.id) if change.by}
        rows = undone - served - counted
        self.figures["rows proved as before after an undo"] += len(rows)
        self._violated([
            f"{row}: undone, but not as before: {before.get(row)} -> {after.get(row)}"
            for row in rows if before.get(row) != after.get(row)
        ])  # fmt: skip

    def _counted(self) -> None:
        for service in self.services:
            for what, number in service.counts.items():
                self.figures[f"transactions of services, {what}"] += number

    def _alike(self) -> None:
        """All nodes have the same rows."""
        first, *others = [self.rows(number) for number in range(len(self.galera.nodes))]
        for number, other in enumerate(others, 1):
            self._violated([f"node {number} differs: {one}" for one in violations(first, other, ())])

    # -- what there is

    def rows(self, number: int | None = None) -> Rows:
        """Every row of every database, on some node of the quorum; a cluster that loses a node answers later."""
        node = self.galera.nodes[self.trouble.present() if number is None else number]
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return dump(node, self.schemas, self.keys)
            except pymysql.MySQLError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def known(self) -> set[str]:
        """Ids of the runs in the journal."""
        return {run.id for run in self.records()}

    def records(self) -> list[RunRecord]:
        """The runs in the journal, oldest first."""
        with self._journal() as journal:
            return sorted(journal.runs(), key=lambda run: run.created_at)

    def _of(self, run: str) -> list[Change]:
        with self._journal() as journal:
            return of_run(run, journal.actions(run), journal.entries(run), self.keys)

    def _repeated(self, runs: set[str]) -> None:
        """Count transactions that a run announced for steps which it had announced before."""
        for run in runs:
            with self._journal() as journal:
                seen: set[int] = set()
                again = set()
                for entry in journal.entries(run):
                    if entry.state is StepState.INTENT:
                        again |= {entry.batch} if entry.step in seen else set()
                        seen.add(entry.step)
            self.figures["transactions of runs tried again"] += len(again)

    @contextmanager
    def _journal(self) -> Iterator[DatabaseJournal]:
        journal = DatabaseJournal(self.config.journal_url)
        try:
            yield journal
        finally:
            journal.close()


def changed(plan: Plan, keys: Keys) -> dict[tuple[str, str], set[Text]]:
    """Ids of the rows that a plan changes: services meet it there."""
    found: dict[tuple[str, str], set[Text]] = {}
    for action in plan.runnable:
        for step in action.steps:
            if isinstance(step, UpdateRow | DeleteRow | BumpRow) and keys[step.database, step.table] == ("id",):
                found.setdefault((step.database, step.table), set()).add(text(step.pk["id"]))
    return found


def primary_keys(node: Node, schemas: Schemas) -> Keys:
    """(database, table) -> the columns of its primary key, or of another unique one if it has none."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for database, schema in schemas.items():
        for (table,) in node.rows(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'"):
            found[database, table] = ()
        taken: dict[str, str] = {}
        for table, index, column in node.rows(
            "SELECT table_name, index_name, column_name FROM information_schema.statistics WHERE non_unique = 0"
            f" AND table_schema = '{schema}' ORDER BY table_name, index_name <> 'PRIMARY', index_name, seq_in_index"
        ):
            if taken.setdefault(table, index) == index:
                found[database, table] = (*found[database, table], column)
    return found


def dump(node: Node, schemas: Schemas, keys: Keys) -> Rows:
    """Every row that a node has, and everything committed before."""
    found: dict[Row, dict[str, Text]] = {}
    connection = raw(node)
    try:
        with connection.cursor() as cursor:
            for (database, table), by in keys.items():
                cursor.execute(f"SELECT * FROM `{schemas[database]}`.`{table}`")
                names = [column[0] for column in cursor.description]
                for values in cursor.fetchall():
                    image = dict(zip(names, values, strict=True))
                    found[Row(database, table, tuple(image[column] for column in by))] = image
    finally:
        connection.close()
    return found


@contextmanager
def standing(folder: Path, seed: int, say: Callable[[str], None]) -> Iterator[Soak]:
    """The cluster, filled."""
    clouds: list[Cloud] = []

    def fill(server: MariaDB) -> None:
        cloud = build(server, servers=_SERVERS, seed=seed)
        clouds.append(cloud)
        server.account("looker", "", "SELECT ON *.*")
        server.run(MARKS)
        cloud.save()

    die = Mortal()
    try:
        with Galera(fill, _DURABLE) as galera, wire(galera.nodes[0].port) as line:
            (cloud,) = clouds
            file = folder / "stackmend.toml"
            written = configuration(cloud, galera, line.port)
            more = f"[timeouts]\ndatabase = {_SILENCE}\n[limits]\nmax_rows = 10000\nshare_floor = 10000\n"
            file.write_text(written.replace(str(cloud.state), str(folder / "state")) + more, encoding="utf-8")
            chance = random.Random(seed)
            soak = Soak(
                galera=galera, cloud=cloud, config=load(str(file)), file=file, die=die,
                trouble=Trouble(galera, line, chance), chance=chance, say=say, keys={},
            )  # fmt: skip
            soak.keys = primary_keys(galera.nodes[0], soak.schemas)
            yield soak
            cloud.close()
    finally:
        die.close()
