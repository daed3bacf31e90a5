#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 the folder of Cinder's mounts, or one share: its folders that are named by a digest, what is mounted, and the files
# of volumes with size, time, the file that a qcow2 header names and their name, each ended by a NUL. Changes nothing.
export LC_ALL=C
cd -P -- "$1" || exit 3
printf 'path\t%s\0' "$PWD"
printf 'mounts\t%s\0' "$(cat /proc/self/mounts)"
digest='[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
digest=$digest$digest$digest$digest
find . -mindepth 1 -maxdepth 1 -type d -name "$digest" -printf 'folder\t%f\0' || exit 4
# shellcheck disable=SC2016
find . -mindepth 1 \( -type d ! -path "./$digest" -prune -o -type f -name 'volume-*' \
  -exec sh -c '
for f; do
  b=
  h=$(dd if="$f" bs=20 count=1 2>/dev/null | od -An -v -tx1 | tr -d " \n")
  case $h in
    514649fb????????00000000????????0000????)
      o=$(printf %s "$h" | cut -c25-32) n=$(printf %s "$h" | cut -c33-40)
      b=$(dd if="$f" bs=1 skip="$((0x$o))" count="$((0x$n))" 2>/dev/null | tr -d "\t")
      ;;
  esac
  s=$(stat -c "%s	%Y" -- "$f") || {
    [ -e "$f" ] && exit 5
    continue
  }
  if [ -z "$h" ] && [ -s "$f" ]; then
    echo "$f cannot be read" >&2
    exit 5
  fi
  printf "file\t%s\t%s\t%s\0" "$s" "$b" "${f#./}"
done' volume_files {} + \) || exit 4
printf 'end\0'
