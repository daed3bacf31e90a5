# SPDX-License-Identifier: Apache-2.0
"""Shell that is run on hosts, a file a script, under shellcheck (make lint)."""

from __future__ import annotations

from importlib.resources import files


def script(name: str) -> str:
    """The script ``NAME.sh`` as ``sh -c`` gets it and plans show it: without the comments at its head."""
    lines = files(__package__).joinpath(f"{name}.sh").read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[first:])
