# SPDX-License-Identifier: Apache-2.0
"""The rooms of the house, made of the docstrings of the packages: ``python docs/_ext/architecture.py`` writes them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "stackmend"
LAB = ROOT / "lab" / "src" / "stackmend_lab"
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
BEGIN, END = "<!-- the rooms: begin -->\n", "<!-- the rooms: end -->\n"
#: from the top down, as imports go (import-linter holds it)
FLOORS = (
    "cli", "app", "config", "engine", "drivers", "report", "checks", "repairs", "workflows", "hosts", "cloud", "tables",
    "model",
)  # fmt: skip


def rooms() -> str:
    """A table of every package with what it is for: the first line of its docstring."""
    lines = ["| room | what is in it |", "|---|---|"]
    for root, floor in (*((SOURCE, SOURCE / name) for name in FLOORS), (LAB.parent, LAB)):
        for init in sorted(floor.rglob("__init__.py")):
            name = init.parent.relative_to(root).as_posix()
            lines.append(f"| `{name}/` | {_first_line(init)} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the rooms as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + rooms() + END + after


def _first_line(init: Path) -> str:
    said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    return said.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
