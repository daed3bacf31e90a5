#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 a pool, $2 and so on the program rbd; names of images in it on stdin, a line each. For each one line with its name,
# its locks and who has it open, as rbd prints them; "gone", or "unread" and why. Ends with "end". Changes nothing.
export LC_ALL=C
pool=$1
shift
while IFS= read -r name; do
  if locks=$("$@" lock ls --format json "$pool/$name" </dev/null 2>/dev/null) &&
    open=$("$@" status --format json "$pool/$name" </dev/null 2>/dev/null); then
    printf '%s\t%s\t%s\n' "$name" "$locks" "$open"
  else
    why=$("$@" status --format json "$pool/$name" </dev/null 2>&1 >/dev/null | grep . | tail -n 1 | tr '\t' ' ')
    case $why in
      *"error opening image $name: (2)"*) printf '%s\tgone\n' "$name" ;;
      *) printf '%s\tunread\t%s\n' "$name" "$why" ;;
    esac
  fi
done
echo end
