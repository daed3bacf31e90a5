# SPDX-License-Identifier: Apache-2.0
"""One host on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackmend.model.objects.host import GuestList, HostStatus
from stackmend.report.document import Document
from stackmend.report.words import WIDTH, count, wrapped

#: findings and servers that are named on the screen; all are in the document
_SHOWN = 10


def status(found: HostStatus, width: int = WIDTH) -> Document:
    """The host (docs/schemas/host-status.json)."""
    lines = []
    for line in _lines(found):
        indent = line[: len(line) - len(line.lstrip(" "))]
        lines += wrapped(line.strip(" "), width, indent, indent + "    ") or [""]
    return Document(data=found.as_dict(), text="\n".join(lines))


def _lines(found: HostStatus) -> Iterator[str]:
    yield f"host {found.host}"
    for one in found.services:
        forced = ", forced down" if one["forced_down"] else ""
        reason = f" ({one['reason']})" if one["reason"] else ""
        yield f"  {one['binary']}: {one['state']}{forced}, {one['status']}{reason}, last heartbeat {one['updated_at']}"
    for one in found.agents:
        admin = "" if one["admin_state_up"] else ", disabled"
        yield f"  {one['type']}: {'alive' if one['alive'] else 'DEAD'}{admin}, last heartbeat {one['heartbeat_at']}"
    for one in found.providers:
        yield f"  provider {one['name']}: {_used(one)}"
    yield ""
    yield f"servers: {', '.join(f'{n} {state}' for state, n in found.servers.items()) or 'none'}"
    for move in found.moves[:_SHOWN]:
        yield f"  {move['type']} of server {move['server']}: {move['status']}, {move['from']} -> {move['to']}"
    yield "on this host, according to:"
    for view in found.views:
        yield f"  {view.source:<10} {_guest_count(view)}"
    yield from _some("the sources disagree on", [f"{s}: only {', '.join(by)}" for s, by in found.apart.items()])
    yield from _some("blocks a drain", list(found.blocks))
    yield from _some("findings", [f"{f['severity']}: {f['check']}: {f['message']}" for f in found.findings])
    yield from _some("NOT KNOWN", list(found.unknown))


def _guest_count(view: GuestList) -> str:
    if not view.known:
        return f"not known: {view.why_not}"
    said = count(view.count, view.what)
    return said if view.what == "server" else f"{said} of {count(len(view.servers), 'server')}"


def _used(provider: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value['used']} of {value['total']}" for name, value in provider.items() if isinstance(value, Mapping)
    )


def _some(title: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield f"{title}:"
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more: see -f json"
