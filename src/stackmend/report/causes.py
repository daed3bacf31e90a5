# SPDX-License-Identifier: Apache-2.0
"""Pages and the list of causes."""

from __future__ import annotations

from stackmend.model.diagnosing.cause import Cause
from stackmend.report.document import Document
from stackmend.report.pages import page

SECTIONS = ("What happens", "How it shows", "What speaks against it", "What to do")
LIST = (("Name", "name"), ("What Happens", "title"), ("Explains", "explains"))


def record(shown: Cause, docstring: str) -> dict[str, object]:
    """A cause as JSON values, for lists."""
    return {"name": shown.name, "title": page(docstring).title, "explains": sorted(shown.explains)}


def cause(shown: Cause, docstring: str) -> Document:
    """The page of a cause (docs/schemas/cause.json)."""
    parts = page(docstring)
    data = record(shown, docstring) | {"page": dict(parts.sections), "words": list(shown.words)}
    body = "".join(f"\n## {title}\n\n{section}\n" for title, section in parts.sections.items())
    return Document(data=data, text=f"# {shown.name}\n\n{parts.title}\n{body}")
