# SPDX-License-Identifier: Apache-2.0
"""Creates plans from confirmed findings or from an operator's request."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from stackmend import __version__
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning.cascade import taken_along
from stackmend.engine.planning.conflicts import Conflicts
from stackmend.engine.planning.step_text import Describe, Waits, literal, marked, named, never_waits
from stackmend.engine.planning.vocabulary import foreign
from stackmend.model.check import Severity
from stackmend.model.errors import LimitError, SourceError, UsageError
from stackmend.model.events import Events
from stackmend.model.finding import Finding, Row, State, jsonable
from stackmend.model.plan import Action, Limits, Plan, Unrepaired, row_id
from stackmend.model.protocols import Live
from stackmend.model.repair import AlreadySo, CannotRepair, Repair, Steps
from stackmend.model.sight import HostLook, Sighted
from stackmend.model.step import (
    ApiCall,
    BumpRow,
    DeleteRow,
    ExpectNone,
    ExpectRow,
    InsertRow,
    Risk,
    RowStep,
    Step,
    UpdateRow,
    writes,
)
from stackmend.tables import secret_columns

_EVENTS = Events(__name__)

#: reason where an action needs consent
_CONSENT = "needs --allow-db"
_NOTHING = "nothing is left to do"
_AGAIN = "it touches rows that an earlier repair in this plan changes ({table}): run 'plan create' again afterwards"


#: type of object that a call changes -> (database, table) with one row per object
_TABLES = {
    "port": ("neutron", "ports"),
    "volume": ("cinder", "volumes"),
    "attachment": ("cinder", "volume_attachment"),
    "consumer": ("placement", "consumers"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """The operator's choices for a plan."""

    via: str = "auto"  #: "auto", "api" or "db"
    allow_db: bool = False  #: a database strategy may be used
    limits: Limits = field(default_factory=Limits)
    repairs: frozenset[str] = frozenset()  #: chosen where several repairs could repair a finding

    def __post_init__(self) -> None:
        if self.via not in ("auto", "api", "db"):
            raise UsageError(f"--via {self.via!r} must be auto, api or db")
        if self.via == "db" and not self.allow_db:
            raise UsageError("--via db changes databases behind the services' backs", "Add --allow-db to consent.")


class Arguments(dict[str, object]):
    """The arguments of a request: a missing one is the operator's mistake."""

    def __init__(self, repair: str, given: Mapping[str, object]) -> None:
        super().__init__(given)
        self._repair = repair

    def __missing__(self, name: str) -> NoReturn:
        given = ", ".join(self) or "none"
        raise UsageError(f"{self._repair} needs the argument {name!r}", f"Given: {given}.")


@dataclass(frozen=True, slots=True)
class _Not:
    """Why no strategy applies."""

    reason: str
    done: bool = False  #: nothing needs to be done


_DONE = _Not(_NOTHING, done=True)


@dataclass(frozen=True, slots=True)
class _Found:
    """The strategy that applies, and its steps."""

    strategy: str
    steps: tuple[Step, ...]
    instead: str  #: why earlier strategies cannot be used


