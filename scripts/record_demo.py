# SPDX-License-Identifier: Apache-2.0
"""Record a real run of the demo as a picture of a terminal: docs/images/demo.svg.

Run it after a change of what the demo prints: ``python scripts/record_demo.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "demo.svg"
WIDTH = 118
#: lines of output kept after each command, before it is cut short
KEPT = 14


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
    """At most KEPT lines of output under each command, and a note of what was left out."""
    shown: list[str] = []
    block: list[str] = []
    for line in [*lines, "# end"]:
        if line.startswith(("# ", "$ ")):
            left = len(block) - KEPT
            shown += block if left <= 2 else [*block[: KEPT - 3], f"... {left} lines more ...", *block[-3:]]
            block = []
            shown.append(line)
        else:
            block.append(line)
    return shown[:-1]


def picture(lines: list[str]) -> str:
    """The lines as SVG."""
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115
    for line in lines:
        text = Text(line[:WIDTH], no_wrap=True)
        if line.startswith("$ "):
            text.stylize("bold green")
        elif line.startswith(("# ", "[exit")):
            text.stylize("dim")
        text.highlight_regex(r"\| error +\|", "red")
        text.highlight_regex(r"\| warning +\|", "yellow")
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
