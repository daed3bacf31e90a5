# SPDX-License-Identifier: Apache-2.0
"""What a proof does: break many things, audit once, plan for each strategy, apply, undo, apply, and use the things.

Whatever takes long is done once for all proofs. Every proof has an object of its own, and its own answers.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from stackmend.app.audits import audit
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend_lab import breaks
from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.control_plane import Plane

from .together import Crowd, Impatient, Member
from .using import Thing

#: what a run of all proofs writes if STACKMEND_WRITE_PROOFS is set
TABLE = Path(__file__).parents[3] / "docs" / "reference" / "proved.json"

Json = dict[str, Any]
Make = Callable[[Plane], Json]


@dataclass(frozen=True, slots=True)
class Proof:
    """One way in which a thing breaks, its repair by one strategy, and how the thing is used afterwards."""

    check: str  #: the check that finds it; "" for a repair that an operator requests
    repair: str
    strategy: str
    use: Callable[[Thing], None]
    make: Make
    how: str = "sql"  #: "sql" or "service", as in stackmend_lab.breaks
    way: str = ""  #: tells two proofs of one repair apart
    also: tuple[str, ...] = ()  #: other checks that find the same damage, which is mended by the same strategy
    words: Callable[[Json], list[str]] | None = None  #: the words of the command, for a requested repair
    harm: Callable[[Thing], None] | None = None  #: what the damage does to users of the thing
    undo: bool = True  #: whether undo brings the damage back, if its plan has nothing that cannot be undone
    restarts: bool = False  #: services are stopped to break it: nothing else may be broken meanwhile
    killed: bool = False  #: the first host's nova-compute is killed in the middle: once for all of these
    blinds: bool = False  #: Nova's API cannot list servers while it is broken
    elsewhere: bool = False  #: only on a host where nothing else is broken
    chosen: bool = False  #: the operator has to name the repair
    summary: str = ""  #: what is broken, in one line, if the docstring of ``make`` does not say it

    @property
    def name(self) -> str:
        """The name of the test."""
        return "-".join(filter(None, (self.repair, self.strategy, self.way or self.check)))


def broken(name: str, repair: str, strategy: str, use: Callable[[Thing], None], **more: Any) -> Proof:
    """A proof that starts with a break of the lab."""
    module = breaks.find(name)
    found = module.BREAK
    way = "" if name.partition(":")[0] == found.check else name
    kept = {"how": found.how, "way": way, "also": found.also, "summary": found.summary, **more}
    return Proof(found.check, repair, strategy, use, module.make, **kept)


@dataclass(slots=True)
class Answers:
    """The results of one proof."""

    key: Json = field(default_factory=dict)
    thing: Thing | None = None
    found: dict[str, str] = field(default_factory=dict)  #: fingerprint -> check
    planned: tuple[str, str] | None = None  #: repair and strategy of the plan
    back: bool = False  #: its plan can be undone
    applied: bool = False
    clean: bool = False
    undone: bool | None = None  #: undo brought the damage back and the second apply mended it; None: not tried
    used: bool = False
    problem: BaseException | None = None  #: what went wrong when it was broken or used


class Desk:
    """``stackmend`` as an operator types it on one lab; in this process, because imports cost more than its work."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self.plane, self.folder = plane, folder

    def run(self, *words: str, codes: Iterable[int] = (0,)) -> str:
        """Run a command; returns its standard output. AssertionError with all its output for another exit code."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--config", str(self.plane.toml), *words])
        assert code in {int(c) for c in codes}, f"{words}: {code}\n{out.getvalue()}{err.getvalue()}"
        return out.getvalue()

    def audit(self, *checks: str, api: bool = True) -> dict[str, Json]:
        """Fingerprint -> finding of a whole audit, or of some checks; without ``api`` no service confirms them."""
        asked = [*(word for check in checks for word in ("--check", check)), *([] if api else ["--no-api"])]
        listed = json.loads(self.run("audit", *asked, "-f", "json", codes=(Exit.CLEAN, Exit.FINDINGS)))
        return {finding["fingerprint"]: finding for finding in listed}

    def plan(self, name: str, strategy: str, findings: Iterable[Json], chosen: Iterable[str] = ()) -> Path:
        """Make a plan by one strategy for these findings; ``chosen``: the repairs, if there are several."""
        out = self.folder / f"{name}.json"
        allow = ["--allow-db"] if strategy == "db" else []
        asked = [word for finding in findings for word in ("--finding", finding["fingerprint"])]
        asked += [word for repair in sorted(chosen) for word in ("--repair", repair)]
        codes = (Exit.CLEAN, Exit.FINDINGS)
        self.run("plan", "create", "--via", strategy, *allow, *asked, "--out", str(out), "-f", "json", codes=codes)
        return out

    def apply(self, plan: Path, codes: Iterable[int] = (Exit.REPAIRED,)) -> Json:
        """Apply a plan; returns the result."""
        result: Json = json.loads(
            self.run("plan", "apply", str(plan), "--yes", "--accept", "all", "-f", "json", codes=codes)
        )
        return result


@dataclass(frozen=True, slots=True)
class Sight:
    """What audits found of the damage."""

    by_both: Mapping[str, Json]  #: fingerprint -> finding

    by_rows: Report  #: by the databases alone
    by_api: Report  #: by an account alone
    before: set[str]  #: what the account showed before anything was broken


class Rehearsal:
    """All proofs, run together; their results are in ``answers``."""

    def __init__(self, plane: Plane, proofs: Sequence[Proof], folder: Path) -> None:
        self.plane, self.proofs = plane, proofs
        self.desk = Desk(plane, folder)
        self.answers: dict[str, Answers] = {proof.name: Answers() for proof in proofs}
        self.before: dict[str, Json] = {}
        self.surplus: list[str] = []  #: findings that no proof has caused
        self.left: list[str] = []  #: findings after everything was used
        self.runs: list[str] = []  #: the runs of the applied plans, in order
        self.again: list[Json] = []  #: the results of a second apply of each of these plans
        self.seen: Sight | None = None  #: what audits found while the APIs could show it
        self._shown: set[str] = set()
        self._now: dict[str, Json] = {}  #: the findings of the latest audit

    def run(self) -> None:
        """Run everything in order; the time that each part took goes to standard output."""
        self.before = self.desk.audit()
        self._shown = {finding.fingerprint for finding in audit(self._account(), settle=0).findings}
        parts = (self._break_by_killing, self._break_by_stopping, self._break, self._look, self._break_the_list,
                 self._find, self._suffer, self._mend_by_api, self._mend_by_db, self._request, self._clean,
                 self._undo, self._mend_again, self._use)  # fmt: skip
        for part in parts:
            begun, worked = time.monotonic(), time.process_time()
            part()
            spent = f"{time.monotonic() - begun:6.1f} s, {time.process_time() - worked:5.1f} s of CPU"
            print(f"{spent}  {part.__name__}")
        self.left = [_told(f) for mark, f in self.desk.audit().items() if mark not in self.before]

    # ---- the steps ----

    def _account(self) -> Config:
        """A configuration with an account of the lab and nothing else."""
        path = self.desk.folder / "api.toml"
        accounts = f'[api]\ncloud = "lab"\nclouds = "{self.plane.clouds_yaml}"\n'
        path.write_text(f'{accounts}[state]\ndirectory = "{path.with_suffix("")}"\n', encoding="utf-8")
        return load(str(path))

    def _good(self) -> list[Proof]:
        """The proofs whose things are broken and that went well so far."""
        answers = self.answers
        return [p for p in self.proofs if answers[p.name].problem is None and answers[p.name].thing is not None]

    def _break_by_killing(self) -> None:
        """Kill one nova-compute in the middle of many things; meanwhile, break what restarts one on another host."""
        killed = [proof for proof in self.proofs if proof.killed]
        beside = [proof for proof in self.proofs if proof.restarts and proof.elsewhere]
        crowd = Crowd(len(killed))
        with ThreadPoolExecutor(len(killed) + 1) as pool:
            done = [pool.submit(self._make, [p], Member(self.plane, crowd, n)) for n, p in enumerate(killed)]
            done.append(pool.submit(self._make, beside))
        for job in done:
            job.result()
        if any(self.answers[proof.name].problem for proof in killed):
            Impatient(self.plane).give_up()

    def _break_by_stopping(self) -> None:
        """Break things one after another: APIs are down meanwhile."""
        self._make([proof for proof in self.proofs if proof.restarts and not proof.elsewhere])
        self.plane.up()

    def _break(self) -> None:
        """Break all the rest."""
        groups: dict[Make, list[Proof]] = {}
        for proof in self.proofs:
            if not proof.restarts and not proof.killed and not proof.blinds:
                groups.setdefault(proof.make, []).append(proof)
        # things that are broken alike go one after another: names are looked up before they are taken
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(self._make, groups.values()))
        # services started since then have touched the rows of servers that they found
        self._let_time_pass()

    def _look(self) -> None:
        """Record what APIs alone and databases alone show."""
        rows, shown = audit(load(str(self.plane.toml)), settle=0, use_api=False), audit(self._account(), settle=0)
        self.seen = Sight(self.desk.audit(), rows, shown, self._shown)

    def _break_the_list(self) -> None:
        self._make([proof for proof in self.proofs if proof.blinds])
        self._let_time_pass()

    def _make(self, proofs: Sequence[Proof], plane: Impatient | None = None) -> None:
        plane = plane or Impatient(self.plane)
        for proof in proofs:
            answer = self.answers[proof.name]

            def make(proof: Proof = proof, answer: Answers = answer) -> None:
                answer.key = proof.make(plane)
                answer.thing = Thing(self.plane, answer.key)

            answer.problem = attempt(make)
            if answer.problem:
                plane.give_up()

    def _things(self) -> list[Thing]:
        return [self._thing(proof) for proof in self._good()]

    def _find(self) -> None:
        self._now = self.desk.audit()
        found = {mark: f for mark, f in self._now.items() if mark not in self.before}
        known: set[str] = set()
        for proof in self._good():
            answer = self.answers[proof.name]
            assert answer.thing is not None
            for mark, finding in found.items():
                own = finding["check"] == proof.check and same(answer.key, finding["key"])
                if own or (finding["check"] in proof.also and answer.thing.concerns(finding)):
                    answer.found[mark] = finding["check"]
                    known.add(mark)
        self.surplus = [_told(finding) for mark, finding in found.items() if mark not in known]

    def _suffer(self) -> None:
        for proof in self._good():
            harm, thing = proof.harm, self._thing(proof)
            if harm:
                self.answers[proof.name].problem = attempt(lambda harm=harm, thing=thing: harm(thing))

    def _mend_by_api(self) -> None:
        self._mend("api")

    def _mend_by_db(self) -> None:
        self._mend("db")

    def _mend(self, strategy: str, turn: str = "") -> None:
        """Mend until nothing is deferred: repairs that touch the same rows come one after another."""
        mine = [p for p in self._good() if p.strategy == strategy and not p.words]
        for number in range(4):
            found = self._left(mine)  # a plan without findings would be a plan for everything
            if not found:
                break
            todo = [p for p in mine if self.answers[p.name].found.keys() & found.keys()]
            planned = [
                self._mend_together(some, f"{strategy}{turn}-{number}-{part}", twice=not turn)
                for part, some in enumerate(together(todo))
            ]
            self._now = self.desk.audit(api=False)
            if not any(planned):
                break
        if not turn:  # checked before another strategy may mend it as well
            self._seen_clean(mine)

    def _mend_together(self, proofs: Sequence[Proof], name: str, *, twice: bool) -> bool:
        """Mend with one plan; returns whether there was anything to do."""
        found, chosen = self._left(proofs).values(), {p.repair for p in proofs if p.chosen}
        path = self.desk.plan(name, proofs[0].strategy, found, chosen)
        actions = json.loads(path.read_text())["plan"]["actions"]
        self._planned(proofs, actions)
        if actions:
            run = self.desk.apply(path, (Exit.REPAIRED, Exit.STOPPED))["run"]
            if twice:
                self.runs.append(run)
                self.again.append(self.desk.apply(path, (Exit.CLEAN, Exit.STOPPED)))
        return bool(actions)

    def _left(self, proofs: Sequence[Proof]) -> dict[str, Json]:
        """The findings of these proofs that are still there."""
        marks = {mark for proof in proofs for mark in self.answers[proof.name].found}
        return {mark: finding for mark, finding in self._now.items() if mark in marks}

    def _planned(self, mine: Sequence[Proof], actions: Sequence[Json]) -> None:
        by_mark = {action["fingerprint"]: action for action in actions}
        for proof in mine:
            answer = self.answers[proof.name]
            for mark in answer.found:
                action = by_mark.get(mark)
                if action and action["check"] == proof.check:
                    answer.planned = (action["repair"], action["strategy"])
                    answer.back = not action["irreversible"]

    def _request(self) -> None:
        """Run the repairs that an operator requests, each by its own command."""
        for proof in self._good():
            if proof.words:
                answer = self.answers[proof.name]
                via = ["--via", proof.strategy, *(["--allow-db"] if proof.strategy == "db" else [])]
                try:
                    words = [*proof.words(answer.key), *via, "--yes", "--accept", "all", "-f", "json"]
                    self.desk.run(*words, codes=(Exit.REPAIRED,))
                    answer.planned, answer.applied = (proof.repair, proof.strategy), True
                except AssertionError as problem:
                    answer.problem = problem

    def _clean(self) -> None:
        self._now = self.desk.audit(api=False)
        self._seen_clean([p for p in self._good() if p.words])
        for proof in self._good():
            answer = self.answers[proof.name]
            answer.applied = answer.applied or answer.planned is not None

    def _seen_clean(self, proofs: Sequence[Proof]) -> None:
        for proof in proofs:
            answer = self.answers[proof.name]
            answer.clean = not any(mark in self._now for mark in answer.found)

    def _undo(self) -> None:
        """Undo whole runs, the newest first, which breaks again whatever can be undone."""
        for run in reversed(self.runs):
            self.desk.run("run", "undo", run, "--yes", "-f", "json", codes=(Exit.CLEAN, Exit.STOPPED))
        for _ in range(2):  # calls have changed what they undid a moment ago; some checks wait for six hours
            self._let_time_pass()
        self._now = self.desk.audit(api=False)
        for proof in self._undone():
            answer = self.answers[proof.name]
            answer.undone = all(mark in self._now for mark in answer.found)

    def _mend_again(self) -> None:
        """Mend everything that is broken again."""
        for strategy in ("api", "db"):
            self._mend(strategy, "-again")
        for proof in self._undone():
            answer = self.answers[proof.name]
            answer.undone = bool(answer.undone) and not any(mark in self._now for mark in answer.found)

    def _undone(self) -> list[Proof]:
        return [p for p in self._good() if p.undo and not p.words and self.answers[p.name].back]

    def _let_time_pass(self) -> None:
        """Make things look older: the checks leave alone whatever changed a moment ago."""
        ids: dict[str, set[str]] = {
            kind: set() for kind in ("servers", "volumes", "ports", "snapshots", "consumers", "images")
        }
        for thing in self._things():
            ids["servers"].add(thing.server)
            ids["volumes"].add(thing.volume)
            for kind in ("snapshot", "image"):
                ids[f"{kind}s"].add(str(thing.key.get(kind) or ""))
            # together with its server, if any: a port older than its server would be taken for its owner's
            ids["ports"].add("" if thing.server else thing.port)
            ids["consumers"] |= thing.names
        let_time_pass(self.plane, **{kind: sorted(some - {""}) for kind, some in ids.items() if some - {""}})

    def _use(self) -> None:
        def use(proof: Proof) -> None:
            answer = self.answers[proof.name]
            answer.problem = attempt(lambda: proof.use(self._thing(proof)))
            answer.used = answer.problem is None

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(use, [p for p in self._good() if self.answers[p.name].clean]))

    def _thing(self, proof: Proof) -> Thing:
        thing = self.answers[proof.name].thing
        assert thing is not None
        return thing


def written(rehearsal: Rehearsal, kept: Iterable[Json], *apart: Proof) -> Json:
    """The content of docs/reference/proved.json: the releases, and each proof that succeeded.

    ``kept``: lines of proofs that were not run this time; ``apart``: proofs with tests of their own.
    """
    services = ("keystone", "glance", "openstack-placement", "nova", "neutron", "cinder")
    found = {name: version(rehearsal.plane, name) for name in services}
    held = [proof for proof in rehearsal.proofs if rehearsal.answers[proof.name].used]
    lines = [described(proof) | {"undone": rehearsal.answers[proof.name].undone} for proof in held]
    lines += [described(proof) | {"undone": None} for proof in apart]
    lines += kept
    return {"releases": found, "proofs": sorted(lines, key=lambda line: line["name"])}


def described(proof: Proof) -> Json:
    """What is known about a proof before it is run."""
    return {
        "name": proof.name,
        "repair": proof.repair,
        "strategy": proof.strategy,
        "found": proof.check or "asked for",
        "how": proof.how,
        "broken": _sentence(proof.summary or proof.make.__doc__),
        "used": _sentence(proof.use.__doc__),
    }


def version(plane: Plane, distribution: str) -> str:
    """The version of a package in the services' environment."""
    folders = [str(path) for path in Path(plane.layout.services).glob("lib/python3*/site-packages")]
    return next(iter(metadata.distributions(name=distribution, path=folders))).version


