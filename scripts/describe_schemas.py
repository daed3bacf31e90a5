#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write lab/src/stackmend_lab/schema/*.json from the services' own migrations.

Usage: uv run scripts/describe_schemas.py [SERVICES_ENVIRONMENT]   (default: .services, as `make services` makes it)
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from stackmend_lab.mariadb import MariaDB
from stackmend_lab.migrations import migrated
from stackmend_lab.schemas import SERVICES

#: an object or list without another one in it; braces in strings do not occur
INNERMOST = re.compile(r"[{\[][^{}\[\]]*[}\]]")
FOLDER = Path(__file__).parents[1] / "lab/src/stackmend_lab/schema"


def main() -> None:
    services = Path(sys.argv[1] if len(sys.argv) > 1 else ".services").absolute()
    FOLDER.mkdir(exist_ok=True)
    with MariaDB() as server:
        for service in SERVICES:
            begin = time.monotonic()
            description = migrated(server, services, service)
            (FOLDER / f"{service}.json").write_text(text(description))
            print(f"{service}: {len(description['tables'])} tables in {time.monotonic() - begin:.1f} s")


def text(description: dict[str, object]) -> str:
    """JSON with every innermost object or list on one line, so that a difference reads well."""
    whole = json.dumps(description, indent=1, ensure_ascii=False)
    return INNERMOST.sub(lambda m: re.sub(r"\s*\n\s*", " ", m.group()), whole) + "\n"


if __name__ == "__main__":
    main()
