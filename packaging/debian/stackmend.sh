#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stackmend as the package installs it. For root, the journal is where the nightly audit has it, and the file in
# /etc/stackmend is read if there is one; without it, the services' own files are. What is set already stays.
if [ "$(id -u)" -eq 0 ]; then
    : "${STACKMEND_STATE:=/var/lib/stackmend}"
    export STACKMEND_STATE
    if [ -z "${STACKMEND_CONFIG+set}" ] && [ -e /etc/stackmend/stackmend.toml ]; then
        export STACKMEND_CONFIG=/etc/stackmend/stackmend.toml
    fi
fi
exec /opt/venvs/stackmend/bin/stackmend "$@"
