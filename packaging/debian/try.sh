#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage (as root): packaging/debian/try.sh PACKAGE COMMAND
#
# Installs the package on a copy of this machine's files, runs the command there with sh, purges the package, and fails
# if that takes a journal along, or leaves anything else. Once more without a journal: then nothing is left at all. The
# copy is in memory and seen by nobody else: this machine is not changed.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
    exec unshare --mount --propagation private -- "$0" --inside "$(realpath "$1")" "$2"
fi
package=$2 command=$3
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/all
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/all
cp "$package" /mnt/all/tmp/it.deb
for place in proc dev; do
    mount --rbind "/$place" "/mnt/all/$place"
done
# shellcheck disable=SC2016
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root chroot /mnt/all sh -eu -c '
dpkg --force-depends -i /tmp/it.deb >&2
sh -eu -c "$1"
echo undo >/var/lib/stackmend/of-a-run
dpkg --purge stackmend 2>&1
grep -qx undo /var/lib/stackmend/of-a-run
rm -r /var/lib/stackmend
dpkg --force-depends -i /tmp/it.deb >&2
dpkg --purge stackmend >&2
for left in /opt/venvs/stackmend /etc/stackmend /var/lib/stackmend /usr/bin/stackmend /usr/share/doc/stackmend; do
    if [ -e "$left" ]; then
        echo "left: $left" >&2
        exit 1
    fi
done
echo "nothing is left"
' sh "$command"
