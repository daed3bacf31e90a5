# SPDX-License-Identifier: Apache-2.0
"""Record a real run of the demo as a picture of a terminal: docs/images/demo.svg.

Run it after a change of what the demo prints: ``python scripts/record_demo.py``.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "demo.svg"
WIDTH = 100
#: what is shown of the demo -> lines of its output at the beginning, and of the others those that match
SHOWN = {
    "what is wrong": (6, r"^\d+ errors|^by area"),
    "how it would be mended": (2, "^needs consent"),
    "do it": (0, "repairs done|^to take it back"),
    "the cloud is healthy again": (0, "^no findings"),
    "take it all back": (0, "taken back|^Every row"),
}


def record() -> list[str]:
    """The lines of a real run, as they came."""
    with tempfile.TemporaryDirectory() as folder:
        words = [Path(sys.executable).with_name("stackmend"), "demo", "--keep", "demo"]
        done = subprocess.run(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
        )
        if done.returncode:
            sys.exit(f"the demo failed with {done.returncode}:\n{done.stdout}")
        return done.stdout.splitlines()


def shortened(lines: list[str]) -> list[str]:
    """The commands that matter, with some lines of output each, and a note of what was left out."""
    blocks: dict[str, list[str]] = {}
    block: list[str] = []
    for line in lines:
        if line.startswith("# "):
            block = blocks.setdefault(line[2:], [])
        elif line and not line.startswith("[exit"):
            block.append(line)
    found: list[str] = []
    for what, (first, later) in SHOWN.items():
        command, *output = blocks[what]
        told = [line for line in output[first:] if re.search(later, line)]
        left = len(output) - first - len(told)
        found += [command, *output[:first], *([f"... {left} lines more ..."] if left else []), *told]
    return found


def picture(lines: list[str]) -> str:
    """The lines as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in lines:
        text = Text(line[:WIDTH], no_wrap=True)
        if line.startswith("$ "):
            text.stylize("bold green")
        elif line.startswith("... "):
            text.stylize("dim")
        text.highlight_regex(r"^ERROR", "bold red")
        text.highlight_regex(r"^WARNING", "yellow")
        console.print(text)
    svg = console.export_svg(title="stackmend demo", unique_id="stackmend-demo")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def main() -> None:
    """Run the demo and write the picture."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(shortened(record())), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
