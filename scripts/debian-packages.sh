#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage (as root): scripts/debian-packages.sh PACKAGE...
#
# Installs Debian packages without a question, and without starting, stopping or restarting any service: while it runs,
# /usr/sbin/policy-rc.d forbids that, and what was there before is put back whatever happens. (A package may restart the
# services of others: MariaDB's, whenever something in /etc/mysql changes.) Nothing is removed for it either. RabbitMQ's
# package enables its services, to be started with the machine: those that were not enabled before are disabled again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

POLICY=/usr/sbin/policy-rc.d
SAVED=$POLICY.before-stackmend
UNITS=(rabbitmq-server.service epmd.service epmd.socket)
MARK="# put here by stackmend's scripts/debian-packages.sh, for a moment"

# also mends what a run left that was killed
restore_policy() {
    if [ -e "$SAVED" ]; then
        mv -f "$SAVED" "$POLICY"
    elif grep -qsF "$MARK" "$POLICY"; then
        rm -f "$POLICY"
    fi
}

starts_with_machine() {
    [ "$(systemctl is-enabled "$1" 2>/dev/null)" = enabled ]
}

# also after a run that failed half-way: what it has enabled would be taken for the machine's own by the next one
leave() {
    local unit
    restore_policy
    for unit in "${OFF[@]}"; do
        ! starts_with_machine "$unit" || systemctl disable --quiet "$unit" </dev/null 9>&- ||
            say "$unit is started with the machine from now on; it could not be disabled"
    done
}

forbid_services() {
    local unit
    OFF=()
    restore_policy
    if command -v systemctl >/dev/null; then
        for unit in "${UNITS[@]}"; do
            starts_with_machine "$unit" || OFF+=("$unit")
        done
    fi
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [ -e "$POLICY" ]; then
        cp -a "$POLICY" "$SAVED.new"
        mv -f "$SAVED.new" "$SAVED"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY.new"
    chmod 755 "$POLICY.new"
    mv -f "$POLICY.new" "$POLICY"
}

apt() {
    # needrestart would restart services past policy-rc.d
    NEEDRESTART_SUSPEND=1 apt-get -y --no-remove -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null 9>&-
}

main() {
    [ $# -gt 0 ] || die "no package is named" "Usage: scripts/debian-packages.sh PACKAGE..."
    [ "$(id -u)" -eq 0 ] || die "Debian packages are installed by root only" "As root: apt-get install $*"
    exec 9>/run/stackmend-packages.lock
    flock 9
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    apt install --no-install-recommends "$@" || {
        # the lists were never fetched or are out of date, or an installation was killed half-way
        dpkg --configure -a --force-confdef --force-confold </dev/null 9>&-
        apt update
        apt install --no-install-recommends "$@"
    }
}

main "$@"
