#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 root of the file system, $2 uuid, $3 rule, $4 mark, $5 digest of the file without rule and mark.
# In place, as libvirt writes it: owner and mode stay.
export LC_ALL=C
p=$1/etc/apparmor.d/libvirt/libvirt-$2 f=$1/etc/apparmor.d/libvirt/libvirt-$2.files
without() { grep -vxF -e "$1" -e "$2" "$f"; }
put() { new=$(without "$1" "$2") && printf '%s\n' "$new" >"$f"; }
if [ ! -f "$f" ] || [ -L "$f" ]; then
  echo "the guest has no such file any more: $f" >&2
  exit 1
fi
[ "$(without "$3" "$4" | sha256sum)" = "$5" ] || { echo "it has changed since the plan was made: $f" >&2; exit 1; }
[ -z "$(tail -c 1 "$f")" ] || { echo "it does not end with a line: $f" >&2; exit 1; }
grep -qxF -e "$3" "$f" || printf '%s\n' "$3" >>"$f" || exit 1
apparmor_parser -r "$p" || { put "$3" "$4"; apparmor_parser -r "$p"; exit 1; }
printf '%s\n' "$4" >>"$f"
