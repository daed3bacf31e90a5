# SPDX-License-Identifier: Apache-2.0
"""A plan as text: what a human signs off."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

import pytest

from stackmend.model.errors import UsageError
from stackmend.model.naming import Named
from stackmend.model.operations.compute import ForceDelete
from stackmend.model.plan import Action, Plan, Unrepaired
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, ExpectRow, Manual, Risk, UpdateRow
from stackmend.report.plans import headline, narrowed, plan, text
from stackmend.report.view import TextContext

GUARD = ExpectRow(database="cinder", table="volumes", pk={"id": "v"}, expect={"deleted": 0})
DELETE = DeleteRow(database="placement", table="allocations", pk={"id": 7}, before={"id": 7, "blob": b"\xff"})
CALL = ForceDelete(server="s").call()


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


SERVER, VOLUME = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55", "07f5aa10-2d7e-4a58-8a3e-0d4d5c6b7a89"
ROLLED = UpdateRow(
    database="cinder",
    table="volumes",
    pk={"id": VOLUME},
    before={"status": "detaching", "deleted": 0},
    after={"status": "in-use"},
)


def test_a_plan_at_80_columns():
    """How many of which repair, what changes where, what needs consent; then a block for each repair."""
    rolled = action(
        1,
        repair="roll-detaching",
        check="volume-stuck-detaching",
        resource_type="volume",
        resource_id=VOLUME,
        message=f"volume {VOLUME} is being detached from server {SERVER}, and nobody is doing it",
        steps=(GUARD, replace(GUARD, pk={"id": "w"}), ExpectNone(database="nova_api", table="x", where={}), ROLLED),
    )
    names = {("volume", VOLUME): Named("data", "shop"), ("server", SERVER): Named("web-01", "shop", "c1")}
    shown = text(made(rolled, action(2, risk=Risk.UNSAFE, why="a row")), TextContext(names=names, arrow="→"))
    assert shown == dedent(f"""\
        plan p1, made 2026-11-21T03:00:00+00:00 by stackmend 0.1.0
        2 repairs with 2 changes
        repairs:
               1  roll-detaching (safe)
               1  some-repair (UNSAFE)
        changes:
          cinder volumes: 1 row changed (~)
          placement allocations: 1 row deleted (-)
        needs consent by --accept: some-repair

        a1  roll-detaching (safe, by db)
          data  {VOLUME}
            project shop
            volume-stuck-detaching: this volume is being detached from server web-01
            ({SERVER}), and nobody is doing it
            only with 2 rows of volumes (cinder) as planned; no such row in x (nova_api)
             4. ~ volumes {VOLUME} (cinder)
                  status  "detaching" → "in-use"

        a2  some-repair (UNSAFE, by db)
          server  s
            some-check: this server is odd
            what may be lost: a row
            only with volumes v (cinder) as planned
             2. - allocations 7 (placement)
                  blob 1 bytes ff

        A row is changed only if it still matches this plan. Use --sql to see every
        statement with its guards.

        limits: 5,000 rows in all, 20% of a table (but always 50), stop after 10
        failures""")


def test_a_wide_terminal_has_a_change_on_one_line():
    """Where the columns fit they stand beside the row."""
    shown = text(made(action(1, steps=(ROLLED,))), TextContext(width=120))
    assert f'     1. ~ volumes {VOLUME} (cinder): status "detaching" -> "in-use"' in shown.splitlines()


def test_every_statement_is_there_with_guards_told_apart():
    """With --sql guards read "if", each is numbered, further lines are indented."""
    lines = text(made(action(1)), TextContext(sql=True)).splitlines()
    at = lines.index("     1. if SELECT guard")
    assert lines[at + 1 : at + 3] == ["     2. DELETE FROM allocations", "        WHERE id = 7"]


def test_without_rows_there_is_the_summary():
    """The short text names the repairs alone."""
    assert "allocations 7" not in text(made(action(1)), TextContext(rows=False))


def test_a_plan_can_be_narrowed():
    """To actions by id, to repairs by name; one that it does not have is named."""
    whole = made(action(1), action(2, repair="other"))
    assert [a.id for a in narrowed(whole, ["a2"], []).actions] == ["a2"]
    assert [a.id for a in narrowed(whole, [], ["some-repair"]).actions] == ["a1"]
    assert narrowed(whole, [], []) == whole
    with pytest.raises(UsageError, match="no action 'a3'"):
        narrowed(whole, ["a3"], [])
    with pytest.raises(UsageError, match="no repair 'none'"):
        narrowed(whole, [], ["none"])


@pytest.mark.attack("a plan file says in its own words what its steps do not show")
def test_what_only_the_file_says_is_marked():
    """Reasons and evidence of a file without a trusted signature never stand as ours, nor do messages of a workflow."""
    said = action(1, instead="it is harmless", evidence=("All is well.",), check="")
    shown = text(made(said), TextContext(vouched=False))
    assert shown.count("the file says:\n      by db, because it is harmless\n      All is well.") == 1
    assert "No trusted key has signed this file." in shown
    assert "the file says" not in text(made(said))
    lane = text(
        made(replace(said, message="drains nothing"), workflow="w", facts={"room": "enough"}),
        TextContext(vouched=False),
    )
    assert "the file says:\n      drains nothing\n" in lane
    assert "the file says that it has seen:\n  room: enough" in lane


@pytest.mark.attack("a name or a text of the cloud draws lines of its own into a plan")
def test_hostile_texts_stay_in_their_place():
    """Line ends, escapes and characters that turn the direction of writing are escaped, wherever they come from."""
    evil = "x\n\na9  harmless (safe, by db)\x1b[2J\u202e"
    step = UpdateRow(database="cinder", table="volumes", pk={"id": evil}, before={"name": evil}, after={"name": "y"})
    left = Unrepaired(check=evil, fingerprint="f", resource_type="server", resource_id=evil, message=evil, reason=evil)
    whole = made(
        action(1, message=evil, resource_id=evil, why=evil, instead=evil, evidence=(evil,), steps=(step,)),
        action(2, steps=(Manual(text=evil),), risk=Risk.MANUAL, statements=()),
        deferred=(left,),
        incomplete={evil: evil},
    )
    for view in (
        TextContext(names={("server", evil): Named(evil, evil, evil)}),
        TextContext(sql=True),
        TextContext(vouched=False),
    ):
        shown = text(whole, view)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert not any(line.startswith("a9") for line in shown.splitlines())


def test_a_counter_and_a_call():
    """What is counted, and what is sent."""
    bump = BumpRow(database="placement", table="resource_providers", pk={"id": 3}, column="generation")
    shown = text(made(action(1, steps=(bump, CALL), statements=("UPDATE", "[compute API] DELETE /servers/s"))))
    assert "     1. ~ resource_providers 3 (placement): generation + 1" in shown
    assert "     2. > [compute API] DELETE /servers/s  IRREVERSIBLE" in shown
    assert "  compute API force-delete: 1 call" in shown


def test_what_is_unsafe_says_what_may_be_lost_and_how_to_consent():
    """Danger is in capitals, with its reason and the option that consents."""
    shown = text(made(action(1, risk=Risk.UNSAFE, why="the guest may write on")))
    assert "some-repair (UNSAFE, by db)" in shown
    assert "what may be lost: the guest may write on" in shown
    assert "needs consent by --accept: some-repair" in shown


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
    assert "     1. you: close the session" in shown


def test_what_is_left_out_has_its_reason():
    """Deferred and unrepaired findings and checks without an answer are all in the text."""
    left = Unrepaired(
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
