# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the scripts of make share: messages, errors, and steps that say how long they took. Sourced, not run.

say() {
    printf '==> %s\n' "$*"
}

# die WHAT [HINT]
die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '       %s\n' "$2" >&2
    exit 1
}

# seconds_since EPOCHREALTIME: with one decimal (the locale decides whether EPOCHREALTIME has a point or a comma)
seconds_since() {
    local microseconds=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
    printf '%d.%d' $((microseconds / 1000000)) $((microseconds / 100000 % 10))
}

# step LOG WHAT COMMAND...: run it with its output in .uv/log/LOG, say what is done and how long it took; where it
# fails, show the end of that output and stop
step() {
    local log=.uv/log/$1 what=$2 begin=$EPOCHREALTIME status
    shift 2
    mkdir -p .uv/log
    printf '==> %s ... ' "$what"
    # not `if ( ... )` nor `( ... ) ||`: there, bash does not stop at the first command that fails
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        printf 'failed after %s s\n' "$(seconds_since "$begin")"
        tail -n 25 "$log" | sed 's/^/    | /' >&2
        die "this failed: $what" "All of its output is in $log. When the cause is gone run make again: it goes on here."
    fi
    printf '%s s\n' "$(seconds_since "$begin")"
}
