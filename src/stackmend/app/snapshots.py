# SPDX-License-Identifier: Apache-2.0
"""Snapshots: the contents of the databases at one moment, kept for later audits."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from stackmend.app import apis
from stackmend.app.offline.bundles import Bundle
from stackmend.app.outside import Asked, beside, nowhere_in, readable
from stackmend.app.session import CloudSession, no_progress
from stackmend.config.settings import Config
from stackmend.drivers.logs import stored
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window
from stackmend.drivers.snapshot.collector import FORMAT, read_manifest, write_manifest
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.shape import labels
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import ask, findings_of, held_back, whatever_their_age
from stackmend.engine.auditing.sources import judged
from stackmend.model import files
from stackmend.model.audit import CheckResult
from stackmend.model.check import Check
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.finding import Finding, State
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Manifest, service_of_source
from stackmend.tables.outside import of_service


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsAsked:
    """The logs whose messages a snapshot is to have."""

    paths: tuple[str, ...]
    window: Window = Window()  # noqa: RUF009 - it is frozen
    offset: float = 0.0  #: seconds by which times without a zone are ahead of UTC


def create(
    config: Config,
    *,
    into: str | None = None,
    progress: Progress = no_progress,
    logs: LogsAsked | None = None,
    bundle: Bundle | None = None,
    outside: Asked = MappingProxyType({}),
) -> tuple[Path, Manifest]:
    """Collect everything into a new folder (default: one in the state folder named by the time).

    ``logs``: also their messages, and nothing else if no cloud is configured. ``bundle``: its dumps instead of a cloud.
    ``outside``: what else is read of a cloud.
    After a failure, everything written is removed, and the folder too if it is new.
    """
    if bundle is not None:
        nowhere_in("a bundle", outside)
    session = None if bundle or (logs and _nowhere(config) and not outside) else CloudSession.looking(config)
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = Path(into) if into else _home(config) / name
    try:
        own = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        full = any(folder.iterdir())
    except (OSError, ValueError) as problem:
        what = "is not a folder" if isinstance(problem, FileExistsError) else f"cannot be created: {files.why(problem)}"
        raise UsageError(f"{folder} {what}", "Choose another folder for the snapshot.") from None
    if full:
        raise UsageError(f"{folder} exists and is not empty", "Choose another folder for the snapshot.")
    manifest = None
    try:
        if logs is not None:
            _messages(logs, folder, progress)
        if bundle is not None:
            manifest = bundle.collect(labels(), folder, progress)
        elif session is not None:
            wanted = labels().union(*(of_service(service) for service in outside))
            with apis.standing_in(config, session) as (session, _), beside(session, outside) as session:
                manifest = session.collector(replicas=True).collect(wanted, folder, progress)
        else:
            manifest = _empty()
            write_manifest(manifest, folder)
        return folder, manifest
    finally:
        if manifest is None:  # also after Ctrl-C: half a snapshot is useless
            _cleared(folder, whole=own)


def _nowhere(config: Config) -> bool:
    return not config.databases and not config.has_account


def _messages(logs: LogsAsked, folder: Path, progress: Progress) -> None:
    with closing(Logs(logs.paths, offset=logs.offset)) as found:
        stored.write(found, folder / stored.FOLDER, logs.window, lambda done: progress("messages of logs", done, None))


def _empty() -> Manifest:
    """The table of contents of a snapshot without any database."""
    now = datetime.now(UTC)
    return Manifest(
        format=FORMAT, created_at=now.isoformat(timespec="seconds"), now=f"{now:%Y-%m-%d %H:%M:%S}", skew=0.0,
        sources=(), cells_known=False,
    )  # fmt: skip


def _cleared(folder: Path, *, whole: bool) -> None:
    """Remove what a snapshot has written; ``whole``: also the folder. Errors of the removal do not hide the cause."""
    with suppress(OSError):
        for part in [*folder.iterdir()]:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        if whole:
            folder.rmdir()


def list_snapshots(config: Config) -> list[tuple[Path, Manifest]]:
    """The snapshots in the state folder, newest first; other folders are skipped."""
    found = []
    for manifest in sorted(_home(config).glob("*/manifest.json"), reverse=True):
        try:
            found.append((manifest.parent, read_manifest(manifest.parent)))
        except SourceError:
            continue
    return found


def find(config: Config, name: str) -> Path:
    """The folder of a snapshot: a path, or a name in the state folder; UsageError if it does not exist."""
    for folder in (Path(name), _home(config) / name) if name else ():
        with suppress(OSError, ValueError):
            if folder.is_dir():
                return folder
    raise UsageError(f"there is no snapshot {name}", "See 'stackmend snapshot list'.")


def show(config: Config, name: str) -> tuple[Path, Manifest]:
    """A snapshot and its table of contents."""
    folder = find(config, name)
    return folder, read_manifest(folder)


def diff(config: Config, before: str, after: str) -> tuple[list[Finding], list[Finding]]:
    """(new findings, gone findings) between two snapshots; only checks that ran on both count."""
    old, new = _findings(config, before), _findings(config, after)
    both = old.keys() & new.keys()
    came = [f for name in sorted(both) for mark, f in new[name].items() if mark not in old[name]]
    went = [f for name in sorted(both) for mark, f in old[name].items() if mark not in new[name]]
    return came, went


def _findings(config: Config, name: str) -> dict[str, dict[str, Finding]]:
    """Check -> fingerprint -> finding, of the checks that have an answer."""
    folder, manifest = show(config, name)
    checks = readable(catalogue.tabled(), labels_of(manifest), named=False)
    answer = asked(checks, folder, manifest, config)
    return {
        check: {f.fingerprint: f for f in findings_of(checks[check], found, State.CANDIDATE)}
        for check, found in answer.rows.items()
        if not answer.results[check].reason
    }


@dataclass(frozen=True, slots=True)
class CheckResults:
    """The answers of checks."""

    rows: dict[str, list[dict[str, object]]]  #: check -> rows it returned
    results: dict[str, CheckResult]
    manifest: Manifest  #: with the sources that are not trusted
    young: dict[str, list[dict[str, object]]]  #: check -> rows held back only because of their age
    notes: tuple[str, ...] = ()  #: checks for which that is not known, and why


def asked(
    checks: Mapping[str, Check], folder: Path, manifest: Manifest, config: Config, *, young: bool = False
) -> CheckResults:
    """Run the checks on a snapshot; ``young``: also return rows held back because of their age."""
    with closing(_Opened(folder, manifest.now)) as opened:
        manifest = judged(manifest, checks.values(), opened)
        query = opened(manifest.failed())
        ages, every = config.thresholds, checks.values()
        suspects, unasked = whatever_their_age(every, query, manifest, ages) if young else ({}, {})
        rows, results = ask(every, query, manifest, ages, suspects)
        notes = [
            f"findings of {n} held back for their age are not known: {why}" for n, why in unasked.items() if n in rows
        ]
        return CheckResults(rows, results, manifest, held_back(every, suspects, rows), tuple(notes))


class _Opened:
    """A snapshot queried several times without the rows of some databases; reopened only for a different set."""

    def __init__(self, folder: Path, now: str) -> None:
        self._folder, self._now = folder, now
        self._open: tuple[frozenset[str], DuckQuery] | None = None

    def __call__(self, without: Collection[str]) -> DuckQuery:
        """Valid until the next call."""
        wanted = frozenset(without)
        if self._open is None or self._open[0] != wanted:
            self.close()
            self._open = (wanted, open_snapshot(self._folder, self._now, without=wanted))
        return self._open[1]

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None


def services_of(manifest: Manifest) -> frozenset[str]:
    """The services outside the databases that were read, or tried, for a snapshot."""
    return frozenset(service_of_source(source.database) for source in manifest.sources if source.outside)


def labels_of(manifest: Manifest) -> frozenset[str]:
    """The tables outside the databases that a snapshot has, or that were tried for it."""
    found: set[str] = set()
    for source in manifest.sources:
        if source.outside:
            failed = source.error and not source.about
            found |= of_service(service_of_source(source.database)) if failed else {*source.rows, *source.about}
    return frozenset(found)


def _home(config: Config) -> Path:
    return config.state / "snapshots"
