# SPDX-License-Identifier: Apache-2.0
"""Many cases in one cloud: which can share one, and which case an unexpected row belongs to."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stackmend.engine.auditing import catalogue
from stackmend_lab.cloud import Cloud, CloudRows, Server
from stackmend_lab.cloud.handle import Statements
from stackmend_lab.plants import Case, broken

ROOT = Path(__file__).parents[2]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def crowds() -> list[list[Case]]:
    """Distribute all cases over as few crowds as possible.

    The operator names one repair for all findings of a check. So cases of one check that need different repairs cannot
    share a plan, and go into different crowds; all other damage can be in one cloud at the same time.
    """
    found: list[list[Case]] = []
    for case in broken():
        room = (crowd for crowd in found if all(_agree(case, other) for other in crowd))
        if (crowd := next(room, None)) is None:
            found.append(crowd := [])
        crowd.append(case)
    return found


def _agree(one: Case, other: Case) -> bool:
    return one.check != other.check or not one.chosen or not other.chosen or one.chosen == other.chosen


class _Noting:
    """Statements that record which objects they name."""

    def __init__(self, inner: Statements, seen: set[str]) -> None:
        self._inner, self._seen = inner, seen
        self.url, self.databases, self.quote = inner.url, inner.databases, inner.quote

    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
        self._seen |= uuids(parameters.values())
        return self._inner.run(database, sql, parameters)


class _Noted(CloudRows):
    """A cloud that records which objects a case names."""

    def __init__(self, cloud: Cloud, seen: set[str]) -> None:
        super().__init__(_Noting(cloud._statements, seen), cloud.release)
        self._cloud, self._seen = cloud, seen

    def pick(self, kind: str = "active") -> Server:
        server = self._cloud.pick(kind)
        self._seen |= {server.uuid, *server.ports, *server.volumes}
        return server


class Owners:
    """The owners of objects: a case owns what it picked or named, unless another case named it too."""

    def __init__(self) -> None:
        self._seen: dict[Case, set[str]] = {}
        self._findings: dict[str, Case] = {}
        self._beside: dict[Case, list[str]] = {}

    def make(self, cloud: Cloud, case: Case) -> str:
        """Make the case in the cloud; returns the name of its finding, see :func:`name_of`."""
        try:
            noted = _Noted(cloud, self._seen.setdefault(case, set()))
            finding, *more = (name_of(check, key) for check, key in case.findings(noted))
        except Exception as problem:
            raise DisagreementError(
                f"{case} could not be made: {type(problem).__name__}: {problem}", [case]
            ) from problem
        self._findings |= dict.fromkeys([finding, *more], case)
        self._beside[case] = more
        return finding

    def beside(self, cases: Iterable[Case]) -> list[str]:
        """Names of what other checks find of these cases."""
        return [name for case in cases for name in self._beside[case]]

    def of(self, text: str) -> list[Case]:
        """The cases whose finding it is, or that own an object named in it."""
        if text in self._findings:
            return [self._findings[text]]
        named = uuids([text])
        shared = {name for name, times in Counter(n for seen in self._seen.values() for n in seen).items() if times > 1}
        return [case for case, seen in self._seen.items() if (seen - shared) & named]

    def of_check(self, check: str) -> list[Case]:
        """All of its cases."""
        return [case for case in self._seen if case.check == check]

    def agree(self, what: str, found: Iterable[str], expected: Iterable[str] = ()) -> None:
        """Raise DisagreementError, which names the owner of each line that only one side has."""
        now, wanted = Counter(found), Counter(expected)
        lines = [("too much", text) for text in now - wanted] + [("missing", text) for text in wanted - now]
        if lines:
            owned = [(how, text, self.of(text)) for how, text in lines]
            told = [
                f"  {how}, of {', '.join(map(str, cases)) or 'no case'}: {text[:600]}" for how, text, cases in owned
            ]
            raise DisagreementError("\n".join([f"{what}:", *told]), {case for *_, cases in owned for case in cases})


class DisagreementError(AssertionError):
    """Something in a crowd is not as it should be; names the owner."""

    def __init__(self, message: str, cases: Collection[Case]) -> None:
        super().__init__(message)
        self.cases = sorted(cases, key=str)


def name_of(check: str, key: Mapping[str, Any]) -> str:
    """The name of a finding, for comparison."""
    return f"{check} {dict(sorted(key.items()))}"


def uuids(values: Iterable[Any]) -> set[str]:
    """The UUIDs in the text of the values."""
    return {name for value in values for name in _UUID.findall(str(value))}


def lines(dump: Mapping[tuple[str, str], list[str]]) -> Iterator[str]:
    """A dump of a cloud, one line per row."""
    for (database, table), rows in dump.items():
        yield from (f"{database} {table} {row}" for row in rows)


def changed(case: Case) -> bool:
    """Whether its check, a repair of it, or its damage was changed here."""
    own = {case.check, *(repair.name for repair in catalogue.repairs().values() if case.check in repair.checks)}
    return bool(own & touched())


@cache
def touched() -> frozenset[str]:
    """Modules that differ from main here, by the names of checks; on main, from the previous commit."""
    changed: set[str] = set()
    base = _git("merge-base", "HEAD", "main") or ""
    if base == _git("rev-parse", "HEAD"):
        base = _git("rev-parse", "HEAD~1") or ""
    for words in (("diff", "--name-only", base or "HEAD"), ("ls-files", "--others", "--exclude-standard")):
        changed |= set((_git(*words) or "").split("\n"))
    return frozenset(Path(name).stem.replace("_", "-") for name in changed if name.startswith(("src/", "lab/src/")))


def _git(*words: str) -> str | None:
    """The output of git for this tree; None if there is no git, or it does not know the tree."""
    try:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
