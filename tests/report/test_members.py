# SPDX-License-Identifier: Apache-2.0
"""What changes in a JSON document, and in a row that holds one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.model.step import InsertRow, UpdateRow
from stackmend.report.changes import lines
from stackmend.report.members import Member, difference, document, leaves
from stackmend.report.view import TextContext, with_names

from .test_plans import action

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 2) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "a", "b"]), inner, max_size=3),
    max_leaves=12,
)
VIF = {"id": "p1", "address": "fa:16:3e:00:00:01", "active": True, "network": {"subnets": [{"cidr": "10.0.0.0/24"}]}}


def cached(before, after):
    """What the plan shows of a network cache that changes so."""
    step = UpdateRow(
        database="cell:cell1",
        table="instance_info_caches",
        pk={"id": 7},
        before={"network_info": before},
        after={"network_info": after},
    )
    return lines(action(1, steps=(step,)), 0, TextContext())


@settings(deadline=None)
@given(JSON, JSON)
def test_nothing_differs_only_where_all_is_the_same(before, after):
    """Types count (1 is not true), and so does the order of a list; that of members does not."""
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (difference(before, after) == []) is same


@settings(deadline=None)
@given(JSON)
def test_leaves_are_all_there(value):
    """Every scalar and every empty list or object of a document is one of its leaves."""

    def count(one):
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return sum(map(count, inner)) or 1

    assert len(leaves(value)) == count(value)


def test_items_with_ids_are_told_by_them():
    """One that is gone does not make all after it differ; an order that is another one is said."""
    old = [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "c", "n": 3}]
    assert difference(old, [old[0], {"id": "c", "n": 4}]) == [
        Member("-", "[b]", before=old[1]),
        Member("~", "[c].n", 3, 4),
    ]
    assert difference(old, old[::-1]) == [Member("~", ": order", "a, b, c", "c, b, a")]


def test_a_network_cache_is_a_difference_of_members():
    """One flag of a NIC is one line, not two documents."""
    assert cached(json.dumps([VIF]), json.dumps([{**VIF, "active": False}])) == [
        "     1. ~ instance_info_caches 7 (cell:cell1)",
        "          network_info",
        "            ~ [p1].active true -> false",
    ]


def test_a_cache_that_was_empty_gets_a_member():
    """NULL, nothing and [] are documents without members."""
    for empty in (None, "", "[]"):
        assert '            + [p1] {address "fa:16:3e:00:00:01", active true,' in cached(empty, json.dumps([VIF]))


def test_a_document_that_is_only_written_anew_says_so():
    """Blanks are no change of members, and the row changes all the same."""
    assert "            is rewritten with the same content" in cached(json.dumps([VIF]), json.dumps([VIF], indent=1))


@pytest.mark.attack("a document names a member twice, so that readers take it differently")
def test_a_document_that_is_none_is_a_text():
    """What is no JSON, names a member twice, or is too deep is not taken apart."""
    assert document('{"a": 1, "a": 2}') is None
    assert document("[" * 100_000) is None
    assert document("[1, 2") is None
    assert document(b"[]") is None
    shown = " ".join(cached('{"a": 1, "a": 2}', '{"a": 1, "a": 3}'))
    assert r"{\"a\": 1, \"a\": 2}" in shown


def test_long_texts_show_where_they_differ():
    """Of two texts that begin and end alike, what lies between, with some of what surrounds it."""
    shown = " ".join(" ".join(cached("x" * 3000 + "old" + "y" * 3000, "x" * 3000 + "new" + "y" * 3000)).split())
    assert '"xxxxxxxxxxxxxxxxoldyyyyyyyyyyyyyyyy"... (6,003 characters)' in shown
    assert len(shown) < 400


def test_a_new_row_is_shown_without_what_it_has_not():
    """NULLs are left out, documents are shown by their first members."""
    step = InsertRow(
        database="cell:cell1",
        table="t",
        key={"id": 1},
        values={"id": 1, "a": None, "doc": '{"x": [1, 2]}'},
        sealed="...",
    )
    assert lines(action(1, steps=(step,)), 0, TextContext()) == [
        "     1. + a row of t (cell:cell1)",
        "          id 1",
        "          doc {x[0] 1, x[1] 2}",
        "          and the secret columns, sealed in the journal",
    ]


def test_an_object_without_an_id_is_not_this_one():
    """A finding about a network that does not exist says so in its own words."""
    text = "vlan id 104 on physical network 'physnet1': it is marked as used"
    assert with_names(text, "network", "", {}) == text
    assert with_names("network n1: it is marked", "network", "n1", {}) == "this network: it is marked"
