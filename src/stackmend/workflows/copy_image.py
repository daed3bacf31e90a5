# SPDX-License-Identifier: Apache-2.0
"""Copy the content of an image to a store of Glance in which it is missing or damaged.

## What it does
Between filesystem stores (`--from`, `--to`): the source file is read completely and must have the hash that Glance has
recorded. A target file of another size or hash is moved into a quarantine beside it. Then the file is copied through
this machine, with checksums on both sides, into a working folder of the target, and put in place with one rename; its
owner is the owner of the store's folder. Nothing is deleted.

Into another store of Glance (`--to-store`): Glance itself copies the content (import method `copy-image`) and then
records an additional location. The request goes to the node that has the content (`--node`).

## Guards
The image is active and has the recorded hash, when planned and again just before the copy. The source has the complete
content. A target file is moved aside only if it is the one that was read, and a file that has appeared meanwhile is
never replaced.

## Undo
The copied file is moved into the quarantine, and a damaged file is moved back; or Glance deletes the content from the
store into which it was copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import image as glance
from stackmend.hosts import image_stores
from stackmend.hosts.disks import stamp_of
from stackmend.hosts.image_stores import StoreSpec
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.images import ACTIVE, Content, Held, ImageRecord
from stackmend.model.operations.image import CopyToStore, DropFromStore, ImageStands
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.values import real, texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

_BY_SSH = 'no access to hosts is configured: [hosts] transport = "ssh" is usual'


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane per target."""
    image = _image(sight, str(arguments["image"]))
    if store := str(arguments.get("store") or ""):
        yield _into(sight, image, store, str(arguments.get("node") or ""), real(arguments.get("timeout") or 3600))
        return
    if sight.hosts is None:
        raise CannotRepair(_BY_SSH)
    if not image.digest:
        raise CannotRepair(f"Glance has recorded no hash of image {image.id}: nobody can tell which copy is right")
    wanted = [StoreSpec.of(one) for one in texts(arguments.get("to"))]
    source = _source(sight, sight.hosts, image, str(arguments.get("from") or ""), wanted)
    sight.facts.update(image=image.id, source=source.name)
    stands = ImageStands(image=image.id, digest=image.digest).call()
    for target in wanted:
        steps = tuple(_steps(sight, sight.hosts, image, source, target))
        if not steps:
            continue
        yield LaneDraft(
            resource_type="image",
            resource_id=image.id,
            message=f"{image.name or image.id}: copied from {source.name} to {target.name}",
            steps=(stands, *steps),
            slots=(f"to:{target.host}",),
            target={"from": source.name, "to": target.name, "size": image.size, "digest": image.digest},
        )


def _image(sight: Sight, wanted: str) -> ImageRecord:
    """The image with this id or name; UsageError if there is none, or several."""
    shown = glance.image(sight.api, wanted)
    named = [one for one in glance.every(sight.api) if one.get("name") == wanted] if shown is None else [shown]
    if len(named) != 1:
        ids = ", ".join(str(one["id"]) for one in named)
        raise UsageError(
            f"{len(named) or 'no'} images are called {wanted!r}", f"Name one by its id: {ids or 'see image list'}."
        )
    if named[0].get("status") != ACTIVE:
        raise CannotRepair(f"image {named[0]['id']} is {named[0].get('status')}: only an active one has content")
    return glance.record(named[0])


def _seen(hosts: Hosts, store: StoreSpec, image: ImageRecord) -> Content:
    """What a store has of the image, judged by its hash."""
    sized = image_stores.by_size(image_stores.listed(hosts, store), {image.id: image})
    return image_stores.read(hosts, store, image, sized.held[image.id])


def _source(sight: Sight, hosts: Hosts, image: ImageRecord, given: str, wanted: list[StoreSpec]) -> StoreSpec:
    """A store that has the complete content: the named one, or else the first configured one that has it."""
    known = [StoreSpec.of(given)] if given else [StoreSpec.of(one) for one in texts(sight.settings["images.stores"])]
    some = [one for one in known if one not in wanted]
    if not some:
        raise UsageError("there is no store to copy from", "Name it: --from HOST, or configure [images] stores.")
    lacking = []
    for store in some:
        content = _seen(hosts, store, image)
        if content.held is Held.WHOLE:
            return store
        lacking.append(f"{store.name}: {content.why}")
    raise CannotRepair(f"no store has image {image.id} whole: {'; '.join(lacking)}")


def _steps(sight: Sight, hosts: Hosts, image: ImageRecord, source: StoreSpec, target: StoreSpec) -> Iterator[Step]:
    """The steps for one target; none if it already has the complete content."""
    content = _seen(hosts, target, image)
    if content.held is Held.UNREAD:
        raise CannotRepair(f"what {target.name} has cannot be read: {content.why}")
    if content.held is Held.WHOLE:
        sight.facts.setdefault("whole", target.name)
        return
    if content.held in (Held.SIZE, Held.HASH):
        yield image_stores.aside(target, image, content.size or 0, stamp_of(sight.now))
    yield image_stores.copied(source, target, image, sight.settings)


def _into(sight: Sight, image: ImageRecord, store: str, node: str, limit: float) -> LaneDraft:
    """The lane in which Glance copies the image into another of its stores."""
    asked = CopyToStore(image=image.id, store=store, node=node, limit=limit)
    seen = sight.api.look(asked)
    known = glance.stores(sight.api)
    if store not in known:
        raise UsageError(
            f"Glance has no store {store!r}", f"It has: {', '.join(known) or 'one, with several disabled'}."
        )
    if store in seen["stores"]:
        raise CannotRepair(
            f"Glance has recorded that image {image.id} is in {store}: where its content is missing there, copy the"
            " file from a store that has it (--to), for Glance copies nothing into a store that is recorded"
        )
    back = DropFromStore(image=image.id, store=store, node=node).call({"image": "present", "status": ACTIVE})
    return LaneDraft(
        resource_type="image",
        resource_id=image.id,
        message=f"{image.name or image.id}: copied by Glance into its store {store}",
        steps=(asked.call({"image": "present", "status": ACTIVE, "stores": seen["stores"]}, back),),
        target={"stores": list(seen["stores"]), "to": store},
    )


WORKFLOW = Workflow(name="copy-image", risk=Risk.SAFE, lanes=lanes)
