# SPDX-License-Identifier: Apache-2.0
"""Glance's records of images: from its database if that is configured, otherwise from its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stackmend.app import apis
from stackmend.app.session import CloudSession, has_api, no_progress
from stackmend.cloud import image as glance
from stackmend.drivers.scratch import scratch
from stackmend.drivers.snapshot.query import open_snapshot
from stackmend.model.errors import ApiError, SourceError, UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.images import ACTIVE, SCRUBBED_LATER, ImageRecord

_LABELS = ("glance_images", "glance_image_locations")
#: including deleted images, whose content may be waiting to be scrubbed
_IMAGES = "SELECT id, name, status, owner, size, checksum, os_hash_algo, os_hash_value, deleted FROM glance_images"
_PLACES = "SELECT image_id, scheme, status, deleted FROM glance_image_locations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The images of a cloud."""

    images: Mapping[str, ImageRecord]  #: the active ones with content of their own
    known: frozenset[str] | None  #: see :class:`stackmend.model.objects.images.StoreVisit`
    empty: int = 0  #: number of active images that have no content by design: snapshots of volume-backed servers

    def chosen(self, wanted: Sequence[str]) -> Recorded:
        """Only the images with these ids or names; UsageError if one does not exist."""
        found: dict[str, ImageRecord] = {}
        for text in wanted:
            some = [self.images[text]] if text in self.images else [i for i in self.images.values() if i.name == text]
            if not some:
                raise UsageError(
                    f"there is no active image {text!r} with content", "See 'openstack image list --status active'."
                )
            found |= {one.id: one for one in some}
        return Recorded(images=found, known=self.known) if wanted else self


def recorded(session: CloudSession) -> Recorded:
    """Glance's current records. SourceError if they cannot be read completely, ApiError if there is no source."""
    return _by_rows(session) if "glance" in session.config.databases else _by_api(session)


def _by_rows(session: CloudSession) -> Recorded:
    with scratch("images") as name:
        folder = Path(name)
        manifest = session.collector().collect(_LABELS, folder, no_progress)
        source = next((one for one in manifest.sources if one.database == "glance"), None)
        if source is None or source.error:
            raise SourceError(f"the images of the cloud are not known: {source.error if source else 'no database'}")
        with closing(open_snapshot(folder, manifest.now)) as query:
            rows, places = query.rows(_IMAGES, {}), query.rows(_PLACES, {})
    schemes: dict[str, set[str]] = {}
    later = {str(row["id"]) for row in rows if row["status"] == SCRUBBED_LATER}
    for place in places:
        if place["status"] == SCRUBBED_LATER:
            later.add(str(place["image_id"]))
        elif not place["deleted"]:
            schemes.setdefault(str(place["image_id"]), set()).add(str(place["scheme"]))
    number = {name: sum(1 for p in places if p["image_id"] == name and not p["deleted"]) for name in schemes}
    alive = [row for row in rows if not row["deleted"]]
    images = [
        _record(row, tuple(sorted(schemes.get(str(row["id"]), ()))) * min(2, number.get(str(row["id"]), 0)))
        for row in alive
        if row["status"] == ACTIVE
    ]
    known = frozenset({str(row["id"]).lower() for row in alive} | {name.lower() for name in later})
    return _made(images, known)


def _record(row: Row, schemes: tuple[str, ...]) -> ImageRecord:
    found = glance.record(row)
    return ImageRecord(
        id=found.id, name=found.name, size=found.size, algorithm=found.algorithm, digest=found.digest,
        owner=found.owner, schemes=schemes,
    )  # fmt: skip


def _by_api(session: CloudSession) -> Recorded:
    if not has_api(session.config):
        raise ApiError("neither Glance's database nor an API is configured", "Set [databases] glance, or [api] cloud.")
    with apis.reading(session.config, session, "auto") as (api, why):
        if api is None:
            raise ApiError(f"Glance cannot be asked: {why}", "Check [api] cloud, and clouds.yaml.")
        every = glance.every(api)
    return _made([glance.record(one) for one in every if one.get("status") == ACTIVE], None)


def _made(images: Sequence[ImageRecord], known: frozenset[str] | None) -> Recorded:
    whole = {image.id: image for image in images if image.size}
    return Recorded(images=whole, known=known, empty=len(images) - len(whole))
