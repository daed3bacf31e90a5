# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the programs ``rbd`` and ``ceph`` where there is no cluster: the pools are a file.

It prints what Ceph 16.2 printed (``recorded/ceph.json``; ``test_ceph.py`` compares both, and the whole with a cluster
where Ceph is installed). ``broken``: images that cannot be opened, which ``rbd ls -l`` leaves out with a word on stderr
and exit code 0. ``refused``: what the account may not do. Run as ``rbd_stand_in.py rbd|ceph FILE WORDS...``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DENIED = "(1) Operation not permitted"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _list(pool: dict[str, Any], long: bool) -> list[Any]:
    if not long:
        return [*pool["images"]]
    found: list[Any] = []
    for number, (name, image) in enumerate(pool["images"].items()):
        if image.get("broken"):
            print(f"rbd: error opening {name}: {DENIED}", file=sys.stderr)
            continue
        parent = {"parent": image["parent"]} if image.get("parent") else {}
        lock = {"lock_type": "exclusive"} if image.get("locks") else {}
        head = {"image": name, "id": f"{number:x}"}
        found.append({**head, "size": image["size"], **parent, "format": 2, **lock})
        for at, snapshot in enumerate(image.get("snapshots", ())):
            found.append({**head, "snapshot": snapshot, "snapshot_id": at + 4, "size": image["size"], **parent,
                          "format": 2, "protected": "true"})  # fmt: skip
    return found


def _failed(why: str, code: int) -> int:
    print(f"rbd: {why}", file=sys.stderr)
    return code


def _said(value: Any) -> int:
    print(_compact(value))
    return 0


def _of_image(verbs: list[str], name: str, image: dict[str, Any] | None) -> int:
    if image is None:
        return _failed(f"error opening image {name}: (2) No such file or directory", 2)
    if image.get("broken") or image.get("refused"):
        return _failed(f"error opening image {name}: {DENIED}", 1)
    return _said(image.get("locks", []) if verbs[0] == "lock" else {"watchers": image.get("watchers", [])})


def _rbd(file: Path, words: list[str]) -> int:
    pools = json.loads(file.read_text())
    words = words[2:] if words[0] == "--id" else words
    plain = [word for word in words if not word.startswith("-") and word not in ("json", "30 days")]
    number = 2 if plain[0] in ("trash", "lock") else 1
    verbs, (spec, *more) = plain[:number], plain[number:]
    name, _, image = spec.partition("/")
    if name not in pools:
        return _failed(f"error opening pool '{name}': (2) No such file or directory", 2)
    pool = pools[name]
    if verbs == ["ls"]:
        return _said(_list(pool, "-l" in words))
    if verbs == ["trash", "ls"]:
        return _said([{"id": id, "name": one["name"]} for id, one in pool["trash"].items()])
    if verbs in (["lock", "ls"], ["status"]):
        return _of_image(verbs, image, pool["images"].get(image))
    if verbs == ["trash", "mv"]:
        assert words[words.index("--expires-at") + 1] == "30 days"
        pool["trash"]["77"] = {"name": image, **pool["images"].pop(image)}
    elif verbs == ["trash", "restore"]:
        pool["images"][words[words.index("--image") + 1]] = pool["trash"].pop(image)
    elif verbs == ["rename"]:
        pool["images"][more[0].partition("/")[2]] = pool["images"].pop(image)
    else:
        return _failed(f"error: unknown option '{' '.join(verbs)}'", 1)
    file.write_text(json.dumps(pools))
    return 0


def _ceph(file: Path, words: list[str]) -> int:
    cluster = json.loads(file.read_text()).get("cluster", {})
    verb = " ".join(word for word in words if word not in ("--format", "json"))
    if verb in cluster.get("refused", ()):
        print("Error EACCES: access denied", file=sys.stderr)
        return 13
    if verb == "fsid":
        print("\n" + _compact({"fsid": cluster.get("fsid", "")}), end="")
        return 0
    if verb == "osd blocklist ls":
        print(f"listed {len(cluster.get('blocklist', ()))} entries", file=sys.stderr)
        print("\n" + _compact(cluster.get("blocklist", [])) + _compact(cluster.get("ranges", [])), end="")
        return 0
    print(f"no valid command found: {verb}", file=sys.stderr)
    return 22


if __name__ == "__main__":
    programs = {"rbd": _rbd, "ceph": _ceph}
    sys.exit(programs[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:]))
