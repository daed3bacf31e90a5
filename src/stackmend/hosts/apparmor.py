# SPDX-License-Identifier: Apache-2.0
"""What AppArmor lets a guest do on its host: its profile as libvirt made it, and what the kernel has denied it.

libvirt's virt-aa-helper makes ``libvirt-<uuid>`` (from a template, once) and ``libvirt-<uuid>.files``, which it
includes, when a guest starts. The latter is written anew from the guest's XML when a disk is attached or detached, and
both are removed when it stops (src/security/virt-aa-helper.c, security_apparmor.c). ``/dev/vhost-net`` is in it only if
the XML had a virtio NIC by then: a guest that started without one is denied the device of the first NIC that is
attached to it. Nova answers 500, "Failed to attach network adapter device".
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
#: rules for every guest: the abstraction of the package, and the site's own addition to it
ABSTRACTIONS = ("/etc/apparmor.d/abstractions/libvirt-qemu", "/etc/apparmor.d/local/abstractions/libvirt-qemu")
DEVICE = "/dev/vhost-net"
RULE = f"  {DEVICE} rw,"
#: stands behind the rule once the profile has been loaded with it
LOADED = "  # the line above is loaded: stackmend"

#: $1 root of the file system, $2 uuid, $3 rule, $4 mark; words and texts, each ended by a NUL
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
#: $5 digest of the file without rule and mark. In place, as libvirt writes it: owner and mode stay
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
#: where the guest has stopped the file is gone, and so is the rule
_PROBE = _HEAD + '[ -f "$f" ] && has "$3" && has "$4" || exit 1\n'
_LIMIT = 120.0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: what is of one guest alone: disks, its name, its number
_OWN = re.compile(r"instance-[0-9a-f]{8}|(?<=domain-)\d+")
_RULE = re.compile(r'^\s*(?:deny\s+)?"?(/[^"\s]+)"?\s+(\w+),\s*$')
_DENIED = re.compile(r'name="([^"]+)"')


class Verdict(StrEnum):
    """What can be said of /dev/vhost-net."""

    OFF = "off"  #: the kernel enforces no profile
    NONE = "no-profile"  #: the guest has none: it is off, or another security driver confines it
    ALLOWED = "allowed"  #: a rule lets it open the device
    LACKING = "lacking"  #: no rule lets it, and the kernel has not been seen to deny it
    DENIED = "denied"  #: no rule lets it, and the kernel has denied it


#: verdicts by which a NIC cannot be attached
DENYING = (Verdict.DENIED, Verdict.LACKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profile of a guest, compared with that of a guest on the same host which has the device."""

    verdict: Verdict
    file: str  #: where its rules are
    device: bool  #: whether the host has /dev/vhost-net
    denied: tuple[str, ...] = ()  #: what the kernel denied it, the last lines of its log
    other: str = ""  #: file of the guest that it is compared with
    only_here: tuple[str, ...] = ()  #: rules, without what is of one guest alone
    only_there: tuple[str, ...] = ()
    digest: str = ""  #: of its own rules, without what is added here


def look(hosts: Hosts, host: str, server: str, root: str = "") -> Profile:
    """The profile of a guest. SourceError where the host cannot be asked."""
    if not _UUID.fullmatch(server):
        raise SourceError(f"{server} is no uuid of a server")
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
    """Add the rule to a file that reads so, and load the profile; undo takes it out."""
    words = (root, server, RULE, LOADED)
    return HostCommand(
        host=host,
        argv=("sh", "-c", _PERMIT, "permit", *words, digest),
        probe=("sh", "-c", _PROBE, "probe", *words),
        inverse=("sh", "-c", _FORBID, "forbid", *words),
        limit=_LIMIT,
    )


def by_hand(server: str) -> tuple[str, ...]:
    """What to type on the host, as root: the rule beside the others, and the profile of the guest loaded again."""
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
    """Whether a rule of a text opens the device, in quotes or not, and is no comment and no denial."""
    for line in text.splitlines():
        match = _RULE.match(line)
        if match and match[1] == DEVICE and {"r", "w"} <= set(match[2]) and not line.lstrip().startswith("deny"):
            return True
    return False


def _rules(text: str, server: str) -> frozenset[str]:
    """Rules without what is of one guest alone: other uuids and names are one word, and paths of disks are left out."""
    found = set()
    for line in text.splitlines():
        plain = _OWN.sub("GUEST", _UUID.sub("UUID", line.replace(server, "UUID"))).replace('"', "").strip()
        if plain and not plain.startswith("#") and "/instances/" not in plain:
            found.add(plain)
    return frozenset(found)
