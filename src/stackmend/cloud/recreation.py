# SPDX-License-Identifier: Apache-2.0
"""Everything needed to create a server again, what cannot be preserved, and what rules the recreation out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.cloud import block_storage, compute, identity, image, network
from stackmend.cloud.states import POWERED
from stackmend.model.api import ApiAccount, Resource, segment
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api
from stackmend.model.repair import CannotRepair
from stackmend.model.values import members, objects, text, texts, whole

#: with server groups and locked_reason; with the requested zone; with the scheduler hints
_SHOWN, _ZONE, _HINTS = "2.73", "2.96", "2.100"
#: creation of servers with tags, with certificates for the image, with a separate host name
_TAGS, _CERTIFICATES, _HOSTNAME = "2.52", "2.63", "2.90"
_GROUPS = "2.64"
#: keypairs of other users
_KEYPAIRS = "2.10"
#: Nova's rule for host names (nova/api/validation/parameter_types.py)
_NAME = re.compile(r"[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+")
_MOST_TAGS = 50
#: keys of a port's binding profile that Nova removes when it unbinds a port, which requires the role service
_DEVICES = frozenset({
    "allocation", "arq_uuid", "card_serial_number", "device_mac_address", "pci_slot", "pci_vendor_info",
    "pf_mac_address", "physical_network", "vf_num",
})  # fmt: skip
#: the extra spec of a flavor, and property of an image, for a virtual TPM
_TPM = "hw:tpm_version"
#: lost with any server
ALWAYS = (
    "its id, the times at which it was made and started, and its record of actions",
    "the password that Nova gave it, files that were injected, its UEFI variables, and what is in its memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedVolume:
    """A volume of a server."""

    id: str
    boots: bool
    ends: bool  #: whether it is deleted with the server
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullServer:
    """A server with everything that belongs to it."""

    shown: Resource
    ports: tuple[Resource, ...]  #: in the order of its NICs
    disks: tuple[AttachedVolume, ...]  #: in the order of their devices
    flavor: Resource  #: the flavor of the new server
    account: ApiAccount
    lost: list[str] = field(default_factory=lambda: list(ALWAYS))  #: what cannot be preserved, in words
    kept: list[str] = field(default_factory=list)  #: what is preserved although one may doubt it

    @property
    def id(self) -> str:
        """Its UUID."""
        return str(self.shown["id"])

    @property
    def image(self) -> str:
        """The image it boots from, "" for a volume."""
        return str(members(self.shown.get("image")).get("id") or "")

    @property
    def project(self) -> str:
        """The project that owns it."""
        return str(self.shown["tenant_id"])

    @property
    def host(self) -> str:
        """The host it is on."""
        return str(self.shown.get("OS-EXT-SRV-ATTR:host") or "")

    @property
    def state(self) -> str:
        """Its vm_state."""
        return str(self.shown["OS-EXT-STS:vm_state"])

    @property
    def user_data(self) -> str:
        """The user data of its guest: secret."""
        return str(self.shown.get("OS-EXT-SRV-ATTR:user_data") or "")

    def addresses(self) -> dict[str, list[str]]:
        """Each port with its MAC address, then its IP addresses."""
        return {str(port["id"]): [str(port["mac_address"]), *network.addresses(port)] for port in self.ports}


def full_server(api: Api, name: str, flavor: str = "") -> FullServer:
    """Read it; UsageError if it does not exist, CannotRepair, with every reason, if it cannot be recreated."""
    version = next((one for one in (_HINTS, _ZONE) if api.offers("compute", one)), _SHOWN)
    body = api.get("compute", f"/servers/{segment(name)}", version)
    if body is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    shown = body["server"]
    if "OS-EXT-SRV-ATTR:host" not in shown:
        raise CannotRepair(
            f"Nova shows little of server {name}: its cell is down, or the account is not an administrator"
        )
    found = FullServer(
        shown=shown,
        ports=tuple(_ordered(network.ports_of(api, name), _macs(shown))),
        disks=tuple(_disks(api, shown)),
        flavor=_flavor(api, shown, flavor),
        account=api.account(),
    )
    reasons = [*_states(found), *_of_ports(found), *_of_disks(api, found), *_of_project(api, found)]
    reasons += [*_of_quota(api, found)]
    if compute.shares(api, name):
        reasons.append("it has shares of Manila attached")
    if reasons:
        raise CannotRepair("; ".join(reasons))
    return found


# -- its parts


def _macs(shown: Resource) -> list[str]:
    """The MACs of the addresses in Nova's network cache, in order."""
    listed = [one for some in members(shown.get("addresses")).values() for one in objects(some)]
    return list(dict.fromkeys(str(one.get("OS-EXT-IPS-MAC:mac_addr")).lower() for one in listed))


