# SPDX-License-Identifier: Apache-2.0
"""What is told of one host, from what its sources say."""

from __future__ import annotations

from typing import Any

from stackmend.model.objects.host import GuestList, HostStatus
from stackmend.report.objects.hosts import status


def found(*views: GuestList, **more: Any) -> HostStatus:
    """A host of which these views are known."""
    values: dict[str, Any] = {
        "host": "c01", "services": (), "agents": (), "providers": (), "servers": {}, "moves": (), "views": views,
        "blocks": (), "findings": (),
    }  # fmt: skip
    return HostStatus(**values | more)


def view(source: str, what: str, *servers: str) -> GuestList:
    """A view of these servers."""
    return GuestList(source=source, what=what, servers=frozenset(servers), count=len(servers))


def test_sources_that_agree() -> None:
    """Nothing is apart, though Neutron and Cinder need not know every server."""
    host = found(
        view("nova", "server", "a", "b"), view("placement", "allocation", "a", "b"), view("neutron", "bound port")
    )
    assert host.apart == {}


def test_a_guest_that_only_libvirt_knows() -> None:
    """A server is named with those that say that it is here."""
    views = view("nova", "server", "a"), view("libvirt", "domain", "a", "ghost"), view("placement", "allocation", "a")
    assert found(*views).apart == {"ghost": ("libvirt",)}


def test_a_source_that_cannot_be_read_says_nothing() -> None:
    """Its silence is no disagreement, and no zero."""
    silent = GuestList(source="libvirt", what="domain", why_not="c01 cannot be reached")
    host = found(view("nova", "server", "a"), silent, view("placement", "allocation", "a"))
    assert host.apart == {}
    assert "libvirt    not known: c01 cannot be reached" in status(host).text
    assert host.as_dict()["views"][1]["count"] is None


def test_it_fits_the_terminal() -> None:
    """Long lines go on below themselves; an identifier is never broken."""
    server = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
    shown = status(found(blocks=(f"server {server} is {'very ' * 20}busy",))).text.splitlines()
    assert max(map(len, shown)) <= 80
    assert any(server in line for line in shown)
    assert shown[-1].startswith("      ")


def test_a_long_list_is_cut_on_the_screen_only() -> None:
    """The document has them all."""
    host = found(blocks=tuple(f"server {n} is stopped" for n in range(30)))
    assert "and 20 more: see -f json" in status(host).text
    assert len(status(host).data["blocks"]) == 30
