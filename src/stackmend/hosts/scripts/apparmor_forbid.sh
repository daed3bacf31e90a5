#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 root of the file system, $2 uuid, $3 rule, $4 mark
export LC_ALL=C
p=$1/etc/apparmor.d/libvirt/libvirt-$2 f=$1/etc/apparmor.d/libvirt/libvirt-$2.files
[ -f "$f" ] || exit 0
new=$(grep -vxF -e "$3" -e "$4" "$f") && printf '%s\n' "$new" >"$f" && apparmor_parser -r "$p"
