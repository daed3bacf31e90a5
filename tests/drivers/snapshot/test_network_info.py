# SPDX-License-Identifier: Apache-2.0
"""Network caches come apart into VIFs; a document that is none costs its own row, is noted, and hides no other."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackmend.drivers.snapshot.network_info import Exploder

GOOD = b'[{"id": "p1", "address": "fa:16:3e:00:00:01", "network": {"id": "n1"}, "type": "ovs", "active": true}]'


@pytest.fixture(scope="module")
def exploder() -> Iterator[Exploder]:
    """One for all tests, as a stream has one for all its batches."""
    found = Exploder()
    yield found
    found.close()


def explode(exploder: Exploder, *documents: bytes | None) -> tuple[list[Any], list[Any], list[Any]]:
    """(documents, VIFs, complaints) as plain values."""
    notes: list[tuple[int, str]] = []
    whole, vifs = exploder.explode(documents, lambda row, why: notes.append((row, why)))
    return whole.to_pylist(), sorted(vifs.to_pylist(), key=lambda v: (v["n"], v["position"])), notes


@pytest.mark.parametrize(
    ("document", "kind", "vifs", "problem"),
    [
        (None, "null", None, None),
        (b"", "empty", 0, None),
        (b"[]", "empty", 0, None),
        (b" [ ] ", "empty", 0, None),
        (b"null", "empty", 0, None),
        (GOOD, "list", 1, None),
        (b'[{"id": "p1"}, {"id": "p2"}]', "list", 2, None),
        (b'[{"id": "p1", "unheard-of": {"a": [1, 2.5, null]}}]', "list", 1, None),
        (b'[{"id": "a,]b", "label": "x, }"}]', "list", 1, None),
        (b'[{"id": "p1"}, null]', "list", 1, "vif-without-id"),
        (b'[{"address": "fa:16:3e:00:00:01"}]', "list", 0, "vif-without-id"),
        (b'[{"id": "\\ud800"}, {"id": "p2"}]', "list", 1, "vif-without-id"),
        (b'["p1"]', "list", 0, "vif-without-id"),
        (b"[1]", "list", 0, "vif-without-id"),
        (b"{}", "invalid", 0, "not-a-list"),
        (b'"[]"', "invalid", 0, "not-a-list"),
        (b"7", "invalid", 0, "not-a-list"),
        (b'[{"id": ', "invalid", 0, "malformed-json"),
        (b'[{"id": "p1"}', "invalid", 0, "malformed-json"),
        (b'[{"id": "p1"},]', "invalid", 0, "malformed-json"),
        (b'[{"id": "p1" ,\n}]', "invalid", 0, "malformed-json"),
        (b"[{'id': 'p1'}]", "invalid", 0, "malformed-json"),
        (b'[{"id": "p1"}] [', "invalid", 0, "malformed-json"),
        (b'[{"id": "p1"}] -- no', "invalid", 0, "malformed-json"),
        (b'[{"id": "p\n1"}]', "invalid", 0, "malformed-json"),
        (b"[" * 100_000, "invalid", 0, "malformed-json"),
        (b'[{"id": "p1", "label": "caf\xe9"}]', "invalid", 0, "bad-utf8"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_a_document_is(
    exploder: Exploder, document: bytes | None, kind: str, vifs: int | None, problem: str | None
) -> None:
    """Each document is told for what it is, as Nova's own parser would see it; the rows around it are whole."""
    whole, found, notes = explode(exploder, GOOD, document, GOOD)
    assert (whole[1]["document"], whole[1]["vifs"]) == (kind, vifs)
    assert notes == ([(1, problem)] if problem else [])
    assert len([v for v in found if v["n"] == 1]) == (vifs or 0)
    for row in (0, 2):
        assert whole[row]["document"] == "list"
        assert [v["port_id"] for v in found if v["n"] == row] == ["p1"]


@pytest.mark.parametrize("document", [b"", b"[]", GOOD, b'[{"id": ', "[\U0001f600é]".encode(), b"\xff" * 100_000])
def test_length_and_checksum_are_those_of_the_bytes(exploder: Exploder, document: bytes) -> None:
    """What guards a repair of the document is made of its bytes, readable or not."""
    whole, _, _ = explode(exploder, document, None)
    assert (whole[0]["length"], whole[0]["crc32"]) == (len(document), zlib.crc32(document))
    assert (whole[1]["length"], whole[1]["crc32"]) == (None, None)


