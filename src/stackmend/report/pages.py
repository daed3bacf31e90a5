# SPDX-License-Identifier: Apache-2.0
"""The page of a check or a repair is the docstring of its module: for the terminal and for the documentation."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from stackmend.model.check import Check, Obstacle
from stackmend.model.repair import Repair
from stackmend.report.clean import printable
from stackmend.report.document import Document
from stackmend.tables.outside import services, sources

CHECK_SECTIONS = (
    "What is wrong",
    "Why it matters",
    "How it comes about",
    "How to see it by hand",
    "Repair and its risk",
)
_HEADING = re.compile(r"^##\s+(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A docstring in parts: Markdown."""

    title: str
    sections: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """The first sentence of the title."""
        return re.split(r"(?<=\.)\s", self.title, maxsplit=1)[0]


def page(docstring: str | None) -> Page:
    """The parts of a module's docstring."""
    text = inspect.cleandoc(docstring or "")
    head, *rest = _HEADING.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return Page(" ".join(head.split()), {title: body.strip() for title, body in pairs})


def check(shown: Check, docstring: str | None, area: str, repairs: tuple[Repair, ...]) -> Document:
    """The page of a check (docs/schemas/check.json)."""
    parts = page(docstring)
    data = record(shown, docstring, area, repairs) | {
        "page": dict(parts.sections),
        "sql": inspect.cleandoc(shown.sql),
    }
    head = f"# {shown.name}\n\n{parts.title}\n\n{facts(shown, repairs)}\n"
    body = "".join(f"\n## {title}\n\n{section}\n" for title, section in parts.sections.items())
    return Document(data=data, text=head + body)


def facts(shown: Check, repairs: tuple[Repair, ...]) -> str:
    """One line on severity, life, entry of the catalogue and repairs."""
    mended = ", ".join(f"{repair.name} ({repair.risk.value})" for repair in repairs) or "none"
    with_ = "".join(f"; runs with --{sources()[service].option}" for service in sorted(services(shown.needed)))
    return f"{shown.severity.value}, {shown.status.value}, catalogue {shown.catalogue}; repairs: {mended}{with_}"


def record(shown: Check, docstring: str | None, area: str, repairs: tuple[Repair, ...]) -> dict[str, object]:
    """A check as JSON values, for lists; ``area``: the service whose records it is about."""
    return {
        "name": shown.name,
        "title": page(docstring).title,
        "area": area,
        "catalogue": shown.catalogue,
        "severity": shown.severity.value,
        "status": shown.status.value,
        "message": shown.message,
        "resource": shown.resource[0],
        "key": list(shown.key),
        "reads": sorted(shown.reads),
        "needs": sorted(shown.needs | services(shown.needed)),
        "ages": dict(shown.ages),
        "counts": dict(shown.counts),
        "repairs": [{"name": repair.name, "risk": repair.risk.value} for repair in repairs],
        "upgrade": [obstacle_record(one) | {"codes": sorted(one.codes)} for one in shown.obstacles],
    }


def obstacle_record(shown: Obstacle) -> dict[str, object]:
    """What an upgrade makes of a finding, as JSON values."""
    return {"blocks": shown.blocks, "what": shown.what, "source": shown.source}


LIST = (
    ("Name", "name"),
    ("Area", "area"),
    ("Severity", "severity"),
    ("Repairs", "repairs"),
    ("What Is Wrong", "title"),
)


REPAIRS = (
    ("Name", "name"),
    ("Risk", "risk"),
    ("Mends", "checks"),
    ("What It Does", "title"),
)


def repair_record(shown: Repair, docstring: str | None) -> dict[str, object]:
    """A repair as JSON values, for lists."""
    return {
        "name": shown.name,
        "title": page(docstring).sentence,
        "risk": shown.risk.value,
        "why": shown.why,
        "strategies": list(shown.strategies),
        "resource": shown.resource,
        "checks": list(shown.checks),
        "codes": sorted(shown.codes),
    }


def repair(shown: Repair, docstring: str | None) -> Document:
    """The page of a repair (docs/schemas/repair.json)."""
    parts = page(docstring)
    data = repair_record(shown, docstring) | {"page": dict(parts.sections)}
    lost = f"; what may be lost: {shown.why}" if shown.why else ""
    mends = ", ".join(shown.checks) or "asked for by an operator"
    mends += f", where asked for by --repair {shown.name}" if shown.by_name else ""
    why = f" (no API: {shown.no_api})" if shown.no_api else ""
    about = f"{shown.risk.value}, by {', '.join(shown.strategies)}{why}; mends: {mends}{lost}"
    head = f"# {shown.name}\n\n{parts.title}\n\n{about}\n"
    body = "".join(f"\n## {title}\n\n{section}\n" for title, section in parts.sections.items())
    return Document(data=data, text=head + body)


def on_terminal(markdown: str, stream: TextIO | None = None, *, color: bool = True) -> None:
    """Print a page: formatted on a terminal, unchanged in a pipe."""
    out = stream or sys.stdout
    if not out.isatty():
        out.write(printable(markdown, keep="\n").rstrip("\n") + "\n")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(file=out, color_system="auto" if color else None).print(Markdown(printable(markdown, keep="\n")))
