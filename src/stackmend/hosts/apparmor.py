# SPDX-License-Identifier: Apache-2.0
"""AppArmor on a host: the profile that libvirt made for a guest, and what the kernel has denied the guest.

When a guest starts, libvirt's virt-aa-helper creates ``libvirt-<uuid>`` (from a template, once) and
``libvirt-<uuid>.files``, which it includes. The latter is rewritten from the guest's XML when a disk is attached or
detached, and both are removed when the guest stops (src/security/virt-aa-helper.c, security_apparmor.c). It contains
``/dev/vhost-net`` only if the XML had a virtio NIC at that time: a guest that started without one is denied the device
of the first NIC attached to it. Nova responds 500, "Failed to attach network adapter device".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from stackmend.model.errors import SourceError
from stackmend.model.protocols import Hosts
from stackmend.model.step import HostCommand

PROFILES = "/etc/apparmor.d/libvirt"
#: rules for every guest: the package's abstraction, and the site's own addition to it
ABSTRACTIONS = ("/etc/apparmor.d/abstractions/libvirt-qemu", "/etc/apparmor.d/local/abstractions/libvirt-qemu")
DEVICE = "/dev/vhost-net"
RULE = f"  {DEVICE} rw,"
#: follows the rule once the profile has been loaded with it
LOADED = "  # the line above is loaded: stackmend"

#: $1 root of the file system, $2 UUID, $3 rule, $4 mark; prints words and texts, each ended by a NUL
_LOOK = r"""export LC_ALL=C
d=$1/etc/apparmor.d n=libvirt-$2
say() { printf '%s\t%s\0' "$1" "$2"; }
say enabled "$(cat "$1/sys/module/apparmor/parameters/enabled" 2>/dev/null)"
say loaded "$(grep -F "$n " "$1/sys/kernel/security/apparmor/profiles" 2>/dev/null)"
[ ! -e "$1/dev/vhost-net" ] || say device yes
[ ! -f "$d/libvirt/$n" ] || say profile "$(cat "$d/libvirt/$n")"
[ ! -f "$d/libvirt/$n.files" ] || {
  say files "$(cat "$d/libvirt/$n.files")"
  say digest "$(grep -vxF -e "$3" -e "$4" "$d/libvirt/$n.files" | sha256sum)"
}
say every "$(cat "$d/abstractions/libvirt-qemu" "$d/local/abstractions/libvirt-qemu" 2>/dev/null)"
for f in "$d"/libvirt/libvirt-*.files; do
  [ "$f" != "$d/libvirt/$n.files" ] && grep -q /dev/vhost-net "$f" 2>/dev/null || continue
  say other "$f"
  say model "$(cat "$f")"
  break
done
{ journalctl -k -q --no-pager -g "apparmor=.DENIED.*$n" 2>/dev/null || dmesg 2>/dev/null || :; } |
  grep -F "profile=\"$n\"" | tail -n 20 | while IFS= read -r line; do say denied "$line"; done
exit 0
"""
#: $1 to $4 as above
_HEAD = r"""export LC_ALL=C
p=$1/etc/apparmor.d/libvirt/libvirt-$2 f=$1/etc/apparmor.d/libvirt/libvirt-$2.files
has() { grep -qxF -e "$1" "$f"; }
without() { grep -vxF -e "$1" -e "$2" "$f"; }
put() { new=$(without "$1" "$2") && printf '%s\n' "$new" >"$f"; }
"""
#: $5 digest of the file without rule and mark. The file is changed in place, as by libvirt, to keep its owner and mode
_PERMIT = (
    _HEAD
    + r"""[ -f "$f" ] && [ ! -L "$f" ] || { echo "the guest has no such file any more: $f" >&2; exit 1; }
[ "$(without "$3" "$4" | sha256sum)" = "$5" ] || { echo "it has changed since the plan was made: $f" >&2; exit 1; }
[ -z "$(tail -c 1 "$f")" ] || { echo "it does not end with a line: $f" >&2; exit 1; }
has "$3" || printf '%s\n' "$3" >>"$f" || exit 1
apparmor_parser -r "$p" || { put "$3" "$4"; apparmor_parser -r "$p"; exit 1; }
printf '%s\n' "$4" >>"$f"
"""
)
_FORBID = (
    _HEAD
    + r"""[ -f "$f" ] || exit 0
