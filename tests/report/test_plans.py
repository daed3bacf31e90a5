# SPDX-License-Identifier: Apache-2.0
"""A plan as text: what a human signs off."""

from __future__ import annotations

from stackmend.model.plan import Action, Left, Plan
from stackmend.model.step import ApiCall, DeleteRow, ExpectRow, Manual, Risk
from stackmend.report.plans import headline, plan, text

GUARD = ExpectRow(database="cinder", table="volumes", pk={"id": "v"}, expect={"deleted": 0})
DELETE = DeleteRow(database="placement", table="allocations", pk={"id": 7}, before={"id": 7, "blob": b"\xff"})
CALL = ApiCall(service="compute", operation="server.delete", arguments={"server": "s"})


def action(number, **values):
    """An action with sensible defaults."""
    return Action(
        **{
            "id": f"a{number}",
            "check": "some-check",
            "key": {"server": "s"},
            "fingerprint": "0" * 16,
            "resource_type": "server",
            "resource_id": "s",
            "message": "server s is odd",
            "target": {"server": "s"},
            "repair": "some-repair",
            "strategy": "db",
            "risk": Risk.SAFE,
            "stage": 0,
            "steps": (GUARD, DELETE),
            "statements": ("SELECT guard", "DELETE FROM allocations\nWHERE id = 7"),
            **values,
        }
    )


def made(*actions, **values):
    """A plan of these actions."""
    return Plan(id="p1", created_at="2026-11-21T03:00:00+00:00", cloud="c", version="0.1.0", actions=actions, **values)


def test_every_statement_is_there_with_guards_told_apart():
    """Guards read "if", changes are numbered, further lines are indented."""
    lines = text(made(action(1))).splitlines()
    assert "a1  some-repair (safe, by db)  server s" in lines
    assert "    some-check: server s is odd" in lines
    at = lines.index("     if  SELECT guard")
    assert lines[at + 1 : at + 3] == ["      2. DELETE FROM allocations", "         WHERE id = 7"]


def test_without_detail_there_are_no_statements():
    """The short text names the repairs alone."""
    assert "DELETE" not in text(made(action(1)), detail=False)


def test_what_is_unsafe_says_what_may_be_lost_and_how_to_consent():
    """Danger is in capitals, with its reason and the option that consents."""
    shown = text(made(action(1, risk=Risk.UNSAFE, why="the guest may write on")))
    assert "some-repair (UNSAFE, by db)" in shown
    assert "what may be lost: the guest may write on" in shown
    assert "needs consent: --accept some-repair" in shown


def test_what_cannot_be_taken_back_says_so_twice():
    """IRREVERSIBLE stands at the head of the plan and at the step."""
    lines = text(made(action(1, steps=(CALL,), statements=("DELETE /servers/s",)))).splitlines()
    assert "IRREVERSIBLE: a1" in lines
    assert any(line.endswith("DELETE /servers/s  IRREVERSIBLE") for line in lines)


def test_what_is_for_a_human_stands_apart():
    """Manual repairs are listed under a heading of their own; a manual step in a repair is marked."""
    by_hand = action(2, risk=Risk.MANUAL, steps=(Manual(text="look at the host"),), statements=())
    mixed = action(1, steps=(Manual(text="close the session"), DELETE), statements=("close the session", "DELETE"))
    shown = text(made(mixed, by_hand))
    assert "by hand (stackmend never does these):" in shown
    assert "      look at the host" in shown
    assert "    you: close the session" in shown


def test_what_is_left_out_has_its_reason():
    """Deferred and unrepaired findings and checks without an answer are all in the text."""
    left = Left(
        check="c", fingerprint="f", resource_type="server", resource_id="s", message="m", reason="because of that"
    )
    shown = text(made(deferred=(left,), not_repaired=(left,), incomplete={"other-check": "cinder was down"}))
    assert shown.count("c  server s: because of that") == 2
    assert "INCOMPLETE" in shown
    assert "other-check: cinder was down" in shown


def test_the_headline_counts():
    """Repairs, changes, and what is left."""
    assert headline(made(action(1), action(2))) == "2 repairs with 2 changes"
    assert headline(made()) == "0 repairs with 0 changes"


def test_bytes_are_json_in_the_document():
    """The document of a plan holds bytes as the plan file does."""
    step = plan(made(action(1))).data["actions"][0]["steps"][1]
    assert step["before"]["blob"] == {"base64": "/w=="}
