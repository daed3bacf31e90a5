#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/setup.sh demo | test | lab | bench | lint | docs | services
#
# Sets up what that target of make needs, and only what is not there yet. All of it goes to .uv/ and .services/; Debian
# packages are installed where a target wants a compiler or MariaDB. Python packages come from PyPI, or from the index
# that the environment or the configuration of pip or uv names.
#
#   .uv/tool      uv itself, the version of scripts/uv.txt
#   .uv/demo ...  an environment for each target: what uv.lock says, nothing else; a .venv of your own is not touched
#   .uv/log       the output of every step
#   .uv/docker    Docker's programs, for root on a Debian without them: unpacked, not installed; its tests start it
#   .uv/ovn       likewise OVN's databases and northd, on a Debian without them; anybody may unpack and start them
#   .uv/postgresql likewise PostgreSQL, whose package would make a database cluster and start it with the machine
#   .services     the services themselves (lab/src/stackmend_lab/services.txt), whose migrations the tests run
#   .services-2024.1  those of an older release (services-2024.1.txt there), which the tests of the lab run as well
#
# An environment is whole when its stamp says from what it was made. The stamp comes last: what was interrupted before
# is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

STAMP=.made-from
SERVICES=lab/src/stackmend_lab/services.txt
OLDER=2024.1 # with Python 3.11 (lab/src/stackmend_lab/control_plane/releases.py)
UV=.uv/tool/bin/uv

# made_from TEXT... -- FILE...: what a stamp holds; environments know their own path, and their Python's
made_from() {
    local texts=()
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    { printf '%s\n' "$PWD" "$PYTHON" "$PYTHON_VERSION" "${texts[@]}" && cat "$@"; } | sha256sum | cut -d ' ' -f 1
}

# is_made FOLDER STAMP
is_made() {
    [ "$(cat "$1/$STAMP" 2>/dev/null)" = "$2" ]
}

write_stamp() {
    printf '%s\n' "$2" >"$1/$STAMP.new"
    mv -f "$1/$STAMP.new" "$1/$STAMP"
}

# ---- the machine ----------------------------------------------------------------------------------------------------

find_python() {
    local wanted=${PYTHON:-python3}
    command -v "$wanted" >/dev/null || die "$wanted is not there" \
        "Install Python 3.11 or later (Debian 12: apt-get install python3), or say which: PYTHON=python3.12 make ..."
    "$wanted" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die \
        "$wanted is $("$wanted" --version 2>&1), stackmend needs 3.11 or later" "Say which: PYTHON=python3.12 make ..."
    # the same one, whether or not an environment is activated
    PYTHON=$("$wanted" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)')
    PYTHON_VERSION=$("$PYTHON" -c 'import sys; print(sys.version)')
}

has_module() {
    "$PYTHON" -c "import $1" 2>/dev/null
}

# without them no index can be asked
has_certificates() {
    [ -n "${SSL_CERT_FILE:-}" ] || [ ! -e /etc/debian_version ] || [ -e /etc/ssl/certs/ca-certificates.crt ]
}

has_headers() {
    "$PYTHON" -c 'import pathlib, sysconfig, sys
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'
}

# packages_for_*: the Debian packages of what is missing, one a line
packages_for_uv() {
    has_certificates || echo ca-certificates
    has_uv || has_module ensurepip || has_module pip || echo python3-venv
}

packages_for_tests() {
    command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    has_headers || echo python3-dev
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists libmariadb 2>/dev/null || pkg-config --exists mysqlclient 2>/dev/null || echo libmariadb-dev
    # the programs only: no service comes with them
    { command -v mariadbd && command -v mariadb-install-db; } >/dev/null || echo mariadb-server-core
    command -v my_print_defaults >/dev/null || echo mariadb-client-core
    command -v mariadb-dump >/dev/null || echo mariadb-client
    # a library alone, for a cluster of three nodes
    compgen -G "/usr/lib*/galera*/libgalera_smm.so" >/dev/null || echo galera-4
    # hosts to run commands on are OpenSSH servers that the tests start
    command -v sshd >/dev/null || echo openssh-server
    command -v ssh >/dev/null || echo openssh-client
    command -v ip >/dev/null || echo iproute2
    pkg-config --exists libvirt 2>/dev/null || echo libvirt-dev
    { command -v qemu-img && command -v qemu-io; } >/dev/null || echo qemu-utils
    packages_for_disks
    packages_for_guests
}

# what reads the disks of guests, and what the tests make such disks with; no service comes with them
packages_for_disks() {
    local program package path=$PATH:/usr/sbin:/sbin
    while read -r program package; do
        PATH=$path command -v "$program" >/dev/null || echo "$package"
    done <<'EOF'
nbdkit nbdkit
nbdfuse libnbd-bin
fusermount3 fuse3
debugfs e2fsprogs
xfs_db xfsprogs
pvck lvm2
sfdisk fdisk
mcopy mtools
bsdtar libarchive-tools
mkfs.vfat dosfstools
genisoimage genisoimage
EOF
}