put "$3" "$4" && apparmor_parser -r "$p"
"""
)
#: if the guest has stopped, the file is gone, and so is the rule
_PROBE = _HEAD + '[ -f "$f" ] && has "$3" && has "$4" || exit 1\n'
_LIMIT = 120.0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: parts that are unique to one guest: its name and domain number
_OWN = re.compile(r"instance-[0-9a-f]{8}|(?<=domain-)\d+")
_RULE = re.compile(r'^\s*(?:deny\s+)?"?(/[^"\s]+)"?\s+(\w+),\s*$')
_DENIED = re.compile(r'name="([^"]+)"')


class Verdict(StrEnum):
    """The state of a guest's access to /dev/vhost-net."""

    OFF = "off"  #: the kernel enforces no profile
    NONE = "no-profile"  #: the guest has none: it is off, or confined by another security driver
    ALLOWED = "allowed"  #: a rule allows the device
    LACKING = "lacking"  #: no rule allows it, but no denial by the kernel was found
    DENIED = "denied"  #: no rule allows it, and the kernel has denied it


#: verdicts with which a NIC cannot be attached
DENYING = (Verdict.DENIED, Verdict.LACKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profile of a guest, compared with that of a guest with access on the same host."""

    verdict: Verdict
    file: str  #: the file with its rules
    device: bool  #: whether the host has /dev/vhost-net
    denied: tuple[str, ...] = ()  #: denials by the kernel, the last lines of its log
    other: str = ""  #: file of the guest used for comparison
    only_here: tuple[str, ...] = ()  #: rules, without the parts unique to one guest
    only_there: tuple[str, ...] = ()
    digest: str = ""  #: of its own rules, without those added here


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
    here, there = _rules(words.get("files", ""), server), _rules(words.get("model", ""), server)
    return Profile(
        verdict=_verdict(words, denied),
        file=f"{PROFILES}/libvirt-{server}.files",
        device="device" in words,
        denied=denied,
        other=words.get("other", "").removeprefix(root),
        only_here=tuple(sorted(here - there)) if there else (),
        only_there=tuple(sorted(there - here)),
        digest=words.get("digest", ""),
    )


def permit(host: str, server: str, digest: str, root: str = "") -> HostCommand:
    """Add the rule to the file, if it has this digest, and load the profile; undo removes the rule."""
    words = (root, server, RULE, LOADED)
    return HostCommand(
        host=host,
        argv=("sh", "-c", _PERMIT, "permit", *words, digest),
        probe=("sh", "-c", _PROBE, "probe", *words),
        inverse=("sh", "-c", _FORBID, "forbid", *words),
        limit=_LIMIT,
    )


def by_hand(server: str) -> tuple[str, ...]:
    """The commands to type on the host as root: add the rule, and load the guest's profile again."""
    name = f"{PROFILES}/libvirt-{server}"
    return (f"echo '{RULE}' >> {name}.files", f"apparmor_parser -r {name}")


def _said(out: bytes) -> Iterator[tuple[str, str]]:
    for record in out.decode("utf-8", "replace").split("\0"):
        kind, tab, text = record.partition("\t")
        if tab:
            yield kind, text


def _verdict(words: Mapping[str, str], denied: tuple[str, ...]) -> Verdict:
    if words.get("enabled", "").strip() != "Y":
        return Verdict.OFF
    if "profile" not in words or "(enforce)" not in words.get("loaded", ""):
        return Verdict.NONE
    if any(_allows(words.get(text, "")) for text in ("files", "profile", "every")):
        return Verdict.ALLOWED
    return Verdict.DENIED if any(DEVICE in _DENIED.findall(line) for line in denied) else Verdict.LACKING


def _allows(text: str) -> bool:
    """Whether a rule in the text allows the device, quoted or not; comments and deny rules do not count."""
    for line in text.splitlines():
        match = _RULE.match(line)
        if match and match[1] == DEVICE and {"r", "w"} <= set(match[2]) and not line.lstrip().startswith("deny"):
            return True
    return False


def _rules(text: str, server: str) -> frozenset[str]:
    """The rules without parts unique to one guest: other UUIDs and names as one word, no paths of disks."""
    found = set()
    for line in text.splitlines():
        plain = _OWN.sub("GUEST", _UUID.sub("UUID", line.replace(server, "UUID"))).replace('"', "").strip()
        if plain and not plain.startswith("#") and "/instances/" not in plain:
            found.add(plain)
    return frozenset(found)
