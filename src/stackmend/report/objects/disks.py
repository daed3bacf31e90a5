# SPDX-License-Identifier: Apache-2.0
"""The inventory of an instances directory, as text for people and a document for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackmend.model.objects.disks import Base, DirectoryOwner, Disk, Folder, Image, Inventory, Ownership
from stackmend.report.document import Document
from stackmend.report.words import count, size

#: whose a directory is, for people
_WHOSE = {
    Ownership.HERE: "its server lives here",
    Ownership.MOVING: "not at rest",
    Ownership.ELSEWHERE: "its server lives elsewhere",
    Ownership.DELETED: "its server is deleted",
    Ownership.NOBODY: "of no server",
    Ownership.UNKNOWN: "its owner is unknown",
}


def inventory(found: Inventory, owners: Mapping[str, DirectoryOwner], kept: Mapping[str, str]) -> Document:
    """The directory (docs/schemas/inventory.json)."""
    data = {
        "host": found.host,
        "path": found.path,
        "storage": {
            "mount": found.storage.mount,
            "source": found.storage.source,
            "type": found.storage.type,
            "free": found.storage.free,
            "shared": found.storage.shared,
            "why": found.storage.why,
        },
        "directories": [_folder(folder, owners[folder.name], kept[folder.name]) for folder in found.folders],
        "bases": [_base(base) for base in found.bases],
        "other": [_text(name) for name in found.other],
        "notes": [_text(note) for note in found.notes],
    }
    return Document(data=data, text="\n".join(_lines(found, owners, kept)))


def broken(found: Inventory) -> bool:
    """Whether anything of it is broken."""
    return any(folder.broken for folder in found.folders) or any(b.image.problem and b.used_by for b in found.bases)


def _text(name: str) -> str:
    """A name as every encoding can carry it: bytes that are not UTF-8 as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _folder(folder: Folder, owner: DirectoryOwner, kept: str) -> dict[str, object]:
    return {
        "name": folder.name,
        "kind": folder.kind.value,
        "server": folder.server or owner.server,
        "owner": {
            "verdict": owner.verdict.value,
            "why": owner.why,
            "host": owner.host,
            "name": owner.name,
            "state": owner.state,
        },
        "orphan": not kept,
        "why_no_orphan": kept,
        "size": folder.size,
        "allocated": folder.allocated,
        "modified": folder.modified,
        "disks": [_disk(disk) for disk in folder.disks],
        "files": [_text(name) for name in folder.files],
        "open_by": list(folder.open_by),
        "domain": folder.domain,
        "nvram": _text(folder.nvram),
        "vtpm": folder.vtpm,
        "suspended": folder.saved,
        "problems": [_text(text) for text in folder.broken],
    }


def _disk(disk: Disk) -> dict[str, object]:
    return {
        **_image(disk.image),
        "chain": [_text(path) for path in disk.chain],
        "problems": [_text(text) for text in disk.problems],
    }


def _base(base: Base) -> dict[str, object]:
    return {
        **_image(base.image),
        "kind": base.kind,
        "used_by": [_text(path) for path in base.used_by],
        "open_by": list(base.open_by),
        "missing": base.missing,
        "problem": _text(base.image.problem),
    }


def _image(image: Image) -> dict[str, object]:
    return {
        "path": _text(image.path),
        "format": image.format,
        "size": image.size,
        "allocated": image.allocated,
        "virtual_size": image.virtual_size,
        "backing": _text(image.backing),
        "check": _text(image.check),
    }


def _lines(found: Inventory, owners: Mapping[str, DirectoryOwner], kept: Mapping[str, str]) -> Iterator[str]:
    storage = found.storage
    shared = {True: "shared", False: "local", None: "unknown whether shared"}[storage.shared]
    yield f"{found.host}:{found.path} on {storage.type or 'an unknown file system'}, {size(storage.free)} free"
    yield f"  {shared}: {storage.why}"
    yield ""
    yield f"{count(len(found.bases), 'base')}:"
    for base in found.bases:
        yield f"  {_name(base.image.path)}: {_image_line(base.image)}, {_used(base)}"
        if base.image.problem:
            yield f"    BROKEN: {_name(base.image.problem)}"
    yield ""
    yield f"{count(len(found.folders), 'directory', 'directories')}:"
    for folder in found.folders:
        yield from _folder_lines(folder, owners[folder.name], kept[folder.name])
    if found.other:
        yield ""
        yield f"neither: {', '.join(map(_name, found.other))}"
    if found.notes:
        yield ""
        yield "NOT READ:"
        yield from (f"  {_name(note)}" for note in found.notes)


def _folder_lines(folder: Folder, owner: DirectoryOwner, kept: str) -> Iterator[str]:
    state = f", {owner.name} {owner.state}".rstrip() if owner.name or owner.state else ""
    yield f"  {_name(folder.name)}: {_WHOSE[owner.verdict]}{state}, {size(folder.allocated)}"
    if owner.verdict not in (Ownership.HERE,):
        yield f"    {owner.why}"
        yield f"    {'ORPHAN' if not kept else f'not an orphan: {kept}'}"
    for disk in folder.disks:
        chain = "".join(f" <- {_name(path)}" for path in disk.chain)
        yield f"    {_name(disk.image.path.partition('/')[2])}: {_image_line(disk.image)}{chain}"
    notes = (
        (bool(folder.open_by), f"in use by {', '.join(folder.open_by)}"),
        (bool(folder.nvram), f"UEFI variables: {_name(folder.nvram)}"),
        (folder.vtpm, "it has a vTPM, which cannot be salvaged"),
        (folder.saved, "it is suspended: its memory cannot be salvaged"),
    )
    yield from (f"    {text}" for so, text in notes if so)
    yield from (f"    BROKEN: {_name(text)}" for text in folder.broken)


def _image_line(image: Image) -> str:
    check = f", check: {image.check}" if image.check else ""
    return (
        f"{image.format or 'unknown format'}, {size(image.virtual_size)} of which {size(image.allocated)} are used"
        f"{check}"
    )


def _used(base: Base) -> str:
    return f"base of {count(len(base.used_by), 'disk')}" if base.used_by else "base of no disk"


def _name(text: str) -> str:
    """A name on one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in _text(text))
