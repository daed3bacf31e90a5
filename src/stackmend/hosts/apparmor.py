# SPDX-License-Identifier: Apache-2.0
"""AppArmor on a host: the profile that libvirt created for a guest, and what the kernel has denied the guest.

When a guest starts, libvirt's virt-aa-helper creates ``libvirt-<uuid>`` (once, from a template), which includes
``libvirt-<uuid>.files``. The latter is rewritten from the guest's XML whenever a disk is attached or detached. Both
are removed when the guest stops (src/security/virt-aa-helper.c, security_apparmor.c). The ``.files`` profile contains
``/dev/vhost-net`` only if the XML had a virtio NIC at that time: a guest that started without one is denied the device
when its first NIC is attached. Nova answers 500, "Failed to attach network adapter device".

The kernel enforces the content of a file only after ``apparmor_parser`` has loaded it, and no kernel shows its rules.
It does show when a policy was last loaded: every load touches the directory of the profile's ``raw_data``
(security/apparmor/policy.c, ``__aa_loaddata_update``), unless the kernel was built without AppArmor's export of
binaries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Hosts
from stackmend.model.step import HostCommand

PROFILES = "/etc/apparmor.d/libvirt"
#: rules for all guests: the package's abstraction, and the site's additions to it
ABSTRACTIONS = ("/etc/apparmor.d/abstractions/libvirt-qemu", "/etc/apparmor.d/local/abstractions/libvirt-qemu")
DEVICE = "/dev/vhost-net"
RULE = f"  {DEVICE} rw,"
#: written after the rule once the profile has been loaded with it
LOADED = "  # the line above is loaded: stackmend"

_LOOK, _PERMIT, _FORBID, _PROBE = (script(f"apparmor_{name}") for name in ("look", "permit", "forbid", "probe"))
_LIMIT = 120.0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: parts that are unique to one guest: its name and domain number
_OWN = re.compile(r"instance-[0-9a-f]{8}|(?<=domain-)\d+")
_RULE = re.compile(r'^\s*(?:deny\s+)?"?(/[^"\s]+)"?\s+(\w+),\s*$')
_DENIED = re.compile(r'name="([^"]+)"')


class Verdict(StrEnum):
    """The state of a guest's access to /dev/vhost-net."""

    OFF = "off"  #: the kernel enforces no profiles
    NONE = "no-profile"  #: no profile is enforced: the guest is off, or is confined by another security driver
    ALLOWED = "allowed"  #: a rule allows the guest to open the device
    WRITTEN = "written"  #: a rule that allows it is in a file, but is not known to be loaded
    LACKING = "lacking"  #: no rule allows it; the kernel's log shows no denial
    DENIED = "denied"  #: no rule allows it, and the kernel has denied it


