# SPDX-License-Identifier: Apache-2.0
"""Record real output for the how-to pages: docs/how-to/recorded/*.txt. Nothing in those files is written by hand.

``python scripts/record_pages.py`` runs the commands on the embedded cloud. A test compares the texts with a run of its
own.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from record_pictures import SEED, shown, typed

from stackmend_lab.cloud import build
from stackmend_lab.plants import port_without_server, preserve_on_delete_wrong

PAGES = Path(__file__).parent.parent / "docs" / "how-to" / "recorded"


def record(folder: Path) -> dict[str, str]:
    """Name -> the text: a port whose owner made it, and which Nova would delete with its server."""
    with closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud:
        (folder / "cloud.toml").write_text(cloud.toml().partition("[state]")[0], encoding="utf-8")
        where = preserve_on_delete_wrong.plant(cloud)
        left = port_without_server.VARIANTS["unknown"](cloud)
    address = typed(folder, "port", "show", where["port"], "-f", "value", "-c", "addresses").split()[0]
    of_server = ("port", "list", "--server", where["server"])
    columns = [word for name in ("port", "addresses", "fate") for word in ("-c", name)]
    found = {
        "port-find": shown(folder, "port", "find", address, width=120),
        "port-list": shown(folder, *of_server, *columns, width=120),
        "port-audit": shown(folder, "audit", "--check", "preserve-on-delete-wrong", width=80),
        "port-keep-plan": shown(folder, "port", "keep", where["port"], "--allow-db", width=80),
        "port-keep": shown(folder, "port", "keep", where["port"], "--allow-db", "--yes", width=80),
        "port-kept": shown(folder, *of_server, *columns, width=120),
        "port-left": shown(folder, "audit", "--check", "port-without-server", width=80),
        "port-left-detach": shown(
            folder, "port", "detach", left["port"], "--allow-db", "--yes", "--accept", "detach-port", width=80
        ),
    }
    return {name: text.replace(str(folder), "/var/lib/stackmend") for name, text in found.items()}


def main() -> None:
    """Record them all."""
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in record(Path(folder)).items():
            (PAGES / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
