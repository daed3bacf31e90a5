#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# $1 root of the file system, $2 instances directory, $3 mark of rules that are loaded, $4 the script of domains or "",
# then what precedes commands in the container of libvirt. Says what is on this host beside libvirt: words separated by
# tabs and ended by a NUL. Each part ends with "whole", or with "closed" and why. Changes nothing.
# shellcheck disable=SC2317,SC2329 # parts are called by name
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
r=$1 i=$2 mark=$3 d=$4
shift 4
if [ -n "$d" ]; then "$@" sh -c "$d" stackmend || exit 1; fi
say() { printf '%s\t' "$@"; printf '\0'; }
no() { echo "$*" >&2; exit 1; }
# the first line of a file of sysfs, which may not be readable at the moment
line() { l= && { read -r l <"$1"; } 2>/dev/null || :; }
soon() { timeout -k 1 5 "$@" || no "$1 ended with $?"; }

links() {
  [ -d "$r/sys/class/net" ] || no "there is no /sys/class/net"
  for f in "$r"/sys/class/net/*; do
    case ${f##*/} in tap* | qvo* | qvb* | qbr* | vhu*) ;; *) continue ;; esac
    # the carrier of a tap is its process
    h=0 && [ -e "$f/tun_flags" ] && line "$f/carrier" && h=${l:-0}
    say link "${f##*/}" "$h"
  done
  o=$r/run/openvswitch
  [ ! -d "$o" ] || [ -x "$o" ] || no "/run/openvswitch may not be entered"
  [ -S "$o/db.sock" ] || return 0
  q='["Open_vSwitch",{"op":"select","table":"Interface","where":[],"columns":["name","external_ids"]}]'
  command -v ovsdb-client >/dev/null || [ "$#" -gt 0 ] || no "Open vSwitch runs, and there is no ovsdb-client"
  if command -v ovsdb-client >/dev/null; then set --; fi
  # shellcheck disable=SC2016
  j=$(soon "$@" ovsdb-client --timeout=4 transact "unix:$o/db.sock" "$q") || exit 1
  say ovs "$j"
}

namespaces() {
  n=$r/run/netns
  [ -e "$n" ] || return 0
  { [ -d "$n" ] && [ -r "$n" ] && [ -x "$n" ]; } || no "/run/netns may not be read"
  for f in "$n"/*; do
    case ${f##*/} in qdhcp-* | qrouter-* | snat-* | fip-*) say netns "${f##*/}" ;; esac
  done
}

devices() {
  [ -d "$r/sys/block" ] || no "there is no /sys/block"
  for f in "$r"/sys/class/iscsi_session/session*; do
    [ -e "$f/targetname" ] || continue
    line "$f/targetname" && t=$l && line "$f/state" && s=$l && c=0
    for b in "$f"/device/target*/*/block/*; do [ ! -e "$b" ] || c=$((c + 1)); done
    say session "${f##*/}" "$t" "$s" "$c"
  done
  open=
  for f in "$r"/sys/block/dm-*; do
    line "$f/dm/uuid" && u=$l
    case $u in mpath-* | CRYPT-*) ;; *) continue ;; esac
    # sysfs does not show whether a device is open
    [ -n "$open" ] || open=$(soon dmsetup info -c --noheadings --separator : -o blkdevname,open) || exit 1
    line "$f/dm/name" && p='' && n=$l h=0
    for b in "$f"/slaves/*; do
      [ -e "$b" ] || continue
      line "$b/device/state" && s=$l && line "$b/device/wwid"
      case $l in *[=,]*) l=$(echo "$l" | tr -d '=,') ;; esac # of text that devices give
      p="$p${b##*/}=${s:-unknown}=$l,"
    done
    for b in "$f"/holders/*; do [ ! -e "$b" ] || h=$((h + 1)); done
    opened "${f##*/}"
    t=$c
    above "$f"
    say map "${f##*/}" "$n" "$u" "$p" "$h" "$t"
  done
}
# how often dmsetup says that a map is open
opened() {
  c=$(echo "$open" | sed -n "s/^ *$1: *\([0-9]*\) *$/\1/p")
  [ -n "$c" ] || no "dmsetup does not say whether $1 is open"
}
# adds to $t how often what is stacked on a map is open by others than what is stacked on that; what is not a map is open
above() {
  for b in "$1"/holders/*; do
    [ -e "$b" ] || continue
    c=1 k=0
    case ${b##*/} in dm-*) opened "${b##*/}" ;; esac
    for g in "$r/sys/block/${b##*/}"/holders/*; do [ ! -e "$g" ] || k=$((k + 1)); done
    [ "$c" -le "$k" ] || t=$((t + c - k))
    above "$r/sys/block/${b##*/}"
  done
}

profiles() {
  line "$r/sys/module/apparmor/parameters/enabled"
  [ "$l" = Y ] || return 0
  a=$r/etc/apparmor.d s=$r/sys/kernel/security/apparmor
  loaded=$(cat "$s/profiles") || exit 1
  { [ ! -d "$a/libvirt" ] || [ -x "$a/libvirt" ]; } || no "/etc/apparmor.d/libvirt may not be entered"
  say enabled Y
  [ ! -e "$r/dev/vhost-net" ] || say device yes
  for f in "$a/abstractions/libvirt-qemu" "$a/local/abstractions/libvirt-qemu"; do
    [ -f "$f" ] || continue
    say every "$(cat "$f")"
    say every-written "$(written "$f")"
  done
  { timeout -k 1 5 journalctl -k -q --no-pager -g 'apparmor=.DENIED.*vhost-net' 2>/dev/null || dmesg 2>/dev/null || :; } |
    grep -F 'profile="libvirt-' | grep -F /dev/vhost-net | tail -n 200 |
    while IFS= read -r l; do say denied "$l"; done
  for f in "$a"/libvirt/libvirt-*.files; do
    [ -f "$f" ] || continue
    n=${f##*/} && n=${n%.files} p=${f%.files}
    # of the rules, those that matter here
    x=$(grep -F -e vhost-net -e "$mark" -- "$f") || [ "$?" -eq 1 ] || exit 1
    say guest "${n#libvirt-}"
    case $loaded in *"$n (enforce)"*) say loaded "$n (enforce)" ;; esac
    for k in "$s/policy/profiles/$n".*/raw_data; do
      [ ! -e "$k" ] || say kernel "$(written "$(dirname -- "$(readlink -f -- "$k")")")"
    done
    [ ! -f "$p" ] || { say profile "" && say profile-written "$(written "$p")"; }
    say files "$x"
    say files-written "$(written "$f")"
  done
}
# to the nanosecond where stat can
written() { stat -L -c %.9Y -- "$1" 2>/dev/null || stat -L -c %Y -- "$1" 2>/dev/null; }

directories() {
  # shellcheck disable=SC2016
  soon "$@" sh -c '
    cd -P -- "$1" || exit 3
    printf "filesystem\t%s\0" "$(stat -f -c %T .)"
    u="[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
    find "$PWD" -mindepth 1 -maxdepth 1 -type d -name "$u$u-$u-$u-$u-$u$u$u*" -printf "directory\t%p\0"' list "$r$i"
}

part() {
  why=$("$@" 2>&1 >&3) && say whole "$1" && return
  say closed "$1" "$(printf '%s\n' "$why" | tail -n 1)"
}
{
  part links "$@"
  part namespaces
  part devices
  part profiles
  part directories "$@"
} 3>&1
printf 'end\0'