#: verdicts with which attaching a NIC fails
DENYING = (Verdict.DENIED, Verdict.LACKING, Verdict.WRITTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profile of a guest, compared with that of another guest on the host that has access."""

    verdict: Verdict
    file: str  #: the file with its rules
    device: bool  #: whether the host has /dev/vhost-net
    denied: tuple[str, ...] = ()  #: the last denials for this guest in the kernel log
    log: tuple[str, ...] = ()  #: the last lines of nova-compute's log about failed NIC attaches of this guest
    other: str = ""  #: the file of the guest it is compared with
    only_here: tuple[str, ...] = ()  #: rules that only this guest has, without guest-specific parts
    only_there: tuple[str, ...] = ()  #: rules that only the other guest has
    digest: str = ""  #: of the guest's own rules, without those that stackmend added


def look(hosts: Hosts, host: str, server: str, root: str = "") -> Profile:
    """The profile of a guest. SourceError if the host cannot be queried."""
    if not _UUID.fullmatch(server):
        raise SourceError(f"{server} is not the UUID of a server")
    done = hosts.run(host, ("sh", "-c", _LOOK, "look", root, server, RULE, LOADED), limit=_LIMIT)
    if done.code:
        raise SourceError(f"the AppArmor profile of {server} on {host} cannot be read: exit code {done.code}")
    said = list(_said(done.out))
    words: Mapping[str, str] = dict(said)
    denied = tuple(text for kind, text in said if kind == "denied")
    log = tuple(text for kind, text in said if kind == "log")
    here, there = _rules(words.get("files", ""), server), _rules(words.get("model", ""), server)
    return Profile(
        verdict=_verdict(said, denied),
        file=f"{PROFILES}/libvirt-{server}.files",
        device="device" in words,
        denied=denied,
        log=log,
        other=words.get("other", "").removeprefix(root),
        only_here=tuple(sorted(here - there)) if there else (),
        only_there=tuple(sorted(there - here)),
        digest=words.get("digest", ""),
    )


def verdicts(said: Sequence[tuple[str, str]]) -> dict[str, Verdict]:
    """Server -> state of its guest, of all guests of a host: what the script ``traces`` says of its profiles, in order.

    The words of a guest follow ``guest``; those before the first one, and denials, are of the host.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    every: list[tuple[str, str]] = []
    into = every
    for kind, text in said:
        if kind == "guest":
            into = found.setdefault(text, [])
        else:
            into.append((kind, text))
    denied = [text for kind, text in every if kind == "denied"]
    return {
        server: _verdict([*every, *own], tuple(line for line in denied if f'"libvirt-{server}"' in line))
        for server, own in found.items()
        if _UUID.fullmatch(server)
    }


def permit(host: str, server: str, digest: str, root: str = "") -> HostCommand:
    """Add the rule to the file if the file has this digest, then load the profile. The inverse removes the rule."""
    words = (root, server, RULE, LOADED)
    return HostCommand(
        host=host,
        argv=("sh", "-c", _PERMIT, "permit", *words, digest),
        probe=("sh", "-c", _PROBE, "probe", *words),
        inverse=("sh", "-c", _FORBID, "forbid", *words),
        limit=_LIMIT,
    )


def by_hand(server: str, verdict: Verdict) -> tuple[str, ...]:
    """The commands to type on the host, as root: append the rule to the others, and reload the guest's profile."""
    name = f"{PROFILES}/libvirt-{server}"
    add = () if verdict is Verdict.WRITTEN else (f"echo '{RULE}' >> {name}.files",)
    return (*add, f"apparmor_parser -r {name}")


def _said(out: bytes) -> Iterator[tuple[str, str]]:
    for record in out.decode("utf-8", "replace").split("\0"):
        kind, tab, text = record.partition("\t")
        if tab:
            yield kind, text


def _verdict(said: Sequence[tuple[str, str]], denied: tuple[str, ...]) -> Verdict:
    words: Mapping[str, str] = dict(said)
    if words.get("enabled", "").strip() != "Y":
        return Verdict.OFF
    if "profile" not in words or "(enforce)" not in words.get("loaded", ""):
        return Verdict.NONE
    if writings := [one for one in _writings(said) if _allows(one.text)]:
        return Verdict.ALLOWED if any(_loaded(one, words) for one in writings) else Verdict.WRITTEN
    return Verdict.DENIED if any(DEVICE in _DENIED.findall(line) for line in denied) else Verdict.LACKING


class _Writing(NamedTuple):
    """A file of rules, and when it was written, in seconds since 1970."""

    kind: str
    text: str
    when: float


def _writings(said: Sequence[tuple[str, str]]) -> Iterator[_Writing]:
    for (kind, text), (what, when) in pairwise(said):
        if what == f"{kind}-written":
            yield _Writing(kind, text, _moment(when))


def _loaded(rules: _Writing, words: Mapping[str, str]) -> bool:
    """Whether the rules in a file have been loaded into the kernel.

    If the kernel does not show when it last loaded the profile, the rules that libvirt wrote (in quotes) count as
    loaded, because libvirt loads a profile whenever it writes it, as at the start of a guest. Rules that others have
    added to the guest's file do not: whoever adds them has to load them.
    """
    if rules.kind == "files" and LOADED in rules.text.splitlines():
        return True
    if kernel := words.get("kernel"):
        return _moment(kernel) >= rules.when
    if rules.kind == "files":
        return any(_opens(line) and '"' in line for line in rules.text.splitlines())
    return rules.when <= max(_moment(words.get(f"{kind}-written", "")) for kind in ("profile", "files"))


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _allows(text: str) -> bool:
    """Whether the text has a rule that allows the device, quoted or not. Comments and ``deny`` rules do not count."""
    return any(_opens(line) for line in text.splitlines())


def _opens(line: str) -> bool:
    match = _RULE.match(line)
    denies = line.lstrip().startswith("deny")
    return match is not None and match[1] == DEVICE and {"r", "w"} <= set(match[2]) and not denies


def _rules(text: str, server: str) -> frozenset[str]:
    """The rules without what is unique to one guest: UUIDs and names become placeholders, disk paths are left out."""
    found = set()
    for line in text.splitlines():
        plain = _OWN.sub("GUEST", _UUID.sub("UUID", line.replace(server, "UUID"))).replace('"', "").strip()
        if plain and not plain.startswith("#") and "/instances/" not in plain:
            found.add(plain)
    return frozenset(found)
