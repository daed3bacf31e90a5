# SPDX-License-Identifier: Apache-2.0
"""The command a host runs to serve one disk: qemu-nbd, read-only, given the format of every layer.

Nothing in the disk's header is trusted: a guest can write a header that names any file of its host. QEMU takes a shared
lock on every layer; it is refused if a process may write to one (a running guest).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """One file in a chain of images."""

    path: str
    format: str  #: "raw" or "qcow2"


def argv(layers: Sequence[Layer], *, torn: bool = False) -> tuple[str, ...]:
    """The command that serves a disk on its stdin and stdout. ``layers``: the disk first, then its backing files.

    ``torn``: do not lock the disk, so that it is served even while its guest writes to it: what is read then does not
    belong to any single point in time.
    """
    script = resources.files(__package__).joinpath("export.py").read_text(encoding="utf-8")
    # a running guest writes only to the first layer
    files = (layer.path for layer in layers[1 if torn else 0 :])
    node = _node(layers, torn=torn)
    return ("python3", "-c", script, *files, "--", "qemu-nbd", "--read-only", f"json:{json.dumps(node)}")


def _node(layers: Sequence[Layer], *, torn: bool) -> dict[str, Any]:
    first, rest = layers[0], layers[1:]
    node: dict[str, Any] = {"driver": first.format, "file": {"driver": _driver(first.path), "filename": first.path}}
    if torn:
        node |= {"force-share": True, "read-only": True}
    if first.format == "qcow2":
        node["backing"] = _node(rest, torn=torn) if rest else None
    elif rest:
        raise ValueError(f"{first.path} is raw: it is based on nothing")
    return node


def _driver(path: str) -> str:
    return "host_device" if path.startswith("/dev/") else "file"
