#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command that only reads, and says what it says compressed: a list may be long. Its exit code is on stderr.
export LC_ALL=C
{
  "$@"
  echo "ended with $?" >&2
} | gzip -cf