def _ordered(ports: Sequence[Resource], macs: list[str]) -> list[Resource]:
    places = {mac: place for place, mac in enumerate(macs)}
    return sorted(ports, key=lambda port: (places.get(str(port["mac_address"]).lower(), len(places)), str(port["id"])))


def _disks(api: Api, shown: Resource) -> Iterator[AttachedVolume]:
    boots = "" if shown.get("image") else str(shown.get("OS-EXT-SRV-ATTR:root_device_name") or "")
    for one in sorted(compute.attachments(api, str(shown["id"])), key=lambda one: str(one.get("device") or "")):
        yield AttachedVolume(
            id=str(one["volumeId"]),
            boots=bool(boots) and one.get("device") == boots,
            ends=bool(one.get("delete_on_termination")),
            tag=text(one.get("tag")),
        )


def _flavor(api: Api, shown: Resource, wanted: str) -> Resource:
    """The named flavor, else that of the server; CannotRepair if it no longer exists."""
    every = compute.flavors(api)
    if wanted:
        found = [one for one in every if wanted in (one["id"], one["name"])]
        if len(found) != 1:
            raise UsageError(f"there is no flavor {wanted}", "See 'openstack flavor list --all'.")
        return found[0]
    own = members(shown["flavor"])
    known = members((compute.server(api, str(shown["id"])) or {}).get("flavor"))
    now = next((one for one in every if one["id"] == known.get("id")), None)
    if now is None:
        raise CannotRepair(f"its flavor {own.get('original_name')} is deleted: name another one by --flavor")
    if differs := [name for name in ("vcpus", "ram", "disk") if whole(now[name]) != whole(own.get(name) or 0)]:
        raise CannotRepair(
            f"flavor {now['name']} is not what it was when the server was made: {differs[0]} was {own.get(differs[0])},"
            f" is {now[differs[0]]}. Name one by --flavor, this one or another"
        )
    return now


# -- what rules it out


def _states(found: FullServer) -> Iterator[str]:
    shown = found.shown
    if shown.get("OS-EXT-STS:task_state"):
        yield f"it is busy ({shown['OS-EXT-STS:task_state']})"
    if shown.get("locked"):
        why = f" ({shown['locked_reason']})" if shown.get("locked_reason") else ""
        yield f"it is locked{why}: 'openstack server unlock {found.id}'"
    if not found.host:
        yield "it is on no host: " + ("unshelve it first" if found.state.startswith("shelved") else "it never ran")
    elif found.state == "error" and found.image:
        yield "it is in error, and Nova makes no image of it then: audit, and mend that first"
    elif found.state not in (*POWERED, "error"):
        yield f"it is {found.state}: let it be active or stopped first"
    if len(texts(shown.get("tags"))) >= _MOST_TAGS:
        yield f"it has {_MOST_TAGS} tags, and one more is needed to know the new server by"


def _of_ports(found: FullServer) -> Iterator[str]:
    if not found.ports:
        yield "Neutron has no port for it: there is nothing to keep"
    for port in found.ports:
        name = port["id"]
        if (kind := port.get("binding:vnic_type") or "normal") != "normal":
            yield f"port {name} is of the type {kind}: its binding names a device of the host"
        elif port.get("resource_request") or _DEVICES & set(members(port.get("binding:profile"))):
            yield f"port {name} has resources of its host in its binding: a minimum bandwidth, or a device"
        # Nova refuses such a port only during the build, when the old server is gone (PortNotUsableDNS)
        hostname = found.shown.get("OS-EXT-SRV-ATTR:hostname")
        if port.get("dns_name") not in (None, "", hostname):
            yield f"port {name} has the DNS name {port['dns_name']}, and the server the host name {hostname}"
        if port.get("trunk_details"):
            yield f"port {name} is the parent of a trunk"
        if port.get("project_id") and port["project_id"] != found.project:
            yield f"port {name} belongs to project {port['project_id']}, and Nova refuses it for the new server"
    macs, listed = {str(port["mac_address"]).lower() for port in found.ports}, set(_macs(found.shown))
    if listed - macs:
        yield f"Nova lists a NIC that no port has ({', '.join(sorted(listed - macs))}): audit the server first"
    with_address = {str(port["mac_address"]).lower() for port in found.ports if port.get("fixed_ips")}
    if listed and (more := with_address - listed):
        yield f"ports carry its id that Nova lists no NIC of ({', '.join(sorted(more))}): audit the server first"


