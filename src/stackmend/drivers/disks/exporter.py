# SPDX-License-Identifier: Apache-2.0
"""What a host runs to serve one disk: qemu-nbd, read-only, told of every layer what it is.

Nothing that a disk says of itself is believed: a guest can write a header that names any file of its host. QEMU takes a
shared lock of every layer; it is refused where a process may write to one (a guest that runs).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """A file of a chain of disks."""

    path: str
    format: str  #: "raw" or "qcow2"


def argv(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The command that serves a disk on its stdin and stdout. ``layers``: the disk first, then what it is based on."""
    script = resources.files(__package__).joinpath("export.py").read_text(encoding="utf-8")
    files = (layer.path for layer in layers)
    return ("python3", "-c", script, *files, "--", "qemu-nbd", "--read-only", f"json:{json.dumps(_node(layers))}")


def _node(layers: Sequence[Layer]) -> dict[str, Any]:
    first, rest = layers[0], layers[1:]
    node: dict[str, Any] = {"driver": first.format, "file": {"driver": "file", "filename": first.path}}
    if first.format == "qcow2":
        node["backing"] = _node(rest) if rest else None
    elif rest:
        raise ValueError(f"{first.path} is raw: it is based on nothing")
    return node
