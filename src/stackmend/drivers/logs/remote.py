# SPDX-License-Identifier: Apache-2.0
"""Logs on hosts, reached the way the operator reaches them: searched there, and copied only if they contain a word."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stackmend.drivers.hosts.transport import Transport
from stackmend.drivers.logs.files import Logs
from stackmend.model.errors import HostUnreachable, SourceError

#: the time limit in seconds for one search of all logs of a host, and for one copy
_LIMIT = 900.0
#: the size in bytes from which on a log is neither searched nor copied
_LARGEST = 4 * 1024**3
#: prints the name of every log in some folders that was changed since and contains a word; zgrep also reads plain files
_SEARCH = (
    "find {folders} -type f -size -{largest}c {since} ! -name '*.journal*' -print0 2>/dev/null"
    " | xargs -0 -r -n 200 zgrep -lF {words} -- 2>/dev/null; true"
)


class RemoteLogs:
    """The logs of some hosts, copied into a folder of :class:`Logs` as soon as they turn out to matter."""

    def __init__(self, transport: Transport, hosts: Sequence[str], folders: Sequence[str], into: Logs) -> None:
        self._transport, self._hosts, self._folders, self._into = transport, list(hosts), list(folders), into
        self._target = into.folder()
        self._copied: set[tuple[str, str]] = set()

    def fetch(self, words: Sequence[str], since: float | None) -> None:
        """Copy every log that contains one of the words and was not copied yet; note a host that fails as unread."""
        for host in list(self._hosts):
            try:
                found = self._search(host, words, since)
                for path in found:
                    if (host, path) not in self._copied:
                        self._copied.add((host, path))
                        self._into.add(self._copy(host, path), f"{host}:{path}", host)
            except SourceError as problem:
                self._into.unread[f"host {host}"] = problem.message
                if isinstance(problem, HostUnreachable):
                    self._hosts.remove(host)

    def _search(self, host: str, words: Sequence[str], since: float | None) -> list[str]:
        line = _SEARCH.format(
            folders=" ".join(map(shlex.quote, self._folders)),
            largest=_LARGEST,
            since=f"-newermt @{since - 600:.0f}" if since is not None else "",
            words=" ".join(f"-e {shlex.quote(word)}" for word in words),
        )
        done = self._transport.run(host, ("sh", "-c", line), limit=_LIMIT)
        return [path for path in done.out.decode("utf-8", "surrogateescape").splitlines() if path.startswith("/")]

    def _copy(self, host: str, path: str) -> Path:
        target = self._target / host / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        argv = self._transport.piped(host, ("cat", "--", path))
        with target.open("wb") as out:
            try:
                done = subprocess.run(  # noqa: S603 - an argument vector of ours; no shell
                    argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=_LIMIT, check=False
                )
            except subprocess.TimeoutExpired:
                raise SourceError(f"{path} of {host} was not copied within {_LIMIT:.0f} s") from None
        if done.returncode != 0:
            raise SourceError(
                f"{path} of {host} cannot be read: {done.stderr.decode('utf-8', 'replace').strip()[:200]}"
            )
        return target
