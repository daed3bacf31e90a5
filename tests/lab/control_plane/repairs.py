# SPDX-License-Identifier: Apache-2.0
"""Every repair by each of its strategies: what is broken for it, and how the mended thing is used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from stackmend.engine.auditing import catalogue
from stackmend_lab import breaks, plants

from ...support.crowds import touched
from . import consequences, damage, networking, records, usual
from . import using as use
from .proofs import Proof, broken, pairs

#: of the proofs that no change concerns, make test makes one in so many
SHARE = 16

#: breaks that restart services come first; among these, those that stop an API come last
PROOFS = (
    broken("preserve-on-delete-wrong", "keep-port", "db", use.server, restarts=True, elsewhere=True),
    # whatever is held later in the same action comes first: an earlier lever would keep it from getting there
    broken("server-wrong-host", "set-server-host", "db", use.server, killed=True),
    broken("allocation-wrong-provider", "move-allocations", "api", use.server, killed=True),
    broken("port-binding-inactive-leftover", "drop-inactive-binding", "api", use.server, killed=True),
    broken("nova-bdm-cinder-detached", "drop-stale-bdm", "api", use.server_without_volume, killed=True),
    # not with the one before: of volumes of one back end, a nova-compute detaches one at a time (os-brick's lock)
    broken("volume-stuck-detaching", "roll-detaching", "api", use.server_with_volume, restarts=True),
    broken("allocation-orphan", "delete-allocations", "api", use.no_allocation, restarts=True),
    broken("volume-in-use-server-gone", "detach-volume", "api", use.free_volume, restarts=True),
    broken("info-cache-stale-port", "drop-stale-vif", "db", use.server, restarts=True, chosen=True),
    broken("volume-stuck-error-deleting", "mark-volume-deleted", "api", use.no_volume),
    broken("extra-ports-on-server", "release-leftover-port", "api", use.server_without_port,
           harm=consequences.one_nic_too_many),
    broken("extra-ports-on-server", "release-leftover-port", "db", use.server_without_port),
    broken("port-binding-wrong-host", "rebind-port", "db", use.bound_server),
    broken("cinder-attached-nova-not", "restore-bdm", "db", use.server_with_volume, harm=consequences.unknown_to_nova),
    broken("info-cache-empty", "rebuild-info-cache", "db", use.server, harm=consequences.addresses_hidden),
    broken("soft-deleted-server-cache-empty", "rebuild-info-cache", "db", use.restored_server),
    broken("server-deleted-incompletely", "finish-deletion", "db", use.archived_server),
    broken("volume-deleted-incompletely", "finish-volume-deletion", "db", use.purgeable_volume),
    broken("snapshot-deleted-incompletely", "finish-snapshot-deletion", "db", use.purgeable_part),
    broken("attachment-deleted-incompletely", "finish-attachment-deletion", "db", use.purgeable_part),
    broken("volume-status-attachment-mismatch", "restore-volume-status", "api", use.server_with_volume,
           harm=consequences.free_and_not_detachable),
    Proof("volume-status-attachment-mismatch", "restore-volume-status", "db", use.server_with_volume,
          damage.freed_by_hand, harm=consequences.free_and_not_detachable),
    Proof("volume-deleted-incompletely", "revive-volume", "db", use.server_with_volume, damage.deleted_under_a_server),
    broken("server-half-purged", "restore-instance-extra", "db", use.server, blinds=True),
    Proof("port-binding-inactive-leftover", "drop-inactive-binding", "db", use.server, damage.bound_twice,
          how="service", harm=consequences.not_to_that_host),
    Proof("nova-bdm-cinder-detached", "drop-stale-bdm", "db", use.server_without_volume, damage.stale_mapping,
          harm=consequences.listed_but_not_attached),
    Proof("volume-stuck-detaching", "roll-detaching", "db", use.server_with_volume, damage.detaching,
          harm=consequences.neither_detached_nor_deleted),
    Proof("volume-stuck-detaching", "detach-volume", "api", use.server_without_volume, damage.detaching_mapping_gone,
          way="mapping-gone"),
    Proof("volume-stuck-detaching", "detach-volume", "db", use.server_without_volume, damage.detaching_attachment_gone,
          way="attachment-gone", also=("nova-bdm-cinder-detached",)),
    Proof("volume-stuck-detaching", "detach-volume", "db", use.free_volume, damage.detaching_both_gone,
          way="both-gone"),
    Proof("volume-in-use-server-gone", "detach-volume", "db", use.free_volume, damage.volume_of_nobody),
    Proof("info-cache-stale-port", "drop-stale-vif", "api", use.server, damage.freed_port, way="freed"),
    Proof("info-cache-stale-port", "restore-port", "db", use.server_with_port_back, damage.stale_port, chosen=True),
    Proof("volume-stuck-error-deleting", "mark-volume-deleted", "db", use.no_volume, damage.error_deleting,
          harm=consequences.undeletable),
    Proof("server-deleted-incompletely", "finish-deletion", "db", use.no_server, damage.marked_deleted,
          way="old-recipe", harm=consequences.deleted_but_running, undo=False, chosen=True),
    Proof("server-deleted-incompletely", "revive-server", "db", use.server, damage.marked_deleted, way="revived",
          chosen=True),
    Proof("", "keep-port", "db", use.kept_port, damage.novas_port, way="request",
          words=lambda key: ["port", "keep", key["port"]]),
    Proof("", "detach-volume", "api", use.server_without_volume, damage.plain_volume, way="request",
          words=lambda key: ["volume", "detach", key["volume"]]),
    Proof("", "detach-volume", "db", use.server_without_volume, damage.plain_volume, way="request",
          words=lambda key: ["volume", "detach", key["volume"]]),
    Proof("", "release-port", "db", use.released_port, damage.own_port, way="request",
          words=lambda key: ["port", "release", key["port"]]),
    Proof("", "detach-port", "api", use.server_without_port, damage.own_port, way="request",
          words=lambda key: ["port", "detach", key["port"]]),
    broken("port-without-server", "detach-port", "db", use.port, words=lambda key: ["port", "detach", key["port"]]),
    Proof("", "mark-server-deleted", "api", use.no_server, damage.half_deleted, way="request",
          also=("server-stuck-deleting",),
          words=lambda key: ["server", "mark-deleted", key["server"]]),
    Proof("", "mark-server-deleted", "db", use.no_server, damage.half_deleted, way="request",
          also=("server-stuck-deleting",),
          words=lambda key: ["server", "mark-deleted", key["server"], "--overrule", key["host"]]),
    Proof("", "purge-server", "db", use.purged_server, damage.long_deleted, way="request",
          words=lambda key: ["server", "purge", key["server"]]),
    broken("floating-ip-port-orphan", "delete-floating-ip-port", "api", networking.public_address),
    broken("floating-ip-port-orphan", "delete-floating-ip-port", "db", networking.public_address),
    broken("router-gone", "delete-router-port", "api", networking.address),
    broken("router-gone", "delete-router-port", "db", networking.address),
    broken("dhcp-port-stale", "delete-stale-dhcp-port", "api", networking.address),
    broken("dhcp-port-stale", "delete-stale-dhcp-port", "db", networking.address),
    broken("ipallocation-invalid", "mend-ipallocation", "db", networking.address, harm=networking.nobody_gets_it),
    Proof("ipallocation-invalid", "mend-ipallocation", "db", networking.port_with_address,
          networking.address_elsewhere, way="wrong-network"),
    broken("ipam-drift", "mend-ipam-allocation", "db", networking.address, harm=networking.nobody_gets_it),
    Proof("ipam-drift", "mend-ipam-allocation", "db", networking.taken_address, networking.offered_address,
          way="missing"),
    broken("segment-allocation-drift", "mend-segment-allocation", "db", networking.vlan,
           harm=networking.no_network_gets_it),
    Proof("segment-allocation-drift", "mend-segment-allocation", "db", networking.taken_vlan, networking.offered_vlan,
          way="free", harm=networking.two_networks_get_it),
    Proof("attachment-id-mismatch", "delete-extra-attachment", "api", use.server_with_volume, records.attached_twice,
          how="service"),
    Proof("attachment-id-mismatch", "delete-extra-attachment", "db", use.server_with_volume, records.attached_twice,
          how="service"),
    Proof("volume-stuck-deleting", "fail-volume-deletion", "api", records.deletable_volume, records.deletion_lost,
          harm=consequences.undeletable),
    Proof("volume-stuck-deleting", "fail-volume-deletion", "db", records.deletable_volume, records.deletion_lost,
          harm=consequences.undeletable),
    Proof("volume-stuck-transitional", "settle-volume", "api", use.server_with_volume, records.upload_forgotten,
          harm=consequences.neither_detached_nor_deleted),
    Proof("volume-stuck-transitional", "settle-volume", "db", use.server_with_volume, records.upload_forgotten,
          harm=consequences.neither_detached_nor_deleted),
    Proof("snapshot-stuck", "settle-snapshot", "api", records.deletable_snapshot, records.snapshot_lost,
          harm=records.undeletable_snapshot),
    Proof("snapshot-stuck", "settle-snapshot", "db", records.deletable_snapshot, records.snapshot_lost,
          harm=records.undeletable_snapshot),
    Proof("bdm-anomaly", "drop-duplicate-bdm", "db", use.server_with_volume, records.mapped_twice),
    broken("server-without-mapping", "map-server", "db", records.server, blinds=True),
    broken("queued-for-delete-wrong", "correct-queued-for-delete", "db", records.server, blinds=True),
    broken("build-request-stuck", "drop-build-request", "db", records.server, blinds=True),
    broken("request-spec-missing", "restore-request-spec", "db", use.server, harm=records.unmovable),
    Proof("aggregate-host-orphan", "drop-aggregate-host", "db", records.deletable_aggregate,
          records.member_of_nobody, harm=records.undeletable_aggregate),
    broken("image-child-rows-live", "finish-image-deletion", "db", records.purgeable_image),
    broken("cinder-quota-drift", "recount-cinder-quota", "db", records.counted_quota),
    broken("port-binding-missing", "restore-port-binding", "db", use.bound_server),
    broken("server-stuck-task-state:unshelving", "clear-task-state", "db", use.unshelved_server),
    broken("evacuation-record-time-bomb", "defuse-evacuation-record", "db", use.surviving_server),
    broken("pci-device-leak", "free-pci-device", "db", records.forgotten_device),
    broken("host-mapping-drift", "mend-host-mapping", "db", records.host_that_builds),
    broken("router-port-drift", "mend-router-port", "db", networking.interface,
           harm=networking.joined_twice),
    broken("floating-ip-inconsistent", "mend-floating-ip", "db", networking.reached),
    broken("dynamic-segment-unused", "release-dynamic-segment", "db", networking.vlan,
           harm=networking.no_network_gets_it),
    broken("image-active-without-location", "restore-image-location", "db", records.readable_image,
           harm=records.unreadable),
    broken("image-import-lock-stale", "drop-import-marks", "db", records.readable_image),
    # a nova-compute frees what a server that it remembers as deleted has on its provider
    broken("allocation-orphan:unknown", "delete-allocations", "db", use.no_allocation),
    # an image that Glance has deleted keeps its id from others, too: undo does not bring back the risk
    broken("image-id-reuse-risk", "reserve-image-id", "api", records.reserved_image, undo=False),
    broken("image-id-reuse-risk", "reserve-image-id", "db", records.reserved_image),
)  # fmt: skip
#: needs another configuration of Nova while it is mended, and so would the other checks of this repair
HEALER = Proof(
    "info-cache-empty", "rebuild-info-cache", "api", use.unmoved_server, damage.emptied_elsewhere, way="healer"
)
#: part of the workflow relocate-host, and rows with calls between them: both have test files of their own
ELSEWHERE = {("relocate-server", "db"), ("reattach-ports", "db")}
#: refused by the repair: an API does not show what it would have to change there
UNSHOWN = {("mark-volume-deleted", "api", "volume-deleted-incompletely")}


def _damage(check: str, repair: str) -> Iterator[str]:
    """The names of breaks, and of plants and variants, of the check that this repair is for; the lab's own come first.

    A repair that no variant names mends the others; a repair named for some mends only those. Breaks that stop services
    are left to the proofs above, which have an order.
    """
    stopping = [proof.make for proof in PROOFS if proof.restarts or proof.killed]
    cases = [case for case in plants.broken() if case.check == check and not case.refused and not case.chosen]
    named = any(case.repair == repair for case in cases)
    if not named:
        known = breaks.modules().items()
        yield from (name for name, made in known if made.BREAK.check == check and made.make not in stopping)
    yield from (str(case) for case in cases if case.repair == (repair if named else ""))


def _walked() -> Iterator[Proof]:
    """For each strategy of a repair and each check whose findings it mends, unless there is a proof above."""
    said = {(proof.repair, proof.strategy, proof.check) for proof in PROOFS} | UNSHOWN
    for repair, strategy in sorted(pairs() - ELSEWHERE - {(HEALER.repair, HEALER.strategy)}):
        for check in catalogue.repairs()[repair].checks:
            if check in plants.not_on_lab() or (repair, strategy, check) in said:
                continue
            for name in islice(_damage(check, repair), 1):
                yield broken(name, repair, strategy, usual.of(catalogue.tabled()[check].resource[0]))


ALL = (*PROOFS, *_walked())
BY_NAME = {proof.name: proof for proof in ALL}


def _left() -> Iterator[str]:
    for number, (name, proof) in enumerate(BY_NAME.items()):
        if number % SHARE and not {proof.check, proof.repair} & touched():
            yield name


#: proofs that are left to make test-lab: what nobody has changed, but for a share (docs/adr/0078)
LEFT = frozenset(_left())


def of_break(name: str) -> Proof:
    """The first proof that uses this break of the lab."""
    make = breaks.modules()[name].make
    return next(proof for proof in ALL if proof.make is make)
