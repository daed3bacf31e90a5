# SPDX-License-Identifier: Apache-2.0
"""What came of a verification of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from stackmend.model.errors import Exit
from stackmend.model.finding import Finding
from stackmend.model.objects.images import Held, Node
from stackmend.report.document import Document
from stackmend.report.words import count, lasted, size, wrapped

COLUMNS = (
    ("Outcome", "outcome"), ("Nodes", "nodes"), ("Images", "images"), ("Findings", "findings"), ("Unread", "unread"),
    ("Seconds", "seconds"),
)  # fmt: skip
#: findings and the like that people are shown; a node that has nothing has thousands
_SHOWN = 40
_OUTCOMES = {Exit.CLEAN: "clean", Exit.FINDINGS: "findings", Exit.INCOMPLETE: "incomplete"}


class _Verified(Protocol):
    """See :class:`stackmend.app.image_verifying.Verified`."""

    nodes: list[Node]
    images: int
    empty: int
    quick: bool
    findings: list[Finding]
    unread: list[tuple[str, str, str]]
    incomplete: dict[str, str]
    before: int
    seconds: float

    @property
    def exit(self) -> Exit: ...

    @property
    def read(self) -> int: ...


def verified(found: _Verified, width: int) -> Document:
    """For people a line for each node and each thing that is wrong; for machines docs/schemas/image-verify.json."""
    data = {
        "outcome": _OUTCOMES[found.exit],
        "quick": found.quick,
        "images": found.images,
        "empty": found.empty,
        "nodes": [_node(node) for node in found.nodes],
        "findings": [one.as_dict() for one in found.findings],
        "unread": [{"node": node, "image": image, "reason": why} for node, image, why in found.unread],
        "incomplete": found.incomplete,
        "bytes": found.read,
        "seconds": found.seconds,
    }
    return Document(data=data, columns=COLUMNS, text="\n".join(_lines(found, width)))


def _node(node: Node) -> dict[str, object]:
    number = dict.fromkeys(Held, 0)
    for content in node.held.values():
        number[content.held] += 1
    return {
        "name": node.name,
        "kind": "api" if node.api else "store",
        "file_system": node.storage.type or None,
        **{how.value: many for how, many in number.items()},
    }


def _lines(found: _Verified, width: int) -> Iterator[str]:
    for node in found.nodes:
        whole = sum(content.held is Held.WHOLE for content in node.held.values())
        kind = "" if node.api else f", {node.storage.type}" if node.storage.type else ", store"
        yield f"{node.name}{kind}: {whole} of {count(len(node.held), 'image')} whole"
    lines = [f"{one.severity.value.upper()} {one.check}: {one.message}" for one in found.findings]
    lines += [f"NOT READ: image {image} on {where}: {why}" for where, image, why in found.unread]
    for line in lines[:_SHOWN]:
        yield ""
        yield from wrapped(line, width, "", "  ")
    if len(lines) > _SHOWN:
        yield from ("", f"and {len(lines) - _SHOWN:,} more: -f json has all of them")
    for check, why in found.incomplete.items():
        yield ""
        yield from wrapped(f"NO ANSWER from {check}: {why}", width, "", "  ")


def summary(found: _Verified) -> Sequence[str]:
    """For stderr: how much was read, and what was left out."""
    how = "by size alone" if found.quick else f"{size(found.read)} read"
    nodes = count(len(found.nodes), "node")
    lines = [f"{count(found.images, 'image')} on {nodes}, {how}, in {lasted(found.seconds)}"]
    if found.before:
        lines.append(f"{count(found.before, 'content')} had been read by an earlier try, and were not read again")
    if found.empty:
        lines.append(f"{count(found.empty, 'image')} without content of their own left out (snapshots of volumes)")
    return lines
