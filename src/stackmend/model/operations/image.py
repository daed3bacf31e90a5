# SPDX-License-Identifier: Apache-2.0
"""Operations of Glance on images and their content."""

from __future__ import annotations

from typing import Generic, TypedDict

from stackmend.model.operations import Operation, OptionalSeconds, Seen
from stackmend.model.operations.servers import Presence


class GlanceOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One of Glance."""

    SERVICE = "image"


class ImageSeen(TypedDict, total=False):
    """An image as Glance records it."""

    image: Presence
    status: str
    digest: str | None  #: os_hash_value, else the old checksum


class StoresSeen(ImageSeen, total=False):
    """An image, the stores that it is in by Glance's records, and what is being done with it."""

    stores: list[str]
    importing: bool
    failed: list[str]  #: stores into which the last import did not bring it


class ImageStands(GlanceOperation[ImageSeen], frozen=True, kw_only=True):
    """See that an image is active, with this content."""

    NAME = "image-stands"

    image: str
    digest: str


class CopyToStore(GlanceOperation[StoresSeen], frozen=True, kw_only=True):
    """Have Glance copy the content of an image into one more of its stores."""

    NAME = "copy-to-store"

    image: str
    store: str
    node: str  #: URL of the node that is asked, and has the content; "": whichever the catalog has
    limit: OptionalSeconds


class DropFromStore(GlanceOperation[StoresSeen], frozen=True, kw_only=True):
    """Have Glance delete the content of an image from one of its stores, which must not be the last one."""

    NAME = "drop-from-store"

    image: str
    store: str
    node: str


class RegisterImage(GlanceOperation[ImageSeen], frozen=True, kw_only=True):
    """Create a private image without content, under a given id."""

    NAME = "register-image"

    image: str
    name: str


class DeleteImage(GlanceOperation[ImageSeen], frozen=True, kw_only=True):
    """Delete an image."""

    NAME = "delete-image"

    image: str
