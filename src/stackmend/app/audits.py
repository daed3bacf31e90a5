# SPDX-License-Identifier: Apache-2.0
"""Audit: collect, run the checks, confirm by a second read, remember."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from stackmend.app import apis, visiting
from stackmend.app.findings import keep_last
from stackmend.app.image_visiting import Visited
from stackmend.app.offline.bundles import Bundle
from stackmend.app.outside import Asked, beside, not_run, nowhere_in, partly, readable, there
from stackmend.app.outside.hosts import looked, of_snapshot, sight_labels
from stackmend.app.session import CloudSession, has_api, no_progress, utcnow
from stackmend.app.snapshots import CheckResults, asked, find, labels_of
from stackmend.config.settings import Config
from stackmend.drivers.scratch import scratch
from stackmend.drivers.snapshot.collector import read_manifest
from stackmend.engine.auditing import catalogue, history, sources
from stackmend.engine.auditing.ask import exit_of, findings_of, narrowed, suspected
from stackmend.engine.auditing.confirm import explain, uncertain
from stackmend.engine.auditing.sighting import heard, sightings
from stackmend.engine.auditing.sighting import notes as told
from stackmend.engine.auditing.witness import WitnessSources, witnesses
from stackmend.model.audit import CheckOutcome, CheckResult, Report
from stackmend.model.check import SEEN, Check, OutsideCheck, Visiting
from stackmend.model.errors import JournalError, UsageError
from stackmend.model.events import Events
from stackmend.model.finding import ApiWitness, Finding, Says, State, fingerprint
from stackmend.model.protocols import Progress
from stackmend.model.sight import HostLook
from stackmend.model.snapshot import UNREADABLE, Manifest

_EVENTS = Events(__name__)

#: seconds between the two reads of findings that span databases not read at the same moment (rule R1)
SETTLE = 120.0
#: views opened within this many seconds count as the same moment: the ages of the checks are far larger
ONE_MOMENT = 2.0

_WORDS = {
    Says.SUPPORTS: "supported",
    Says.CONTRADICTS: "contradicted, not confirmed",
    Says.UNKNOWN: "unknown to the services",
}

RowsByCheck = dict[str, list[dict[str, object]]]


def audit(
    config: Config,
    *,
    checks: Sequence[str] = (),
    about: Collection[str] = (),
    snapshot: str | None = None,
    bundle: Bundle | None = None,
    settle: float | None = None,
    use_api: bool = True,
    young: bool = False,
    visit: bool = False,
    outside: Asked = MappingProxyType({}),
    progress: Progress = no_progress,
) -> Report:
    """Run the checks (all, or those named) on the cloud, on a snapshot of it, or on the dumps of a bundle.

    ``about``: ids and host names (:mod:`stackmend.app.selecting`), and fingerprints; only findings that name or have
    one of them are reported.
    Live results are confirmed on rows read again. ``settle``: seconds to wait before that for findings that span
    databases; the default is 0 if all databases were read at the same moment, else two minutes, and 0 for findings that
    earlier audits have seen for that long. With ``use_api`` and an available API, services without a database are read
    from it, and the services confirm what databases showed. With ``young``, the report also has the suspicions that
    were held back because of their age. With ``visit``, or if a check of hosts is named, the compute hosts are visited
    as well (:mod:`stackmend.app.visiting`). ``outside``: what is read beside the databases. Exit code:
    :class:`stackmend.model.audit.Report`.
    """
    named = catalogue.chosen(catalogue.of_site(config.severities), tuple(checks))
    every = {name: check for name, check in named.items() if not isinstance(check, Visiting)}
    of_hosts = {name: check for name, check in named.items() if isinstance(check, Visiting)} if checks or visit else {}
    if bundle is not None:
        nowhere_in("a bundle", outside)
        chosen = readable(every, (), named=bool(checks))
        return _of_bundle(bundle, chosen, of_hosts, about, young, progress)
    session = CloudSession.looking(config) if use_api else CloudSession.of(config)
    if snapshot is not None:
        if of_hosts:
            raise UsageError("a snapshot has nothing of the hosts", f"Leave --snapshot, or {min(of_hosts)}, away.")
        folder = find(config, snapshot)
        nowhere_in("a snapshot", outside)
        manifest = read_manifest(folder)
        chosen = readable(every, labels_of(manifest), named=bool(checks))
        answer = _ask(chosen, folder, manifest, config, about, young)
        looks = of_snapshot(folder, manifest, chosen, answer.rows)
        return _report(session, chosen, answer.rows, answer, State.CANDIDATE, whole=False, looks=looks)
    chosen = readable(every, there(config, outside), named=bool(checks))
    with (
        apis.standing_in(config, session) if use_api else nullcontext((session, "")) as (session, note),
        beside(session, outside) as session,
    ):
        seen = visiting.visit(session, of_hosts, about, progress, named=bool(checks))
        notes = [*([note] if note else []), *not_run(config, every, outside)]
        some = partly(chosen, outside)
        return _live(session, chosen, frozenset(about), settle, use_api, young, seen, some, notes, progress)


def _of_bundle(
    bundle: Bundle,
    chosen: Mapping[str, Check],
    of_hosts: Mapping[str, Visiting],
    about: Collection[str],
    young: bool,
    progress: Progress,
) -> Report:
    """What the dumps of a bundle show; nobody can confirm it, and this machine's journal is of another cloud."""
    if of_hosts:
        raise UsageError("a bundle has nothing of the hosts", f"Leave --bundle, or {min(of_hosts)}, away.")
    with scratch("audit") as name:
        folder = Path(name)
        manifest = bundle.collect(_labels(chosen), folder, progress)
        answer = _ask(chosen, folder, manifest, bundle.config, about, young)
    session = CloudSession.of(bundle.config)
    return _report(session, chosen, answer.rows, answer, State.CANDIDATE, whole=False, notes=bundle.notes, keep=False)