def test_all_of_a_vif_that_is_asked_for(exploder: Exploder) -> None:
    """Every collected member is taken from where Nova has it, in NIC order."""
    documents = [
        {"id": "b", "address": "m1", "network": {"id": "n1", "x": 1, "subnets": [
            {"ips": [{"address": "2001:db8::5"}], "version": 6},
            {"ips": [{"address": "10.0.0.9", "floating_ips": [{"address": "198.0.0.9"}, {"address": "198.0.0.10"}]},
                     {"address": "10.0.0.5", "floating_ips": []}], "gateway": {"address": "10.0.0.1"}}]},
         "type": "ovs", "vnic_type": "direct", "active": True, "preserve_on_delete": True},
        {"id": "a", "address": None, "network": {}, "type": None, "vnic_type": "normal", "active": False,
         "preserve_on_delete": False},
    ]  # fmt: skip
    _, found, _ = explode(exploder, json.dumps(documents).encode())
    assert [tuple(v.values()) for v in found] == [
        (0, 0, "b", "m1", "n1", "ovs", "direct", "10.0.0.5,10.0.0.9,2001:db8::5", "198.0.0.10,198.0.0.9", True, True),
        (0, 1, "a", None, None, None, "normal", "", "", False, False),
    ]


def test_a_flag_that_is_absent_is_false(exploder: Exploder) -> None:
    """Nova takes a missing preserve_on_delete for false."""
    _, found, _ = explode(exploder, b'[{"id": "p1"}]')
    assert found[0]["preserve_on_delete"] is False


def test_a_huge_document_is_read(exploder: Exploder) -> None:
    """A server with thousands of NICs is a server."""
    many = json.dumps([{"id": f"p{n}", "meta": "x" * 1000} for n in range(4000)]).encode()
    whole, found, notes = explode(exploder, many)
    assert (whole[0]["vifs"], notes) == (4000, [])
    assert [v["port_id"] for v in found] == [f"p{n}" for n in range(4000)]


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
addresses = st.sampled_from(["10.0.0.5", "10.0.0.9", "198.0.0.1", "2001:db8::5"])
floating = st.lists(st.fixed_dictionaries({"address": addresses}), max_size=2)
ips = st.lists(st.fixed_dictionaries({"address": addresses, "floating_ips": floating | st.none()}), max_size=3)
subnets = st.lists(st.fixed_dictionaries({"cidr": texts, "ips": ips | st.none()}), max_size=2) | st.none()
vif = st.fixed_dictionaries(
    {
        "id": texts,
        "address": texts | st.none(),
        "network": st.fixed_dictionaries({"id": texts, "label": texts, "subnets": subnets}),
        "type": texts | st.none(),
        "vnic_type": texts,
        "active": st.booleans(),
        "preserve_on_delete": st.booleans(),
    }
)


def addresses_of(vif: dict[str, Any]) -> tuple[str, str]:
    """The fixed and the floating addresses of a VIF, each sorted and once."""
    ips = [ip for subnet in vif["network"]["subnets"] or () for ip in subnet["ips"] or ()]
    floating = [one for ip in ips for one in ip["floating_ips"] or ()]
    return tuple(",".join(sorted({one["address"] for one in some})) for some in (ips, floating))  # type: ignore[return-value]


@settings(deadline=None)
@given(vifs=st.lists(vif, max_size=4), ascii_only=st.booleans())
def test_whatever_nova_writes_comes_back(exploder: Exploder, vifs: list[dict[str, Any]], ascii_only: bool) -> None:
    """Any list of VIFs is read as it was written; beside a document that forces the slow way, just the same."""
    document = json.dumps(vifs, ensure_ascii=ascii_only).encode()
    expected = [
        (n, v["id"], v["address"], v["network"]["id"], v["type"], v["vnic_type"], *addresses_of(v), v["active"],
         v["preserve_on_delete"])
        for n, v in enumerate(vifs)
    ]  # fmt: skip
    for batch in ([document], [document, b"\xff"]):
        _, found, _ = explode(exploder, *batch)
        assert [tuple(v.values())[1:] for v in found if v["n"] == 0] == expected


@settings(deadline=None)
@given(vifs=st.lists(vif, min_size=1, max_size=2), cut=st.tuples(st.integers(0, 400), st.integers(1, 5)), put=texts)
def test_a_document_is_readable_where_nova_can_read_it(
    exploder: Exploder, vifs: list[dict[str, Any]], cut: tuple[int, int], put: str
) -> None:
    """A document mangled anywhere is a list exactly where Python's parser, which is Nova's, says so."""
    text = json.dumps(vifs)
    start = cut[0] % len(text)
    mangled = text[:start] + (put if put in "[]{},:\"' " else "") + text[start + cut[1] :]
    try:
        parsed = json.loads(mangled)
    except ValueError:
        expected = "invalid"
    else:
        expected = "list" if parsed and isinstance(parsed, list) else "empty" if parsed in ([], None) else "invalid"
    whole, _, _ = explode(exploder, mangled.encode())
    assert whole[0]["document"] == (expected if mangled.strip() else "empty")
