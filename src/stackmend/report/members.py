# SPDX-License-Identifier: Apache-2.0
"""The differences of a JSON document, member by member: of a network cache of 3 KB, only the new address."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

#: items of a list that are aligned; longer ones are compared place by place
_ALIGNED = 500


@dataclass(frozen=True, slots=True)
class Member:
    """One member that is new (``+``), removed (``-``) or changed (``~``). ``path``: ``network.subnets[0].cidr``."""

    mark: str
    path: str
    before: object = None
    after: object = None


class _TwiceError(ValueError):
    """An object has a member twice: parsers differ in the one they use."""


def document(value: object) -> object:
    """The list or object that a value of a row holds as JSON, else None."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(value, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None


def difference(before: object, after: object) -> list[Member] | None:
    """The members that differ, [] if the documents are equal; None if they are too deep to be compared."""
    try:
        return list(_differing(before, after, ""))
    except RecursionError:
        return None


def leaves(value: object, path: str = "") -> list[tuple[str, object]]:
    """(path, value) of everything in a document that holds nothing more; the least nested ones first."""
    found: list[tuple[str, object]] = []
    level = [(path, value)]
    while level:
        below: list[tuple[str, object]] = []
        for name, one in level:
            inner = list(_inside(name, one))
            below += inner
            if not inner:
                found.append((name, one))
        level = below
    return found


def _inside(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((_below(path, name), one) for name, one in value.items())
    elif isinstance(value, list):
        yield from ((f"{path}[{place}]", one) for place, one in enumerate(value))


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _below(path: str, name: str) -> str:
    plain = name if name and all(c.isalnum() or c in "_-:/" for c in name) else json.dumps(name)
    return f"{path}.{plain}" if path else plain


def _differing(before: object, after: object, path: str) -> Iterator[Member]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            below = _below(path, name)
            if name not in after:
                yield Member("-", below, before=before[name])
            elif name not in before:
                yield Member("+", below, after=after[name])
            else:
                yield from _differing(before[name], after[name], below)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif type(before) is not type(after) or json.dumps(before) != json.dumps(after):
        yield Member("~", path, before, after)


def _items(before: list[object], after: list[object], path: str) -> Iterator[Member]:
    old, new = _by_id(before), _by_id(after)
    if old is not None and new is not None:
        yield from _differing_by_id(old, new, path)
        return
    if max(len(before), len(after)) > _ALIGNED:
        yield from _side_by_side(before, after, path, 0, 0)
        return
    texts = [[json.dumps(one, sort_keys=True) for one in some] for some in (before, after)]
    for what, i, i_end, j, j_end in SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_opcodes():
        if what != "equal":
            yield from _side_by_side(before[i:i_end], after[j:j_end], path, i, j)


def _side_by_side(before: Sequence[object], after: Sequence[object], path: str, i: int, j: int) -> Iterator[Member]:
    """Two parts of a list that begin at ``i`` and ``j``: compared pairwise, the rest is new or removed."""
    both = min(len(before), len(after))
    for place in range(both):
        yield from _differing(before[place], after[place], f"{path}[{j + place}]")
    yield from (Member("-", f"{path}[{i + place}]", before=before[place]) for place in range(both, len(before)))
    yield from (Member("+", f"{path}[{j + place}]", after=after[place]) for place in range(both, len(after)))


def _by_id(items: Sequence[object]) -> dict[str, object] | None:
    """Items by id, if each has a unique one, as in a network cache."""
    found: dict[str, object] = {
        one["id"]: one for one in items if isinstance(one, dict) and isinstance(one.get("id"), str)
    }
    return found if len(found) == len(items) else None


def _differing_by_id(old: dict[str, object], new: dict[str, object], path: str) -> Iterator[Member]:
    for name, one in old.items():
        if name not in new:
            yield Member("-", f"{path}[{name}]", before=one)
        else:
            yield from _differing(one, new[name], f"{path}[{name}]")
    yield from (Member("+", f"{path}[{name}]", after=one) for name, one in new.items() if name not in old)
    kept, order = [name for name in old if name in new], [name for name in new if name in old]
    if kept != order:
        yield Member("~", f"{path}: order", ", ".join(kept), ", ".join(order))