def _live(
    session: CloudSession,
    chosen: Mapping[str, Check],
    about: Collection[str],
    settle: float | None,
    use_api: bool,
    young: bool,
    seen: Visited,
    partly: frozenset[str],
    notes: list[str],
    progress: Progress,
) -> Report:
    with scratch("audit") as name:
        folder = Path(name)
        wanted = _labels(chosen) | sight_labels(session, chosen.values())
        manifest = session.collector(replicas=True).collect(wanted, folder, progress)
        answer = _ask(chosen, folder, manifest, session.config, about, young)
    rows, results, manifest = answer.rows, answer.results, answer.manifest
    _settle(session, chosen, rows, manifest, settle, progress)
    confirmed, unknown = _confirm(session, chosen, rows, manifest, progress)
    for name, reason in unknown.items():
        results[name] = replace(
            results[name],
            outcome=CheckOutcome.INCOMPLETE,
            reason=f"it could not be confirmed by a second read: {reason}",
        )
    said: dict[str, ApiWitness] = {}
    if use_api:
        said, more = _witnesses(session.without(manifest.failed()), chosen, confirmed, progress)
        notes += more
    looks = looked(session, chosen, confirmed, progress)
    return _report(
        session,
        chosen,
        confirmed,
        answer,
        State.CONFIRMED,
        whole=not about,
        unsure={n: rows[n] for n in unknown},
        said=said,
        looks=looks,
        seen=seen,
        partly=partly,
        notes=notes,
    )


def _labels(checks: Mapping[str, Check]) -> set[str]:
    """The tables to read: undecodable values are known only once all are read."""
    labels = {label for check in checks.values() for label in check.reads}
    if UNREADABLE in labels:
        labels |= {label for check in catalogue.checks().values() for label in check.reads}
    return labels | sources.labels(checks.values())


