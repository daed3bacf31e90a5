# SPDX-License-Identifier: Apache-2.0
"""An audit as a person reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from textwrap import dedent

from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.model.check import Severity
from stackmend.model.finding import ApiWitness, Finding, Says, State
from stackmend.model.naming import Named
from stackmend.report.audits import FOLDED, MANY, SOME, GroupBy, PageContext, page, tally
from stackmend.report.findings import findings

SERVER = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
VOLUME = "07f5aa10-2d7e-4a58-8a3e-0d4d5c6b7a89"
EMPTY = Finding(
    check="info-cache-empty",
    severity=Severity.ERROR,
    state=State.CONFIRMED,
    key={"server": SERVER},
    resource_type="server",
    resource_id=SERVER,
    message=f"the network cache of server {SERVER} is empty, but Neutron has 2 port(s) for it",
    evidence={"server": SERVER},
    fingerprint="0" * 16,
    explains=2,
    first_seen="2026-11-25T03:00:00+00:00",
)
HANGING = replace(
    EMPTY,
    check="volume-stuck-detaching",
    severity=Severity.WARNING,
    resource_type="volume",
    resource_id=VOLUME,
    message=f"volume {VOLUME} is being detached from server {SERVER}, and nobody is doing it",
    explains=0,
    first_seen=None,
)
VIEW = PageContext(
    titles={EMPTY.check: "A server's network cache is empty although Neutron has ports for it."},
    names={("server", SERVER): Named("web-01", "shop", "compute-03"), ("volume", VOLUME): Named("", "shop")},
    now=datetime(2026, 11, 28, 3, tzinfo=UTC),
)


def test_an_audit_at_80_columns():
    """A heading with severity, check and number; its title; of each object name, id, whose and where, what is wrong."""
    assert page([HANGING, EMPTY], VIEW) == dedent(f"""\
        ERROR    info-cache-empty   1 server
        A server's network cache is empty although Neutron has ports for it.

          web-01  {SERVER}
            project shop, host compute-03, found for 3 days, finding 0000000000000000
            the network cache of this server is empty, but Neutron has 2 port(s) for it
            it explains 2 other findings

        WARNING  volume-stuck-detaching   1 volume

          volume  {VOLUME}
            project shop, finding 0000000000000000
            this volume is being detached from server web-01
            ({SERVER}), and nobody is doing it""")


def test_findings_can_be_put_together_by_server():
    """Then each entry names its check and severity."""
    found = page([HANGING, EMPTY], replace(VIEW, by=GroupBy.SERVER))
    assert found.startswith(f"ERROR    server web-01 {SERVER}   1 server, 1 volume\n")
    assert "    warning, volume-stuck-detaching: this volume is being detached" in found


def test_findings_can_be_put_together_by_project_and_host():
    """What has none has a group of its own."""
    nobody = replace(EMPTY, resource_id="x", message="m")
    assert "ERROR    project shop" in page([EMPTY, nobody], replace(VIEW, by=GroupBy.PROJECT))
    assert "of no known project" in page([EMPTY, nobody], replace(VIEW, by=GroupBy.PROJECT))
    assert "on no host" in page([EMPTY, nobody], replace(VIEW, by=GroupBy.HOST))


def test_what_is_not_sure_says_so():
    """A candidate, one that the services contradict, and one that was accepted."""
    assert "not confirmed: it was seen only once" in page([replace(EMPTY, state=State.CANDIDATE)], VIEW)
    against = replace(EMPTY, state=State.CANDIDATE, api=ApiWitness(Says.CONTRADICTS, "they show two ports"))
    assert "the services contradict it: they show two ports" in page([against], VIEW)
    assert "waived: known" in page([replace(EMPTY, state=State.WAIVED, waiver="known")], VIEW)


def many(finding: Finding, number: int) -> list[Finding]:
    """So many of one kind, each about another object."""
    return [replace(finding, resource_id=f"{n:05}", message="m", fingerprint=f"{n:016}") for n in range(number)]


def test_long_lists_are_cut_and_say_so():
    """Of more findings than anybody reads a few of each group are shown, with the way to the rest."""
    found = page([*many(EMPTY, FOLDED), *many(HANGING, FOLDED + 1)], VIEW)
    assert found.count("    m\n") == 2 * SOME
    assert f"... and {FOLDED - SOME} more: --check info-cache-empty, or -f table for all of them" in found


def test_a_way_to_the_rest_leads_there():
    """The check alone would be folded again if it has more than are ever listed, so only the table is named."""
    found = page(many(EMPTY, MANY + 1), VIEW)
    assert f"... and {MANY + 1 - SOME} more: -f table for all of them" in found


def test_findings_of_one_kind_beyond_a_hundred_are_folded():
    """Also in a list that is short enough to be read; the other kinds are listed whole."""
    found = page([*many(EMPTY, FOLDED + 1), *many(HANGING, 3)], VIEW)
    empty, hanging = found.split("WARNING  volume-stuck-detaching")
    assert empty.count("    m\n") == FOLDED
    assert "... and 1 more: -f table for all of them" in empty
    assert "more" not in hanging
    assert "more" not in page(many(EMPTY, FOLDED), VIEW)


def test_records_are_never_folded():
    """JSON has every finding, whatever people are shown."""
    every = [*many(EMPTY, MANY + 1), *many(HANGING, FOLDED + 1)]
    shown = findings(every, page(every, VIEW))
    assert [(one["check"], one["fingerprint"]) for one in shown.data] == [(f.check, f.fingerprint) for f in every]


def test_the_tally_counts_by_area_and_project():
    """One finding needs none."""
    areas = {EMPTY.check: "nova", HANGING.check: "cinder"}
    other = replace(EMPTY, resource_id="x")
    view = replace(VIEW, names={**VIEW.names, ("server", "x"): Named("b", "lab")})
    assert tally([EMPTY, HANGING, other], areas, view) == ["by area: nova 2, cinder 1", "by project: shop 2, lab 1"]
    assert tally([EMPTY], areas, view) == []


@settings(deadline=None)
@given(
    st.integers(40, 160),
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=60),
    st.sampled_from(GroupBy),
)
def test_identifiers_are_never_broken(width, name, by):
    """Whatever the width and the name, an id stands whole on a line, and lines fit but for a word that cannot."""
    view = replace(VIEW, width=width, by=by, names={("server", SERVER): Named(name, "p", "h")})
    lines = page([EMPTY, HANGING], view).splitlines()
    assert any(SERVER in line for line in lines)
    assert any(VOLUME in line for line in lines)
    prose = [line for line in lines if line.startswith("    ")]
    assert all(len(line) <= max(width, 4 + max(len(word) for word in line.split())) for line in prose)
