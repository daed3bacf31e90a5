# SPDX-License-Identifier: Apache-2.0
"""How plans and runs are displayed: width, names, and the lines about one object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stackmend.model.naming import MENTIONED, UNNAMED, Named, Object
from stackmend.report.clean import printable
from stackmend.report.table import columns
from stackmend.report.words import WIDTH, wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContext:
    """Settings and names for the text of a plan or a run."""

    names: Mapping[Object, Named] = field(default_factory=dict)  #: (resource type, id) -> what people call it
    width: int = WIDTH  #: columns
    arrow: str = "->"
    rows: bool = True  #: what each step changes
    sql: bool = False  #: every statement with its guards instead of that
    #: its sentences are this program's own, or vouched for by a trusted key; else they are marked as the file's
    vouched: bool = True

    def wrapped(self, text: str, indent: str, hang: str | None = None) -> list[str]:
        """Lines that fit; see :func:`stackmend.report.words.wrapped`."""
        return wrapped(text, self.width, indent, hang)

    def about(self, kind: str, id_: str) -> Iterator[str]:
        """The object: its name and identifier, its project and host."""
        named = self.names.get((kind, id_), UNNAMED)
        yield from titled(named.name or kind.replace("_", " "), id_, self.width)
        about = [f"{what} {name}" for what, name in (("project", named.project), ("host", named.host)) if name]
        if about:
            yield from self.wrapped(", ".join(about), "    ")

    def called(self, kind: str, id_: str) -> str:
        """The object on one line."""
        name = self.names.get((kind, id_), UNNAMED).name
        return " ".join(part for part in (kind.replace("_", " "), name, id_) if part)

    def with_names(self, text: str, kind: str, id_: str) -> str:
        """A sentence below the name and identifier of its object; see :func:`with_names`."""
        return with_names(text, kind, id_, self.names)


#: without names and with the default width
PLAIN = TextContext()


def titled(title: str, id_: str, width: int) -> Iterator[str]:
    """A name and an identifier, on one line if they fit."""
    head = f"  {printable(title)}"
    if columns(head) + 2 + len(id_) <= width:
        yield f"{head}  {printable(id_)}"
    else:
        yield head
        yield f"    {printable(id_)}"


def with_names(text: str, kind: str, id_: str, names: Mapping[Object, Named]) -> str:
    """``text`` with "this server" for the object itself, and with the names of others that it mentions."""
    own = rf"\b((?:soft-)?deleted )?{re.escape(kind)} {re.escape(id_)}(?![\w-])"
    if id_:  # a segmentation id that no network has concerns a network without an id
        text = re.sub(own, lambda found: f"this {found[1] or ''}{kind.replace('_', ' ')}", text)
    return MENTIONED.sub(
        lambda found: f"{found[1]} {name} ({found[2]})" if (name := names.get((found[1], found[2]), UNNAMED).name)
        else found[0],
        text,
    )  # fmt: skip
