# SPDX-License-Identifier: Apache-2.0
"""Record real output as pictures of a terminal, for the docs: docs/images/NAME-WIDTH.svg, beside it the text of each.

``python scripts/record_pictures.py`` runs audit, plan and apply on the embedded cloud, whose names come from a seed;
with the folder of a lab that is up, ``host status`` there. A test compares the text with a run of its own, and each
picture with its text. Times, and what else is new in every run, are written as one that never changes.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stackmend.cli.shell import main
from stackmend_lab.cloud import build
from stackmend_lab.plants.cinder import volume_in_use_server_gone
from stackmend_lab.plants.nova import info_cache_missing_port
from stackmend_lab.plants.placement import allocation_wrong_provider

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTHS = (80, 160)
#: what is new in every run -> what stands for it in the docs
_NEW = (
    (re.compile(r"\b\d{4}-\d\d-\d\d(?=[T ,;)\"]|$)", re.MULTILINE), "2026-11-21"),
    (re.compile(r"(?<![\w:])(\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d(?:\.\d{6})?(?!:?\w)"), r"\g<1>03:15:02"),
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "20261121-031502-7f3a"),
    (re.compile(r"\bplan [0-9a-f]{12}\b"), "plan 5d0c3a9e71b2"),
    (re.compile(r"\bby \S+ on \S+, from"), "by ada on controller-1, from"),
    (re.compile(r"\bstackmend \d+\.\d+\.\d+\S*?(?=[;,\s]|$)"), "stackmend 0.1.0"),
    (re.compile(r"\bin [\d.]+ (?:s|min)\b"), "in 2 s"),
    (re.compile(r"\bfinding [0-9a-f]{16}\b"), "finding 4be05a70c1d293e8"),
    # a new check draws no picture anew
    (re.compile(r"\bin \d+ of \d+ checks\b"), "in 29 of 29 checks"),
)
_UUID = re.compile(r"\b[0-9a-f]{8}-([0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
SEED = 12


def record(folder: Path) -> dict[str, str]:
    """NAME-WIDTH -> the text, of a cloud that is made in the folder."""
    with closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud:
        (folder / "cloud.toml").write_text(cloud.toml().partition("[state]")[0], encoding="utf-8")
        for plant in (allocation_wrong_provider, info_cache_missing_port, volume_in_use_server_gone):
            plant.plant(cloud)
    found = {f"audit-{width}": shown(folder, "audit", width=width) for width in WIDTHS}
    typed(folder, "plan", "create", "--allow-db", "--out", "plan.json")
    found |= {f"plan-show-{width}": shown(folder, "plan", "show", "plan.json", width=width) for width in WIDTHS}
    typed(folder, "plan", "apply", "plan.json", "--yes", "--accept", "all")
    run = typed(folder, "run", "list", "-f", "value", "-c", "id").strip()
    return found | {f"run-show-{width}": shown(folder, "run", "show", run, width=width) for width in WIDTHS}


def typed(folder: Path, *words: str, width: int = 80) -> str:
    """What a command prints on a terminal of that width, stdout and stderr."""
    own = {"COLUMNS": str(width), "STACKMEND_STATE": str(folder / "state"), "STACKMEND_CONFIG": "cloud.toml"}
    before = dict(os.environ)
    os.environ.update(own)
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(out):
            main([*words])
    finally:
        os.environ.clear()
        os.environ.update(before)
    out.seek(0)
    return out.read()


def shown(folder: Path, *words: str, width: int) -> str:
    """The command and what it prints, as in every run."""
    return timeless(f"$ stackmend {shlex.join(words)}\n{typed(folder, *words, width=width)}")


def timeless(text: str) -> str:
    """Without what is new in every run; lines keep no blanks at their ends."""
    for pattern, instead in _NEW:
        text = pattern.sub(instead, text)
    names: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        """Ids that come from the seed have it in them; others are numbered as they come."""
        if found[1] in (f"{SEED:04x}", "0000"):
            return found[0]
        return names.setdefault(found[0], f"07f5aa10-2d7e-4a58-8a3e-{len(names) + 1:012x}")

    text = _UUID.sub(named, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def picture(name: str, text: str) -> str:
    """A text of a terminal as SVG."""
    width = int(name.rpartition("-")[2])
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for line in text.splitlines():
        styled = Text(line, no_wrap=True)
        for pattern, style in _STYLES:
            styled.highlight_regex(pattern, style)
        console.print(styled)
    svg = console.export_svg(title=f"stackmend {name.rpartition('-')[0].replace('-', ' ')}", unique_id=name)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


_STYLES = (
    (r"^\$ .*", "bold green"),
    (r"^ERROR", "bold red"),
    (r"^WARNING", "yellow"),
    (r"^INFO", "cyan"),
    (r"\bUNSAFE\b|\bIRREVERSIBLE\b", "bold red"),
    (r"^ +\d+\. (?:\S+ \w+  )?~ ", "yellow"),
    (r"^ +\d+\. (?:\S+ \w+  )?\+ |^ +\+ ", "green"),
    (r"^ +\d+\. (?:\S+ \w+  )?- |^ +- ", "red"),
    (r"^a\d+  [\w-]+", "bold"),
)


def of_lab(lab: Path) -> dict[str, str]:
    """The texts of ``host status`` on a lab that is up: of its first host with a server."""
    from stackmend_lab.control_plane import Plane

    plane = Plane(lab)
    host = next(s.compute_host for s in plane.connect().compute.servers(all_projects=True) if s.compute_host)
    words = ("--config", str(plane.toml), "host", "status", host)
    with tempfile.TemporaryDirectory() as folder:
        return {
            f"host-status-{width}": timeless(
                f"$ stackmend host status {host}\n{typed(Path(folder), *words, width=width)}"
            )
            for width in WIDTHS
        }


def write(texts: Mapping[str, str], draw: Callable[[str, str], str] = picture) -> None:
    """The texts, and the picture of each."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (IMAGES / f"{name}.txt").write_text(text, encoding="utf-8")
        (IMAGES / f"{name}.svg").write_text(draw(name, text), encoding="utf-8")
        print(IMAGES / f"{name}.svg")


def make() -> None:
    """Record them."""
    if len(sys.argv) > 1:
        write(of_lab(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(record(Path(folder)))


if __name__ == "__main__":
    make()
