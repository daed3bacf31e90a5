#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 root of the file system, $2 uuid, $3 rule, $4 mark. Says words and texts, each ended by a NUL; changes nothing.
export LC_ALL=C
d=$1/etc/apparmor.d n=libvirt-$2 s=$1/sys/kernel/security/apparmor
say() { printf '%s\t%s\0' "$1" "$2"; }
# to the nanosecond where stat can
written() { stat -L -c %.9Y -- "$1" 2>/dev/null || stat -L -c %Y -- "$1" 2>/dev/null; }
say enabled "$(cat "$1/sys/module/apparmor/parameters/enabled" 2>/dev/null)"
say loaded "$(grep -F "$n " "$s/profiles" 2>/dev/null)"
# the kernel touches the folder of a policy whenever that is loaded
for f in "$s/policy/profiles/$n".*/raw_data; do
  [ ! -e "$f" ] || say kernel "$(written "$(dirname -- "$(readlink -f -- "$f")")")"
done
[ ! -e "$1/dev/vhost-net" ] || say device yes
[ ! -f "$d/libvirt/$n" ] || {
  say profile "$(cat "$d/libvirt/$n")"
  say profile-written "$(written "$d/libvirt/$n")"
}
[ ! -f "$d/libvirt/$n.files" ] || {
  say files "$(cat "$d/libvirt/$n.files")"
  say files-written "$(written "$d/libvirt/$n.files")"
  say digest "$(grep -vxF -e "$3" -e "$4" "$d/libvirt/$n.files" | sha256sum)"
}
for f in "$d/abstractions/libvirt-qemu" "$d/local/abstractions/libvirt-qemu"; do
  [ -f "$f" ] || continue
  say every "$(cat "$f")"
  say every-written "$(written "$f")"
done
for f in "$d"/libvirt/libvirt-*.files; do
  if [ "$f" != "$d/libvirt/$n.files" ] && grep -q /dev/vhost-net "$f" 2>/dev/null; then
    say other "$f"
    say model "$(cat "$f")"
    break
  fi
done
{ journalctl -k -q --no-pager -g "apparmor=.DENIED.*$n" 2>/dev/null || dmesg 2>/dev/null || :; } |
  grep -F "profile=\"$n\"" | tail -n 20 | while IFS= read -r line; do say denied "$line"; done
cat "$1/var/log/nova/nova-compute.log" "$1/var/log/kolla/nova/nova-compute.log" 2>/dev/null |
  grep -F "[instance: $2]" | grep -F -e 'attaching network adapter failed' -e libvirtError: |
  tail -n 4 | while IFS= read -r line; do say log "$line"; done
exit 0
