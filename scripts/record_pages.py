# SPDX-License-Identifier: Apache-2.0
"""Record real output for the how-to pages: docs/how-to/recorded/*.txt. Nothing in those files is written by hand.

``python scripts/record_pages.py`` runs the commands on the embedded cloud. A test compares the texts with a new run.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from record_pictures import SEED, shown, typed

from stackmend_lab.cloud import build
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import info_cache_empty, preserve_on_delete_wrong

PAGES = Path(__file__).parent.parent / "docs" / "how-to" / "recorded"


def record(folder: Path) -> dict[str, str]:
    """Name -> recorded text, from one cloud with one inconsistency per page."""
    with closing(build(folder / "cloud", servers=60, seed=SEED)) as cloud:
        (folder / "cloud.toml").write_text(cloud.toml().partition("[state]")[0], encoding="utf-8")
        kept = preserve_on_delete_wrong.plant(cloud)
        emptied = info_cache_empty.plant(cloud)
        left = port_without_server.VARIANTS["unknown"](cloud)
        volume_stuck_detaching.plant(cloud)
    found = (
        _port(folder, kept["port"], kept["server"])
        | _left(folder, left["port"])
        | _cache(folder, emptied["server"])
        | _volume(folder)
    )
    return {name: text.replace(str(folder), "/var/lib/stackmend") for name, text in found.items()}


def _port(folder: Path, port: str, server: str) -> dict[str, str]:
    """A port that its owner created, and that Nova would delete with its server."""
    address = typed(folder, "port", "show", port, "-f", "value", "-c", "addresses").split()[0]
    of_server = ("port", "list", "--server", server)
    columns = [word for name in ("port", "addresses", "fate") for word in ("-c", name)]
    return {
        "port-find": shown(folder, "port", "find", address, width=120),
        "port-list": shown(folder, *of_server, *columns, width=120),
        "port-audit": shown(folder, "audit", "--check", "preserve-on-delete-wrong", width=80),
        "port-keep-plan": shown(folder, "port", "keep", port, "--allow-db", width=80),
        "port-keep": shown(folder, "port", "keep", port, "--allow-db", "--yes", width=80),
        "port-kept": shown(folder, *of_server, *columns, width=120),
    }


def _left(folder: Path, port: str) -> dict[str, str]:
    """A port whose server is unknown."""
    detach = ("port", "detach", port, "--allow-db", "--yes", "--accept", "detach-port")
    return {
        "port-left": shown(folder, "audit", "--check", "port-without-server", width=80),
        "port-left-detach": shown(folder, *detach, width=80),
    }


def _cache(folder: Path, server: str) -> dict[str, str]:
    """A server whose network cache is empty."""
    audit = ("audit", "--check", "info-cache-empty")
    rebuild = ("server", "cache", "rebuild", server, "--allow-db")
    return {
        "cache-audit": shown(folder, *audit, width=80),
        "cache-plan": shown(folder, *rebuild, width=80),
        "cache-rebuild": shown(folder, *rebuild, "--yes", width=80),
        "cache-rebuilt": shown(folder, *audit, width=80),
    }


def _volume(folder: Path) -> dict[str, str]:
    """A volume that is stuck in detaching."""
    check = ("--check", "volume-stuck-detaching")
    return {
        "detaching-audit": shown(folder, "audit", *check, width=80),
        "detaching-plan": shown(folder, "plan", "create", *check, "--allow-db", "--out", "plan.json", width=80),
        "detaching-show": shown(folder, "plan", "show", "plan.json", width=80),
        "detaching-apply": shown(folder, "plan", "apply", "plan.json", "--yes", width=80),
        "detaching-done": shown(folder, "audit", *check, width=80),
    }


def main() -> None:
    """Record all texts."""
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in record(Path(folder)).items():
            (PAGES / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