def _ask(
    checks: Mapping[str, Check], folder: Path, manifest: Manifest, config: Config, about: Collection[str], young: bool
) -> CheckResults:
    answer = asked(checks, folder, manifest, config, young=young)
    rows, held = (
        {n: narrowed(checks[n], some, about) for n, some in found.items()} for found in (answer.rows, answer.young)
    )
    return replace(answer, rows=rows, young=held)


def _settle(
    session: CloudSession,
    checks: Mapping[str, Check],
    rows: RowsByCheck,
    manifest: Manifest,
    settle: float | None,
    progress: Progress,
) -> None:
    """Wait if a finding may be an artefact of sources read one after another (R1)."""
    at_once = manifest.skew <= ONE_MOMENT and not any(rows[n] for n in rows if isinstance(checks[n], OutsideCheck))
    seconds = settle if settle is not None else (0.0 if at_once else SETTLE)
    asked = {fingerprint(checks[name], row) for name, found in rows.items() if checks[name].settle for row in found}
    if not seconds or not asked:
        return
    try:
        with session.journal() as journal:
            known = journal.remembered(session.databases.identity)
    except JournalError:
        known = {}
    if all(history.old_enough(mark, known, utcnow(), seconds) for mark in asked):
        return
    begin = time.monotonic()
    while (gone := time.monotonic() - begin) < seconds:
        progress("settling", int(gone), int(seconds))
        time.sleep(min(1.0, seconds - gone))


def _confirm(
    session: CloudSession, checks: Mapping[str, Check], rows: RowsByCheck, manifest: Manifest, progress: Progress
) -> tuple[RowsByCheck, dict[str, str]]:
    """(check -> rows it returned again, check -> why it could not be run again)."""
    todo = {name: found for name, found in rows.items() if found}
    confirmed: RowsByCheck = {}
    unknown: dict[str, str] = {}
    with session.without(manifest.failed()).asking(checks) as again:
        for number, (name, found) in enumerate(todo.items()):
            progress("confirming", number, len(todo))
            answer = again({name: found})
            confirmed[name] = list(answer.rows.get(name, {}).values())
            _EVENTS.detail("looked again", check=name, before=len(found), rows=len(confirmed[name]))
            unknown |= answer.unknown
    return confirmed, unknown


def _witnesses(
    session: CloudSession, checks: Mapping[str, Check], rows: RowsByCheck, progress: Progress
) -> tuple[dict[str, ApiWitness], list[str]]:
    """(fingerprint -> what the services say about a finding, notes for the operator)."""
    todo = {name: found for name, found in rows.items() if found}
    if not todo or "nova_api" not in session.config.databases or not has_api(session.config):
        return {}, []
    with apis.asking(session.config, session) as (collector, manifest, why):
        if collector is None or manifest is None:
            return {}, [f"the services were not queried about the findings: {why}"]
        sides = WitnessSources(session.collector(), collector, manifest, session.config.thresholds)
        said: dict[str, ApiWitness] = {}
        unasked: list[str] = []
        for number, (name, found) in enumerate(todo.items()):
            progress("querying the services", number, len(todo))
            heard, more = witnesses(checks[name], found, sides)
            said |= heard
            unasked += more
            _EVENTS.detail("services asked", check=name, findings=len(found), heard=len(heard))
    counts = Counter(witness.says for witness in said.values())
    text = ", ".join(f"{count} {_WORDS[says]}" for says, count in sorted(counts.items()))
    return said, [*([f"the services' APIs on the findings: {text}"] if text else []), *unasked]


