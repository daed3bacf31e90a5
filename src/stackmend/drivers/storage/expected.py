# SPDX-License-Identifier: Apache-2.0
"""What the databases that were collected before say of a list: whether it can be of the back end it claims to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import dataset

from stackmend.cloud.states import STORED
from stackmend.drivers.snapshot.shape import schema
from stackmend.drivers.storage.names import folder_of
from stackmend.model.objects.storage import BackEnd, Listing

#: with fewer objects nothing is concluded from shares of them
_LEAST = 3
_VOLUMES, _SERVERS = "cinder_stored_volumes", "nova_instances"


@dataclass(slots=True)
class Expected:
    """Ids by what they are of; None where the table was not collected."""

    volumes: dict[str, set[str]] = field(default_factory=dict)  #: back end of Cinder, or its cluster -> ids in names
    #: likewise -> the folder of each share that volumes are on -> the share
    shares: dict[str, dict[str, str]] = field(default_factory=dict)
    names: set[str] | None = None  #: of every volume, also of those that are marked deleted
    servers: set[str] | None = None

    def lacking(self, back_end: BackEnd, listing: Listing) -> str:
        """Why it is not believed that this is everything; "" if it is."""
        wanted = set[str]().union(*(self.volumes.get(owner, ()) for owner in back_end.cinder))
        there = {one.uuid for one in listing.objects if one.kind == "volume" and one.role != "trash"}
        held = len(wanted & there)
        # of two back ends with their places exchanged, the one with few volumes seems to have lost these
        anothers = not held and any(there & some for some in self.volumes.values())
        few = not there or anothers or (len(wanted) >= _LEAST and 2 * held < len(wanted))
        if wanted and few:
            return (
                f"it holds {held} of the {len(wanted)} volumes that Cinder has there"
                f"{', and some that Cinder has elsewhere' if anothers else ''}: is it another {back_end.kind},"
                " are their names of another volume_name_template, or is something not mounted?"
            )
        return ""

    def unseen(self, back_end: BackEnd, listing: Listing) -> tuple[tuple[str, str], ...]:
        """(folder, why it says nothing) of shares that volumes are on and that were not among the folders."""
        if back_end.kind != "file" or "" in listing.folders:
            return ()
        wanted = {key: share for owner in back_end.cinder for key, share in self.shares.get(owner, {}).items()}
        known = {*listing.folders, *(folder for folder, _ in listing.closed)}
        return tuple(
            (folder, f"Cinder has volumes on share {share}, which is not mounted below {back_end.place}")
            for folder, share in sorted(wanted.items())
            if folder not in known
        )

    def foreign(self, listing: Listing) -> str:
        """Why what is unknown may be somebody else's; "" if nothing says so."""
        for kind, known, owner in (("volume", self.names, "Cinder"), ("disk", self.servers, "Nova")):
            uuids = {one.uuid for one in listing.objects if one.kind == kind and not one.role}
            unknown = len(uuids - known) if known is not None else 0
            # where nothing is known, nothing shows that it is ours
            if unknown == len(uuids) > 0 or (unknown >= _LEAST and 2 * unknown > len(uuids)):
                return (
                    f"{owner} knows nothing of {unknown} of the {len(uuids)} {kind}s there, so that none is said to be"
                    " left over: does another cloud use it, too (shared = true), or is the database an old copy?"
                )
        return ""


def expected(folder: Path) -> Expected:
    """From the tables in the folder of a snapshot."""
    found = Expected(names=_there(folder, _VOLUMES), servers=_there(folder, _SERVERS))
    for row in _read(folder, _VOLUMES, ["id", "stored", "host", "cluster_name", "status", "share", "deleted"]):
        stored = str(row["stored"]).lower()
        if found.names is not None:
            found.names |= {stored, str(row["id"]).lower()}
        if not row["deleted"] and row["status"] in STORED:
            for place in (row["host"], row["cluster_name"]):
                for owner in {str(place), str(place).partition("#")[0]} if place else ():
                    found.volumes.setdefault(owner, set()).add(stored)
                    if share := row["share"]:
                        found.shares.setdefault(owner, {})[folder_of(str(share))] = str(share)
    if found.servers is not None:
        found.servers |= {str(row["uuid"]).lower() for row in _read(folder, _SERVERS, ["uuid"])}
    return found


def _there(folder: Path, label: str) -> set[str] | None:
    return set() if any((folder / label).glob("*.parquet")) else None


def _read(folder: Path, label: str, columns: list[str]) -> Iterator[dict[str, object]]:
    files = [str(file) for file in (folder / label).glob("*.parquet")]
    if files:
        for batch in dataset.dataset(files, schema(label)).to_batches(columns=columns):
            yield from batch.to_pylist()