def _sentence(text: str | None) -> str:
    line = " ".join((text or "").split("\n\n")[0].split()).removesuffix(".")
    return line[:1].lower() + line[1:] if not line.startswith(("Nova", "Cinder", "Neutron", "Placement")) else line


def attempt(do: Callable[[], None]) -> BaseException | None:
    """Return what it raised: a failing proof must not hide the others."""
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(do).exception()


def together(proofs: Iterable[Proof]) -> list[list[Proof]]:
    """Group proofs that one plan can mend: for all findings of a check the operator names the same repair, or none."""
    made: list[tuple[list[Proof], dict[str, str]]] = []
    for proof in sorted(proofs, key=lambda proof: proof.chosen):
        checks = catalogue.repairs()[proof.repair].checks if proof.chosen else (proof.check, *proof.also)
        named = dict.fromkeys(checks, proof.repair if proof.chosen else "")
        for some, known in made:
            if {**named, **known} == {**known, **named}:
                some.append(proof)
                known.update(named)
                break
        else:
            made.append(([proof], named))
    return [some for some, _ in made]


def pairs() -> set[tuple[str, str]]:
    """Every repair of stackmend with each of its strategies."""
    return {(name, strategy) for name, repair in catalogue.repairs().items() for strategy in repair.strategies}


def same(key: Json, found: Json) -> bool:
    """Whether two keys name one thing: their common values are the same."""
    both = key.keys() & found.keys()
    return bool(both) and all(key[name] == found[name] for name in both)


def _told(finding: Json) -> str:
    return f"{finding['check']}: {finding['message']}"
