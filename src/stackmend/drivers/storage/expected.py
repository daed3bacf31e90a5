# SPDX-License-Identifier: Apache-2.0
"""What the databases that were collected before say of a list.

Whether it can be of the back end it claims to be, and of which objects it matters who has them open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import dataset

from stackmend.cloud.states import RUNNING, STORED
from stackmend.drivers.snapshot.shape import schema
from stackmend.drivers.storage.names import folder_of
from stackmend.model.objects.images import ACTIVE, SCRUBBED_LATER
from stackmend.model.objects.storage import BackEnd, Listing, Stored

#: with fewer objects nothing is concluded from shares of them
_LEAST = 3
_VOLUMES, _SERVERS = "cinder_stored_volumes", "nova_instances"
_IMAGES, _LOCATIONS = "glance_images", "glance_image_locations"


@dataclass(slots=True)
class Expected:
    """Ids by what they are of; None where the table was not collected."""

    volumes: dict[str, set[str]] = field(default_factory=dict)  #: back end of Cinder, or its cluster -> ids in names
    #: likewise -> the folder of each share that volumes are on -> the share
    shares: dict[str, dict[str, str]] = field(default_factory=dict)
    names: set[str] | None = None  #: of every volume, also of those that are marked deleted
    servers: set[str] | None = None
    images: set[str] | None = None  #: also those that are marked deleted, and objects that locations lead to
    live: dict[str, set[str]] = field(default_factory=dict)  #: kind of an object -> ids that are not deleted
    running: set[str] = field(default_factory=set)  #: servers that are to run
    holders: dict[str, set[str]] = field(default_factory=dict)  #: id in the name of a volume -> servers that have it
    located: dict[str, set[tuple[str, str]]] = field(default_factory=dict)  #: pool -> (cluster, image) of Glance

    def lacking(self, back_end: BackEnd, listing: Listing) -> str:
        """Why it is not believed that this is everything; "" if it is."""
        volumes = {one for owner in back_end.cinder for one in self.volumes.get(owner, ())}
        places = self.located.get(back_end.place, set()) if back_end.glance else set()
        images = {image for cluster, image in places if cluster == listing.cluster}
        for kind, wanted, known, owner, why in (
            (
                "volume",
                volumes,
                self.names,
                "Cinder",
                ", are their names of another volume_name_template, or is something not mounted",
            ),
            ("image", images, self.images, "Glance", ""),
        ):
            there = {one.uuid for one in listing.objects if one.kind == kind and one.role != "trash"}
            held = len(wanted & there)
            # of two back ends with their places exchanged, the one with few volumes seems to have lost these
            anothers = kind == "volume" and not held and any(there & some for some in self.volumes.values())
            # where nothing is known, as where nothing is, nothing shows that it is this one
            ours = there & (known or set())
            few = not ours or anothers or (len(wanted) >= _LEAST and 2 * held < len(wanted))
            if wanted and few:
                return (
                    f"it holds {held} of the {len(wanted)} {kind}s that {owner} has there"
                    f"{f', and some that {owner} has elsewhere' if anothers else ''}:"
                    f" is it another {back_end.kind}{why}?"
                )
        return ""

    def asked(self, listing: Listing) -> tuple[list[str], list[str]]:
        """The objects of which it matters who has them open: (what nobody knows, what servers that run have locked)."""
        unknown, locked = [], []
        for one in listing.objects:
            if one.role:
                continue
            if one.uuid not in self.live.get(one.kind, {one.uuid}):
                unknown.append(one.name)
            elif one.locked and len(users := self._users(one)) == 1 and users <= self.running:
                locked.append(one.name)
        return sorted(unknown), sorted(locked)

    def _users(self, one: Stored) -> set[str]:
        """The servers that write to it: none to a configuration, nor to the disk of a rescue that is over."""
        if one.kind == "disk":
            return set() if "_disk.config" in one.name or one.name.endswith(".rescue") else {one.uuid}
        return self.holders.get(one.uuid, set()) if one.kind == "volume" else set()

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
        doubts = []
        nothing = True
        for kind, known, owner in (
            ("volume", self.names, "Cinder"),
            ("disk", self.servers, "Nova"),
            ("image", self.images, "Glance"),
        ):
            there = [one for one in listing.objects if one.kind == kind and not one.role]
            if known is None or not there:
                continue
            unknown = [one for one in there if one.uuid not in known]
            used = [one.name for one in unknown if one.used]
            nothing = nothing and len(unknown) == len(there)
            why = (
                f"{owner} knows nothing of {len(unknown)} of the {len(there)} {kind}s there,"
                f"{f' {len(used)} of which are in use, such as {min(used)},' if used else ''} so that none is said to"
                " be left over: does another cloud use it, too (shared = true), or is the database an old copy?"
            )
            # what is left over is seldom in use, and most of what another cloud has is
            most = 2 * len(unknown) > len(there) or (len(used) >= _LEAST and 2 * len(used) > len(unknown))
            doubts.append((len(unknown) >= _LEAST and most, why))
        # where nothing is known, nothing shows that it is ours
        return next((why for many, why in doubts if many or nothing), "")


def expected(folder: Path) -> Expected:
    """From the tables in the folder of a snapshot."""
    found = Expected(names=_there(folder, _VOLUMES), servers=_there(folder, _SERVERS), images=_there(folder, _IMAGES))
    attached: dict[str, set[str]] = {}
    for row in _read(folder, "cinder_volume_attachment", ["volume_id", "instance_uuid", "deleted"]):
        if row["instance_uuid"] and not row["deleted"]:
            attached.setdefault(str(row["volume_id"]), set()).add(str(row["instance_uuid"]).lower())
    for row in _read(folder, _VOLUMES, ["id", "stored", "host", "cluster_name", "status", "share", "deleted"]):
        stored = str(row["stored"]).lower()
        if found.names is not None:
            found.names |= {stored, str(row["id"]).lower()}
        if not row["deleted"]:
            found.live.setdefault("volume", set()).add(stored)
            found.holders[stored] = attached.get(str(row["id"]), set())
        if not row["deleted"] and row["status"] in STORED:
            for place in (row["host"], row["cluster_name"]):
                for owner in {str(place), str(place).partition("#")[0]} if place else ():
                    found.volumes.setdefault(owner, set()).add(stored)
                    if share := row["share"]:
                        found.shares.setdefault(owner, {})[folder_of(str(share))] = str(share)
    if found.servers is not None:
        for row in _read(folder, _SERVERS, ["uuid", "deleted", "vm_state", "power_state"]):
            found.servers.add(server := str(row["uuid"]).lower())
            if not row["deleted"]:
                found.live.setdefault("disk", set()).add(server)
            if not row["deleted"] and row["vm_state"] == "active" and row["power_state"] == RUNNING:
                found.running.add(server)
    _add_images(folder, found)
    return found


def _add_images(folder: Path, found: Expected) -> None:
    active, live = set(), set()
    for row in _read(folder, _IMAGES, ["id", "status", "deleted"]):
        if found.images is not None:
            found.images.add(str(row["id"]).lower())
        if not row["deleted"] or row["status"] == SCRUBBED_LATER:
            live.add(str(row["id"]).lower())
        if not row["deleted"] and row["status"] == ACTIVE:
            active.add(row["id"])
    for row in _read(folder, _LOCATIONS, ["image_id", "rbd", "status", "deleted"]):
        if not row["rbd"] or row["deleted"]:
            continue
        cluster, pool, image, _ = str(row["rbd"]).removeprefix("rbd://").split("/", 3)
        live.add(image.lower())
        if row["image_id"] in active and row["status"] == ACTIVE:
            found.located.setdefault(pool, set()).add((cluster, image.lower()))
    if found.images is not None:
        found.images |= live
        found.live["image"] = live


def _there(folder: Path, label: str) -> set[str] | None:
    return set() if any((folder / label).glob("*.parquet")) else None


def _read(folder: Path, label: str, columns: list[str]) -> Iterator[dict[str, object]]:
    files = [str(file) for file in (folder / label).glob("*.parquet")]
    if files:
        for batch in dataset.dataset(files, schema(label)).to_batches(columns=columns):
            yield from batch.to_pylist()