# what runs real guests, whose disks are copied while they run: tests that take root; no service comes with them
packages_for_guests() {
    [ "$(id -u)" -eq 0 ] || return 0
    PATH=$PATH:/usr/sbin command -v libvirtd >/dev/null || echo libvirt-daemon
    command -v virsh >/dev/null || echo libvirt-clients
    command -v qemu-system-x86_64 >/dev/null || echo qemu-system-x86
}

# this one brings a service along, which is not started
packages_for_lab() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo rabbitmq-server
}

# machine LIST...: install what these functions list, as root or with a sudo that asks nothing
machine() {
    local list packages unfinished=.uv/debian-packages
    mapfile -t packages < <({ [ ! -e $unfinished ] || cat $unfinished; for list in "$@"; do "$list"; done; } | sort -u)
    [ ${#packages[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "this machine lacks what these Debian packages hold: ${packages[*]}" \
        "It is not a Debian: install the same with its own package manager, and run make again."
    # a program may be there before its package is configured: what was begun is finished
    printf '%s\n' "${packages[@]}" >$unfinished
    if [ "$(id -u)" -eq 0 ]; then
        step debian-packages "Debian packages ${packages[*]}" scripts/debian-packages.sh "${packages[@]}"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        step debian-packages "Debian packages ${packages[*]}, with sudo" \
            sudo -n "$PWD/scripts/debian-packages.sh" "${packages[@]}"
    else
        rm $unfinished
        die "missing Debian packages: ${packages[*]}" \
            "As root: apt-get install --no-install-recommends ${packages[*]}   Then run make again."
    fi
    rm $unfinished
}

# ---- uv -------------------------------------------------------------------------------------------------------------

has_uv() {
    is_made .uv/tool "$(made_from uv -- scripts/uv.txt)"
}

install_uv() {
    rm -rf .uv/tool
    if has_module ensurepip; then
        "$PYTHON" -m venv .uv/tool
        .uv/tool/bin/python -m pip install --no-deps --require-hashes -r scripts/uv.txt
    else
        PIP_USER=0 "$PYTHON" -m pip install --target .uv/tool --no-deps --require-hashes -r scripts/uv.txt
    fi
    "$UV" --version
    write_stamp .uv/tool "$(made_from uv -- scripts/uv.txt)"
}

uv_itself() {
    has_uv || step uv "uv $(sed -n 's/^uv==\([0-9.]*\).*/\1/p' scripts/uv.txt) into .uv/tool" install_uv
}

# uv does not read the configuration of pip: hand on the index that it names
use_index_of_pip() {
    [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || return 0
    local index
    index=${PIP_INDEX_URL:-$(index_in_pip .uv/tool/bin/python || index_in_pip "$PYTHON" || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
}

index_in_pip() {
    "$1" -m pip config get global.index-url 2>/dev/null
}

# ---- environments ---------------------------------------------------------------------------------------------------

# empty FOLDER: a new environment without anything in it
empty() {
    rm -f "$1/$STAMP"
    "$UV" venv --clear --python "$PYTHON" --prompt "stackmend-$(basename "$1")" "$1"
    use_index_of_pip
}

# not `uv sync`: that fetches from the addresses in uv.lock, past the index of the environment
fill_environment() {
    local folder=$1 want=$2 groups=("${@:3}")
    empty "$folder"
    "$UV" export --quiet --frozen --no-default-groups "${groups[@]/#/--group=}" --output-file "$folder/requirements.txt"
    "$UV" pip sync --compile-bytecode --python "$folder/bin/python" "$folder/requirements.txt"
    write_stamp "$folder" "$want"
}

# environment NAME [GROUP...]: .uv/NAME with stackmend, the lab where a group wants it (both editable), and what they need
environment() {
    local folder=.uv/$1 want
    # the entry points too: with a new command the package has to be installed again
    want=$(made_from "$@" "$("$PYTHON" scripts/entry_points.py)" -- uv.lock pyproject.toml lab/pyproject.toml)
    is_made "$folder" "$want" ||
        step "environment-$1" "environment $folder from uv.lock" fill_environment "$folder" "$want" "${@:2}"
}

# fill_services FOLDER PINS STAMP
fill_services() {
    empty "$1"
    # each of their dozens of processes would compile them anew where the environment forbids to write bytecode
    "$UV" pip sync --compile-bytecode --python "$1/bin/python" "$2"
    write_stamp "$1" "$3"
}

services() {
    local want
    if [ -n "${STACKMEND_SERVICES:-}" ]; then
        say "services: those in $STACKMEND_SERVICES (STACKMEND_SERVICES)"
    elif [ -L .services ]; then
        [ -x .services/bin/nova-manage ] || die ".services is a link of yours to a place without services" "Remove it."
        say "services: .services is a link of yours, used as it is"
    else
        want=$(made_from services -- "$SERVICES")
        is_made .services "$want" ||
            step services "the OpenStack services into .services, from $SERVICES" \
            fill_services .services "$SERVICES" "$want"
    fi
}

older_services() {
    local folder=.services-$OLDER pins=${SERVICES%.txt}-$OLDER.txt want PYTHON=$PYTHON
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || PYTHON=$(command -v python3.11) || {
        say "services of $OLDER: they need python3.11, which is not there. Their tests are left out"
        return 0
    }
    want=$(made_from "$folder" -- "$pins")
    is_made "$folder" "$want" ||
        step "services-$OLDER" "the OpenStack services of $OLDER into $folder" fill_services "$folder" "$pins" "$want"
}

# ---- programs that are unpacked -------------------------------------------------------------------------------------

# unpack FOLDER STAMP PACKAGE...: what these Debian packages hold, without installing them. apt-get warns in the log that
# it fetches as root: its own account may not write here
unpack() {
    local folder=$1 want=$2 package
    rm -rf "$folder"
    mkdir -p "$folder/debs"
    cd "$folder/debs"
    apt-get -q download "${@:3}" || { apt-get -q update && apt-get -q download "${@:3}"; }
    for package in *.deb; do
        dpkg-deb --extract "$package" ..
    done
    cd - >/dev/null
    rm -r "$folder/debs"
    write_stamp "$folder" "$want"
}

# a daemon of it can only be begun by root; nothing else is tested with it
docker() {
    local want
    { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; } || return 0
    ! command -v dockerd >/dev/null || return 0
    want=$(made_from docker -- /etc/debian_version)
    is_made .uv/docker "$want" || step docker "Docker's programs into .uv/docker" \
        unpack .uv/docker "$want" docker.io containerd runc libdevmapper1.02.1
}

# unpacked_for_all NAME FOLDER PACKAGE...: unpack what anybody may begin; not on other machines than a Debian
unpacked_for_all() {
    local name=$1 folder=$2 want
    command -v apt-get >/dev/null || return 0
    want=$(made_from "$(basename "$folder")" "${@:3}" -- /etc/debian_version)
    ! is_made "$folder" "$want" || return 0
    [ "$(id -u)" -eq 0 ] || apt-get -q download --print-uris "${@:3}" >/dev/null 2>&1 || {
        say "$name's programs cannot be fetched: no list of packages (as root: apt-get update). Its tests are left out"
        return 0
    }
    step "$(basename "$folder")" "$name's programs into $folder" unpack "$folder" "$want" "${@:3}"
}

OVN=(
    openvswitch-common ovn-common ovn-central
    libbpf1 libcap-ng0 libelf1 libevent-2.1-7 libgmp10 libhogweed6 libnettle8 libnuma1 libunbound8 libxdp1
)

# OVN's databases and its northd; their packages would start services with the machine
ovn() {
    ! { command -v ovsdb-server && command -v ovn-northd; } >/dev/null || return 0
    unpacked_for_all OVN .uv/ovn "${OVN[@]}"
}

POSTGRESQL=(postgresql-15 postgresql-client-15 libicu72 libldap-2.5-0 libpq5 libsasl2-2 libxml2 libxslt1.1)

# the server and its programs; who has them installed has them there
postgresql() {
    ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || return 0
    unpacked_for_all PostgreSQL .uv/postgresql "${POSTGRESQL[@]}"
}

# ---------------------------------------------------------------------------------------------------------------------

main() {
    local target=${1:-} begin=$EPOCHREALTIME
    unset VIRTUAL_ENV PYTHONPATH PYTHONHOME
    # uv trusts what the machine trusts, as pip does, and takes no Python from elsewhere
    export PATH="$PATH:/usr/sbin:/sbin" UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_PYTHON_DOWNLOADS=never
    find_python
    mkdir -p .uv
    # two at a time would build the same environment
    exec 8>.uv/lock
    flock -n 8 || { say "another make is setting up here: waiting for it" && flock 8; }
    # no `&&` between them: with it, bash would go on inside them after a command that failed
    case $target in
        demo | lint | docs) machine packages_for_uv ;;
        test | lab) machine packages_for_uv packages_for_tests packages_for_lab ;;
        bench | services) machine packages_for_uv packages_for_tests ;;
        *) die "no such target: '$target'" \
            "Usage: scripts/setup.sh demo | test | lab | bench | lint | docs | services" ;;
    esac
    uv_itself
    case $target in
        demo | lint | docs) environment "$target" "$target" ;;
        test | lab | bench) environment test test ;;
    esac
    case $target in
        test | lab | services) services ;;
    esac
    case $target in
        test | lab)
            docker
            ovn
            postgresql
            ;;
    esac
    case $target in
        lab) older_services ;;
    esac
    say "set-up of make $target took $(seconds_since "$begin") s"
}

main "$@"
