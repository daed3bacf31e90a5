#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 root of the file system, $2 uuid, $3 rule, $4 mark. Where the guest has stopped the file is gone, and so is the rule.
export LC_ALL=C
f=$1/etc/apparmor.d/libvirt/libvirt-$2.files
[ -f "$f" ] && grep -qxF -e "$3" "$f" && grep -qxF -e "$4" "$f" || exit 1
