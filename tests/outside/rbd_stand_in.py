# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the program ``rbd``, as there is no cluster here: the pools are a file.

The fields are those of ceph's src/tools/rbd/action/List.cc and Trash.cc. ``broken``: images that cannot be opened,
which ``rbd ls -l`` leaves out with a word on stderr and exit code 0. Run as ``rbd_stand_in.py FILE WORDS...``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def _list(pool: dict[str, Any], long: bool) -> list[Any]:
    if not long:
        return [*pool["images"]]
    found: list[Any] = []
    for number, (name, image) in enumerate(pool["images"].items()):
        if image.get("broken"):
            print(f"rbd: error opening {name}: (1) Operation not permitted", file=sys.stderr)
            continue
        parent = {"parent": image["parent"]} if image.get("parent") else {}
        lock = {"lock_type": image["lock"]} if image.get("lock") else {}
        found.append({"image": name, "id": f"{number:x}", "size": image["size"], **parent, "format": 2, **lock})
        for at, snapshot in enumerate(image.get("snapshots", ())):
            found.append({"image": name, "id": f"{number:x}", "snapshot": snapshot, "snapshot_id": at + 4,
                          "size": image["size"], "format": 2, "protected": "true"})  # fmt: skip
    return found


def _main(file: Path, words: list[str]) -> int:
    pools = json.loads(file.read_text())
    plain = [word for word in words if not word.startswith("-") and word not in ("json", "30 days")]
    verbs, (spec, *more) = (plain[:2], plain[2:]) if plain[0] == "trash" else (plain[:1], plain[1:])
    name, _, image = spec.partition("/")
    if name not in pools:
        print(f"rbd: error opening pool '{name}': (2) No such file or directory", file=sys.stderr)
        return 2
    pool = pools[name]
    if verbs == ["ls"]:
        print(json.dumps(_list(pool, "-l" in words)), end="")
        return 0
    if verbs == ["trash", "ls"]:
        print(json.dumps([{"id": id, "name": one["name"]} for id, one in pool["trash"].items()]), end="")
        return 0
    if verbs == ["trash", "mv"]:
        assert words[words.index("--expires-at") + 1] == "30 days"
        pool["trash"]["77"] = {"name": image, **pool["images"].pop(image)}
    elif verbs == ["trash", "restore"]:
        pool["images"][words[words.index("--image") + 1]] = pool["trash"].pop(image)
    elif verbs == ["rename"]:
        pool["images"][more[0].partition("/")[2]] = pool["images"].pop(image)
    else:
        print(f"rbd: error: unknown option '{' '.join(verbs)}'", file=sys.stderr)
        return 1
    file.write_text(json.dumps(pools))
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2:]))