def _of_disks(api: Api, found: FullServer) -> Iterator[str]:
    if not found.image and sum(disk.boots for disk in found.disks) != 1:
        yield "it is unknown which volume it boots from"
    for disk in found.disks:
        volume = block_storage.volume(api, disk.id)
        if volume is None:
            yield f"Cinder has no volume {disk.id}: audit the server first"
        elif volume.get("multiattach"):
            yield f"volume {disk.id} is for several servers (multi-attach)"
        elif volume["status"] != "in-use" or _servers(volume) != [found.id]:
            yield f"volume {disk.id} is {volume['status']}, attached {len(_servers(volume))} times: audit it first"


def _servers(volume: Resource) -> list[object]:
    return [one.get("server_id") for one in objects(volume["attachments"])]


def _of_project(api: Api, found: FullServer) -> Iterator[str]:
    """Nova creates a server only in the project of the account."""
    if found.account.project == found.project:
        return
    name = identity.project_name(api, found.project) or found.project
    yield (
        f"it belongs to project {name} ({found.project}), but a new one would belong to"
        f" {found.account.project or 'none'}: Nova creates servers only in the project of the account."
        " Give the account the role admin there ('openstack role add --user"
        f" {found.account.user} --project {found.project} admin'), and name by [api] cloud, or by OS_CLOUD,"
        " a cloud of clouds.yaml with that project"
    )


def _of_quota(api: Api, found: FullServer) -> Iterator[str]:
    """The old server's share is released when it is deleted: the project must not exceed its quota then."""
    body = api.get("compute", f"/os-quota-sets/{segment(found.project)}/detail", "2.1") or {}
    own, new = members(found.shown["flavor"]), found.flavor
    more = {
        "instances": 0,
        "cores": whole(new["vcpus"]) - whole(own.get("vcpus") or 0),
        "ram": whole(new["ram"]) - whole(own.get("ram") or 0),
    }
    for name, amount in more.items():
        quota = (body.get("quota_set") or {}).get(name) or {}
        limit, used = int(quota.get("limit", -1)), int(quota.get("in_use") or 0) + int(quota.get("reserved") or 0)
        if 0 <= limit < used + amount:
            yield (
                f"the quota of project {found.project} leaves no room for it: {name} {limit}, in use {used}, and"
                f" {amount} more ('openstack quota set --{name} N {found.project}')"
            )


# -- the request for the new server


def body(api: Api, found: FullServer) -> tuple[dict[str, Any], str]:
    """(the request without its disks, the microversion); what is lost and kept is recorded in ``found``."""
    shown = found.shown
    asked: dict[str, Any] = {
        "name": shown["name"],
        "flavorRef": found.flavor["id"],
        "networks": list(_networks(api, found)),
        "metadata": dict(members(shown.get("metadata"))),
        "tags": list(texts(shown.get("tags"))),
        "config_drive": str(shown.get("config_drive") or "").lower() == "true",
        **{name: shown[name] for name in ("OS-DCF:diskConfig", "description") if shown.get(name)},
        **{name: shown[name] for name in ("accessIPv4", "accessIPv6") if shown.get(name)},
    }
    microversion = _TAGS
    if certificates := shown.get("trusted_image_certificates"):
        asked["trusted_image_certificates"], microversion = list(texts(certificates)), _CERTIFICATES
    if (hostname := _hostname(api, found)) is not None:
        asked["hostname"], microversion = hostname, _HOSTNAME
    if (zone := _zone(found)) is not None:
        asked["availability_zone"] = zone
    if key := _key(api, found):
        asked["key_name"] = key
    if hints := _hints(api, found):
        asked["os:scheduler_hints"] = hints
    _of_flavor(found)
    if found.state != "active":
        found.lost.append(f"that it is {found.state}: the new server runs")
    if found.account.user != shown["user_id"]:
        found.lost.append(f"its owner: user {shown['user_id']} before, {found.account.user} afterwards")
    return asked, microversion


def _networks(api: Api, found: FullServer) -> Iterator[dict[str, Any]]:
    tags: dict[str, Any] = {}
    path = f"/servers/{segment(found.id)}/os-interface"
    for one in (api.get("compute", path, "2.70") or {}).get("interfaceAttachments") or ():
        tags[str(one["port_id"])] = one.get("tag")
    for port in found.ports:
        yield {"port": port["id"], **({"tag": tag} if (tag := tags.get(str(port["id"]))) else {})}
    listed = members(found.shown.get("addresses"))
    several = [name for name, some in listed.items() if len(objects(some)) > 1]
    if several and len(listed) > 1:
        found.lost.append(f"perhaps the order of its NICs: several are of network {several[0]}, and Nova shows them so")
    if not listed:
        found.lost.append("perhaps the order of its NICs: Nova lists none of them")
    found.kept.append(
        "ports: "
        + "; ".join(
            f"{port['id']} ({', '.join(network.addresses(port)) or port['mac_address']})" for port in found.ports
        )
    )
    found.kept.append(
        "from now on Nova keeps these ports also when the new server is deleted ('stackmend port release')"
    )