class Planner:
    """Turns findings into actions. One instance makes one plan.

    ``absent`` says why steps of a kind of strategy cannot be made here: {"api": "no API is configured"}; ``count``
    gives the number of rows of (database, table); ``foresee`` is called with the targets that a repair will read about;
    ``describe`` puts API calls into words; ``looks`` are hypervisors that were read about the findings.
    """

    def __init__(
        self,
        live: Live,
        wishes: PlanOptions,
        *,
        cloud: str,
        now: str,
        absent: Mapping[str, str],
        count: Callable[[str, str], int],
        foresee: Callable[[list[Row]], None] = lambda _targets: None,
        describe: Describe = named,
        waits: Waits = never_waits,
        known: Mapping[str, Repair] | None = None,
        looks: Mapping[str, HostLook] | None = None,
    ) -> None:
        self._seen = Sighted(looks or {})
        self._live, self._wishes, self._foresee = live, wishes, foresee
        self._describe, self._waits = describe, waits
        self._cloud, self._now = cloud, now
        self._absent, self._count = absent, count
        self._known = catalogue.repairs() if known is None else known
        self._actions: list[Action] = []
        self._left: list[Unrepaired] = []
        self._deferred: list[Unrepaired] = []

    def plan(
        self,
        findings: Sequence[Finding],
        *,
        checks: Iterable[str] = (),
        incomplete: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> Plan:
        """The plan for confirmed findings. LimitError if it would exceed the limits."""
        self._know(self._wishes.repairs)
        repairable = []
        for finding in findings:
            if finding.state is State.WAIVED:
                continue
            if finding.state is State.CANDIDATE:
                self._left.append(
                    _left(finding, finding.unsure or "it could not be confirmed when the rows were read again")
                )
                continue
            offered = catalogue.offered(finding.check, finding.evidence.get("code"), self._known)
            if not offered:
                self._left.append(_left(finding, _unmended(finding)))
                continue
            repairable.append((finding, offered))
        self._foresee([finding.evidence for finding, _ in repairable])
        todo = []
        for finding, offered in repairable:
            if (repair := self._choice(finding, offered)) is not None:
                todo.append((catalogue.stage(repair.name), finding, repair))
        todo.sort(key=lambda each: (each[0], each[2].name))
        for number, (stage, finding, repair) in enumerate(todo):
            progress(number, len(todo))
            if number == 0 or todo[number - 1][2] is not repair:
                # other repairs read other rows
                self._foresee([other.evidence for _, other, its in todo if its is repair])
            self._add(repair, stage, finding, finding.evidence)
        return self._finish(checks=tuple(checks), incomplete=dict(incomplete or {}))

    def _know(self, names: Iterable[str]) -> None:
        """UsageError for the name of a repair that does not exist."""
        for name in sorted(names):
            if name not in self._known:
                raise UsageError(
                    f"there is no repair {name!r}", "See 'stackmend repair list' or the pages of the checks."
                )

    def _choice(self, finding: Finding, offered: Sequence[Repair]) -> Repair | None:
        """The repair for a finding; None if several could repair it and the operator has chosen none of them.

        Repairs for the finding's ``code`` precede those for any code, and repairs used only by name come last. Of
        several, one that has nothing to do here does not count.
        """
        named = [repair for repair in offered if repair.name in self._wishes.repairs]
        default = [repair for repair in offered if not repair.by_name] or list(offered)
        rivals = [repair for repair in default if bool(repair.codes) == bool(default[0].codes)]
        if len(named) == 1 or len(rivals) == 1:
            return (named or rivals)[0]
        fit = [repair for repair in (named or rivals) if self._steps(repair, finding.evidence) != _DONE]
        if len(fit) > 1:
            ways = " or ".join(f"--repair {repair.name}" for repair in fit)
            self._left.append(
                _left(finding, f"it can be repaired in {len(fit)} ways, and you must choose the right one: {ways}")
            )
            return None
        return (fit or rivals)[0]

    def request(self, name: str, arguments: Mapping[str, object]) -> Plan:
        """The plan for an operator's request. UsageError for an unknown repair or a missing argument."""
        self._know((name,))
        repair = self._known[name]
        self._add(repair, catalogue.stage(name), asked(repair, arguments), Arguments(name, arguments))
        return self._finish()

    def _add(self, repair: Repair, stage: int, finding: Finding, target: Row) -> None:
        found = self._steps(repair, target)
        if isinstance(found, _Not):
            left = _left(finding, found.reason, repair.name)
            if found.done and isinstance(target, Arguments):
                said = f"{repair.resource} {finding.resource_id} is already as requested, there is nothing to do"
                left = replace(left, done=True, reason=said if found is _DONE else found.reason)
            elif not found.done and (ways := _otherwise(finding)):
                left = replace(left, reason=f"{left.reason}; {ways}")
            self._left.append(left)
            self._say("not repaired", repair, finding, reason=left.reason)
            return
        if fault := next(filter(None, (self._fault(repair, step) for step in found.steps)), ""):
            self._left.append(_left(finding, f"the repair is refused: {fault}", repair.name))
            self._say("repair refused", repair, finding, reason=fault)
            return
        self._say(
            "repair planned", repair, finding, strategy=found.strategy, steps=len(found.steps), instead=found.instead
        )
        self._actions.append(
            Action(
                id="",
                check=finding.check,
                key=jsonable(finding.key),
                fingerprint=finding.fingerprint,
                resource_type=finding.resource_type,
                resource_id=finding.resource_id,
                message=finding.message,
                target=jsonable(target),
                repair=repair.name,
                strategy=found.strategy,
                risk=repair.risk,
                stage=stage,
                steps=marked(found.steps, self._waits),
                why=repair.why,
                instead=found.instead,
                seen=finding.hosts.seen if finding.hosts else {},
                evidence=(
                    *repair.evidence(target, self._live),
                    *_sighted(finding),
                    *([ways] if not repair.by_name and (ways := _otherwise(finding)) else []),
                ),
            )
        )

    @staticmethod
    def _say(event: str, repair: Repair, finding: Finding, **facts: object) -> None:
        _EVENTS.detail(event, repair=repair.name, check=finding.check, resource=finding.resource_id, **facts)

    def _fault(self, repair: Repair, step: Step) -> str:
        """Why a step must not be in a plan; a repair outside the catalogue has no source to compare with."""
        return faulty(step) or (foreign(repair.name, step) if repair.name in catalogue.modules() else "")

    def _steps(self, repair: Repair, target: Row) -> _Found | _Not:
        """The steps of the first strategy that can do it; or why none can."""
        excluded: list[str] = []  #: strategies that may not be used here
        unable: list[str] = []  #: why strategies that were tried cannot do it
        if repair.no_api and self._wishes.via != "db":
            unable.append(f"the API cannot: {repair.no_api}")
        for name, strategy in repair.strategies.items():
            if why := self._excluded(repair, name):
                if why == _CONSENT and isinstance(target, Arguments) and (sooner := self._unable(strategy, target)):
                    if sooner.done:
                        return sooner
                    unable.append(sooner.reason)  # consent would not help
                    continue
                excluded.append(why)
                if why == self._absent.get(name):
                    unable.append(why)
                continue
            try:
                steps = tuple(strategy(target, self._live))
                if why := taken_along(steps, self._live):
                    raise CannotRepair(why)
                if self._seen.looks and (why := repair.unless(target, self._live, self._seen, steps)):
                    raise CannotRepair(f"hypervisors forbid it: {why}")
            except AlreadySo as answer:
                return _Not(str(answer), done=True)
            except CannotRepair as answer:
                unable.append(f"the API cannot: {answer}" if name == "api" else str(answer))
                continue
            except SourceError as problem:
                unable.append(f"the {'API' if name == 'api' else 'rows'} could not be read: {problem.message}")
                continue
            if not steps or not (repair.risk is Risk.MANUAL or any(writes(step) for step in steps)):
                return _DONE
            return _Found(name, steps, "; ".join(unable))
        # first what could be allowed, as the operator can do something about it
        return _Not("; ".join(dict.fromkeys([*excluded, *unable])) or "it has no strategy")

    def _unable(self, strategy: Steps, target: Row) -> _Not | None:
        """Why a strategy could not, or need not, do it even if it were allowed; None if it could. Read-only."""
        try:
            return None if any(map(writes, tuple(strategy(target, self._live)))) else _DONE
        except AlreadySo as answer:
            return _Not(str(answer), done=True)
        except CannotRepair as answer:
            return _Not(str(answer))
        except SourceError as problem:
            return _Not(f"the rows could not be read: {problem.message}")

    def _excluded(self, repair: Repair, name: str) -> str:
        """Why a strategy may not even be tried, or ""."""
        wishes = self._wishes
        if repair.risk is Risk.MANUAL:
            return ""
        if wishes.via not in ("auto", name):
            return f"--via {wishes.via} excludes its strategy {name}"
        if name == "db" and not wishes.allow_db:
            return _CONSENT
        return self._absent.get(name, "")

    def _finish(self, checks: tuple[str, ...] = (), incomplete: Mapping[str, str] | None = None) -> Plan:
        overlaps = Conflicts()
        kept: list[Action] = []
        for action in self._actions:
            if action.runnable and (table := overlaps.admit(action.steps)):
                self._deferred.append(_left(action, _AGAIN.format(table=table), action.repair))
                continue
            texts = tuple(literal(step, self._describe) for step in action.steps)
            kept.append(replace(action, id=f"a{len(kept) + 1}", statements=texts))
        plan = Plan(
            id=secrets.token_hex(6),
            created_at=self._now,
            cloud=self._cloud,
            version=__version__,
            checks=checks,
            incomplete=dict(incomplete or {}),
            actions=tuple(kept),
            deferred=tuple(self._deferred),
            not_repaired=tuple(self._left),
            limits=self._wishes.limits,
            now=self._moment(),
        )
        _EVENTS.milestone(
            "planned", plan=plan.id, actions=len(kept), not_repaired=len(self._left), deferred=len(self._deferred)
        )
        enforce(plan, self._count)
        return plan

    def _moment(self) -> str:
        """The time for which the steps were made, "" if no database gives one."""
        try:
            return self._live.now() if self._actions else ""
        except (SourceError, LookupError):
            return ""


def enforce(plan: Plan, count: Callable[[str, str], int]) -> None:
    """LimitError if the plan changes more rows than allowed, in total or in one table."""
    limits = plan.limits
    changed: dict[tuple[str, str], set[Any]] = {}
    rows: set[Any] = set()
    for action in plan.runnable:
        for step in action.steps:
            if isinstance(step, ApiCall):
                # what a call changes counts as a row of its service
                name, value = step.operation.changes
                rows.add((name, value))
                if name in _TABLES:
                    changed.setdefault(_TABLES[name], set()).add(value)
            elif isinstance(step, UpdateRow | InsertRow | DeleteRow | BumpRow):
                row = row_id(step)
                rows.add(row)
                if not isinstance(step, InsertRow):
                    changed.setdefault(row[:2], set()).add(row)
    if len(rows) > limits.max_rows:
        raise LimitError(
            f"the plan would change {len(rows)} rows, the limit is {limits.max_rows}",
            "Narrow it with --check or --server, or raise --max-rows if this many are intended.",
        )
    for (database, table), some in sorted(changed.items()):
        if len(some) <= limits.share_floor:
            continue
        total = count(database, table)
        if len(some) > limits.max_share * total:
            raise LimitError(
                f"the plan would change {len(some)} of the {total} rows of {table} in database {database},"
                f" the limit is {limits.max_share:.0%}",
                "Damage on this scale has one cause: find it first. Narrow the plan with --check or --server, or raise"
                " max_share under [limits].",
            )


def faulty(step: Step) -> str:
    """Why a step must not be in a plan, or "": it names a secret column, or changes nothing."""
    if not isinstance(step, RowStep):
        return ""
    if isinstance(step, UpdateRow):
        named = {*step.pk, *step.before, *step.after}
        if lacking := sorted(set(step.after) - set(step.before)):
            return f"it sets {step.table}.{lacking[0]} without its previous value"
        if all(step.before[column] == value for column, value in step.after.items()):
            return f"its step on {step.table} changes nothing"
    elif isinstance(step, InsertRow):
        named = {*step.key, *step.values}
        if not step.key:
            return f"its new row of {step.table} has no key"
    elif isinstance(step, DeleteRow):
        named = {*step.pk, *step.before}
    elif isinstance(step, BumpRow):
        named = {*step.pk, step.column}
    elif isinstance(step, ExpectRow):
        named = {*step.pk, *step.expect}
    else:
        named = set(step.where) if isinstance(step, ExpectNone) else set()
    secret = sorted(named & secret_columns(step.database, step.table))
    return f"it names the secret column {step.table}.{secret[0]}" if secret else ""


def _unmended(finding: Finding) -> str:
    check = catalogue.every_check().get(finding.check)
    if check is None or not check.by_hand:
        return "there is no repair for it yet: see the page of the check"
    return f"there is no repair for it: {check.by_hand.format(**finding.evidence)}"


def _otherwise(finding: Finding) -> str:
    """What else can be done about a finding, or ""."""
    check = catalogue.every_check().get(finding.check)
    return check.otherwise.format(**finding.evidence) if check is not None else ""


def _sighted(finding: Finding) -> tuple[str, ...]:
    """What hypervisors showed of a finding, and that the plan is bound to it."""
    witness = finding.hosts
    if witness is None:
        return ()
    bound = "It is not repaired if they show something else when the plan is applied." if witness.seen else ""
    return (*(line[:1].upper() + line[1:] + "." for line in witness.lines), *([bound] if bound else []))


def asked(repair: Repair, arguments: Mapping[str, object]) -> Finding:
    """An operator's request in the form of a finding."""
    resource = str(arguments.get(repair.resource, next(iter(arguments.values()), "")))
    said = ", ".join(f"{k} {v}" for k, v in arguments.items())
    return Finding(
        check="",
        severity=Severity.INFO,
        state=State.CONFIRMED,
        key=dict(arguments),
        resource_type=repair.resource,
        resource_id=resource,
        message=f"requested: {repair.name} ({said})",
        evidence=dict(arguments),
        fingerprint="",
    )


def _left(about: Finding | Action, reason: str, repair: str = "") -> Unrepaired:
    return Unrepaired(
        check=about.check,
        fingerprint=about.fingerprint,
        resource_type=about.resource_type,
        resource_id=about.resource_id,
        message=about.message,
        reason=reason,
        repair=repair,
    )
