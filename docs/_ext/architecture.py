# SPDX-License-Identifier: Apache-2.0
"""The table of packages, from their docstrings: ``python docs/_ext/architecture.py`` updates it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "stackmend"
LAB = ROOT / "lab" / "src" / "stackmend_lab"
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
BEGIN, END = "<!-- the rooms: begin -->\n", "<!-- the rooms: end -->\n"
#: from the top down, in the direction of imports (enforced by import-linter)
FLOORS = (
    "cli", "app", "config", "engine", "drivers", "report", "checks", "repairs", "workflows", "causes", "hosts", "cloud",
    "tables", "model",
)  # fmt: skip


def rooms() -> str:
    """A table of every package with the first paragraph of its docstring."""
    lines = ["| package | contents |", "|---|---|"]
    for root, floor in (*((SOURCE, SOURCE / name) for name in FLOORS), (LAB.parent, LAB)):
        for init in sorted(floor.rglob("__init__.py")):
            name = init.parent.relative_to(root).as_posix()
            lines.append(f"| `{name}/` | {_first_line(init)} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the current table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + rooms() + END + after


def _first_line(init: Path) -> str:
    said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    return said.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