def _hostname(api: Api, found: FullServer) -> str | None:
    """Its host name if Nova would not derive it from the server's name; None if it need not, or cannot, be given."""
    hostname = str(found.shown.get("OS-EXT-SRV-ATTR:hostname") or "")
    made = re.sub(r"[^\w.-]+", "", re.sub("[ _.]", "-", str(found.shown["name"]))).lower().strip(".-")
    if not hostname or hostname == made:
        return None
    if not _NAME.fullmatch(hostname) or not api.offers("compute", _HOSTNAME):
        found.lost.append(f"its host name {hostname}: this cloud does not take it with a new server")
        return None
    return hostname


def _zone(found: FullServer) -> str | None:
    """The requested zone; if Nova does not show it, the current one."""
    if "pinned_availability_zone" in found.shown:
        return text(found.shown["pinned_availability_zone"])
    zone = str(found.shown.get("OS-EXT-AZ:availability_zone") or "")
    if not zone:
        return None
    found.kept.append(f"it stays in zone {zone}; whether that was asked for is not known, for the new one it is")
    return zone


def _key(api: Api, found: FullServer) -> str:
    """Its keypair, "" if it or the account has none: Nova uses the keypairs of the requesting user."""
    name = str(found.shown.get("key_name") or "")
    if not name:
        return ""
    owner = str(found.shown["user_id"])
    mine = api.get("compute", f"/os-keypairs/{segment(name)}", _KEYPAIRS)
    if found.account.user == owner:
        if mine is None:
            found.lost.append(
                f"its keypair {name}, which is deleted: the disk that is kept has the key, a new one has not"
            )
        return name if mine else ""
    theirs = api.get("compute", f"/os-keypairs/{segment(name)}?user_id={segment(owner)}", _KEYPAIRS)
    same = mine and theirs and mine["keypair"]["fingerprint"] == theirs["keypair"]["fingerprint"]
    if not same:
        found.lost.append(
            f"its keypair {name}, which is of user {owner}: a new server gets one of the account only. To keep it, make"
            f" one of that name with the same public key first: 'openstack keypair create --public-key FILE {name}'"
        )
    return name if same else ""


def _hints(api: Api, found: FullServer) -> dict[str, Any]:
    """Its server group, and other scheduler hints if Nova shows them."""
    told = members(found.shown.get("scheduler_hints"))
    hints = {name: one[0] if isinstance(one, list) and len(one) == 1 else one for name, one in told.items()}
    if "scheduler_hints" not in found.shown:
        found.lost.append(
            "hints to the scheduler other than its group, if there were any: this Nova does not show them"
        )
    hints.pop("group", None)
    for group in texts(found.shown.get("server_groups")):
        if api.get("compute", f"/os-server-groups/{segment(group)}", _GROUPS) is not None:
            hints["group"] = group
            found.kept.append(f"it is of server group {group} again")
    return hints


def _of_flavor(found: FullServer) -> None:
    new, own = found.flavor, members(found.shown["flavor"])
    if not new.get("os-flavor-access:is_public", True):
        found.kept.append(f"flavor {new['name']}, though it is not public")
    if new.get("extra_specs") != own.get("extra_specs") and "extra_specs" in own:
        found.lost.append(f"extra specs of its flavor: {own.get('extra_specs')} before, {new.get('extra_specs')} now")
    if whole(own.get("ephemeral") or 0):
        found.lost.append("its ephemeral disks: they are made anew, empty")
    if whole(own.get("swap") or 0):
        found.kept.append("a swap disk, made anew")
    if _TPM in members(own.get("extra_specs")):
        found.lost.append("what its virtual TPM holds: disks that are unlocked by it stay locked")


def root_volume(api: Api, name: str, project: str) -> None:
    """UsageError unless a server of the project can boot from this volume."""
    volume = block_storage.volume(api, name)
    if volume is None:
        raise UsageError(f"there is no volume {name}", "See 'openstack volume list --all-projects'.")
    why = {
        f"it is {volume['status']}": volume["status"] != "available",
        "it is not bootable": str(volume.get("bootable")).lower() != "true",
        "it may be attached to several servers (multi-attach)": bool(volume.get("multiattach")),
        f"it belongs to project {volume.get('os-vol-tenant-attr:tenant_id')}": (
            volume.get("os-vol-tenant-attr:tenant_id") not in (None, project)
        ),
    }
    if reasons := [text for text, wrong in why.items() if wrong]:
        raise UsageError(f"no server can boot from volume {name}: {'; '.join(reasons)}", "Give another one.")


def has_image(api: Api, name: str) -> bool:
    """Whether a server can be created from this image."""
    return (image.image(api, name) or {}).get("status") == "active"