def _report(
    session: CloudSession,
    checks: Mapping[str, Check],
    rows: RowsByCheck,
    answer: CheckResults,
    state: State,
    *,
    whole: bool,
    unsure: RowsByCheck | None = None,
    said: Mapping[str, ApiWitness] | None = None,
    looks: Mapping[str, HostLook] = MappingProxyType({}),
    seen: Visited | None = None,
    partly: frozenset[str] = frozenset(),
    notes: Sequence[str] = (),
    keep: bool = True,
) -> Report:
    results, found = answer.results, list[Finding]()
    for name, some in rows.items():
        found += [
            _heard(finding, (said or {}).get(finding.fingerprint)) for finding in findings_of(checks[name], some, state)
        ]
    found, dropped = heard(found, sightings(checks, rows, looks))
    notes = [*notes, *told(found, dropped)]
    for name, some in (unsure or {}).items():
        found += findings_of(checks[name], some, State.CANDIDATE)
    listed, swallowed = explain(checks, found)
    silent = {name: result.reason for name, result in results.items() if result.outcome is not CheckOutcome.OK}
    listed = uncertain(checks, listed, silent, shown=answer.manifest.nova_is_shown)
    held = _held(session, checks, answer, found)
    if seen is not None:
        listed, found, results = [*listed, *seen.findings], [*found, *seen.findings], {**results, **seen.results}
    more: tuple[str, ...] = ()
    if keep:
        patience = {
            n: session.config.ages.get(n, {}).get(SEEN, c.ages[SEEN]) for n, c in checks.items() if SEEN in c.ages
        }
        listed, held, more = _remembered(session, listed, held, found, results, patience, partly, whole=whole)
    counts: dict[str, int] = {}
    for finding in listed:
        counts[finding.check] = counts.get(finding.check, 0) + 1
    results = {
        name: replace(r, findings=counts.get(name, 0), explained=swallowed.get(name, 0)) for name, r in results.items()
    }
    code = exit_of(listed, results.values())
    _EVENTS.milestone("audited", findings=len(listed), young=len(held), checks=len(results), exit=int(code))
    return Report(
        findings=tuple(listed),
        checks=results,
        manifest=answer.manifest,
        exit=code,
        notes=(*notes, *answer.notes, *more),
        young=tuple(held),
        dropped=tuple(dropped),
        looks=looks,
    )


def _held(
    session: CloudSession, checks: Mapping[str, Check], answer: CheckResults, found: Sequence[Finding]
) -> list[Finding]:
    """Suspicions that are too recent, except those explained by a finding or another suspicion."""
    ages = session.config.ages
    young = [one for name, rows in answer.young.items() for one in suspected(checks[name], rows, ages)]
    return [one for one in explain(checks, [*found, *young])[0] if one.young]


def _heard(finding: Finding, witness: ApiWitness | None) -> Finding:
    """The finding with the services' answer: a finding that they contradict is not confirmed."""
    against = witness is not None and witness.says is Says.CONTRADICTS
    return replace(finding, api=witness, state=State.CANDIDATE if against else finding.state)


def _remembered(
    session: CloudSession,
    listed: list[Finding],
    held: list[Finding],
    found: list[Finding],
    results: Mapping[str, CheckResult],
    patience: Mapping[str, int],
    partly: frozenset[str],
    *,
    whole: bool,
) -> tuple[list[Finding], list[Finding], tuple[str, ...]]:
    """Findings and held-back suspicions, with waivers and history. Also works without a journal."""
    cloud, now = session.databases.identity, utcnow()
    try:
        with session.journal() as journal:
            known = journal.remembered(cloud)
            waivers = journal.waivers(cloud)
            listed, fresh = history.ripe(history.recall(listed, known, now), patience, known, now)
            listed, held = (history.waived(some, waivers, now) for some in (listed, [*held, *fresh]))
            seen = {finding.fingerprint: finding.check for finding in found}
            sure = {name for name, r in results.items() if r.outcome is CheckOutcome.OK and name not in partly}
            gone = [mark for mark, k in known.items() if whole and k.check in sure and mark not in seen]
            journal.remember(cloud, seen, gone, now)
            if whole:
                keep_last(session.config, listed, sure)
    except JournalError as problem:
        listed, fresh = history.ripe(listed, patience, {}, now)
        held = [*held, *fresh]
        return listed, held, (f"the history of findings is not available: {problem.message}",)
    return listed, held, ()
