#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/timed.sh WHAT COMMAND...   runs the command as it is, and says how long it took
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

what=$1
shift
begin=$EPOCHREALTIME
status=0
say "$what: $*"
"$@" || status=$?
if [ "$status" -eq 0 ]; then
    say "$what took $(seconds_since "$begin") s"
else
    say "$what failed with status $status after $(seconds_since "$begin") s"
fi
exit "$status"
