# SPDX-License-Identifier: Apache-2.0
"""The guests of a host in libvirt. The connection is read-only."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from stackmend.drivers.hosts.domains import STATES, defined
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.objects.facts import Domain

#: virDomainPausedReason, where it says what is wrong or what goes on
_PAUSED = {1: "user", 2: "migration", 3: "save", 4: "dump", 5: "I/O error", 6: "watchdog"}
_PAUSED |= {
    7: "from snapshot",
    8: "shutting down",
    9: "creating snapshot",
    10: "crashed",
    11: "starting up",
    12: "post-copy",
}
_PAUSED |= {13: "post-copy failed", 14: "API error"}
#: error code of a domain that ended between the list and the query
_NO_DOMAIN = 42


def domains(uri: str, host: str) -> list[Domain]:
    """Every domain of a host, running or not; ``uri`` is libvirt's, with ``{host}``.

    ConfigError if libvirt-python is not installed, SourceError if libvirt does not answer, or if a URI that is the same
    for all hosts leads to another one.
    """
    libvirt = library()
    where = _quiet(uri.replace("{host}", host))
    # besides raising errors, libvirt prints them
    libvirt.registerErrorHandler(_silent, None)
    try:
        connection = libvirt.openReadOnly(where)
    except libvirt.libvirtError as problem:
        raise SourceError(
            f"libvirt of {host} cannot be reached at {where}: {problem}",
            f"Try 'virsh --readonly --connect {where} list'.",
        ) from None
    try:
        if "{host}" not in uri:
            _same(connection.getHostname(), host)
        return sorted(_all(libvirt, connection), key=lambda domain: domain.uuid)
    except libvirt.libvirtError as problem:
        raise SourceError(f"libvirt of {host} does not answer: {problem}", "Check libvirtd's log there.") from None
    finally:
        with suppress(libvirt.libvirtError):
            connection.close()


def _same(name: str, host: str) -> None:
    """SourceError unless both names, with or without a domain, are of one machine."""
    one, other = name.lower(), host.lower()
    if one != other and (one.partition(".")[0] != other.partition(".")[0] or ("." in one and "." in other)):
        raise SourceError(
            f"[hosts] libvirt has no {{host}}: it leads to {name}, which is not {host}",
            'Write it as "qemu+ssh://root@{host}/system".',
        )


def library() -> Any:
    """libvirt's module; ConfigError if it is not installed."""
    try:
        import libvirt
    except ImportError:
        raise ConfigError(
            "libvirt cannot be queried: libvirt-python is not installed",
            "Install stackmend[libvirt] (it needs libvirt's headers), or your distribution's python3-libvirt.",
        ) from None
    return libvirt


def _quiet(uri: str) -> str:
    """The URI with an option that keeps ssh from prompting."""
    if "+ssh:" not in uri or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def _silent(context: object, error: object) -> None:
    del context, error


def _all(libvirt: Any, connection: Any) -> list[Domain]:
    found = []
    for domain in connection.listAllDomains(0):
        try:
            found.append(_domain(domain))
        except libvirt.libvirtError as problem:
            if problem.get_error_code() != _NO_DOMAIN:
                raise
    return found


def _domain(domain: Any) -> Domain:
    number = domain.ID()
    state, reason = domain.state()[:2]
    persistent = bool(domain.isPersistent())
    return defined(
        domain.XMLDesc(0),
        state=STATES[state] if 0 <= state < len(STATES) else f"state {state}",
        id=number if number >= 0 else None,
        reason=_PAUSED.get(reason, "") if STATES[state : state + 1] == ("paused",) else "",
        persistent=persistent,
        # libvirt knows it of persistent domains alone
        autostart=persistent and bool(domain.autostart()),
    )
