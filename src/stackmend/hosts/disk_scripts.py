# SPDX-License-Identifier: Apache-2.0
"""The shell scripts of salvage, run on the hosts and between them. They delete nothing on any host.

They need a POSIX shell, GNU find, tar and coreutils; qemu-img only on the target. Arguments are positional, so that a
name is never parsed as shell. stackmend's working folder is inside the instances directory, so that a copy is put in
place by one rename. ``KEY.new`` is being copied; ``KEY.copied`` records what was completely copied and verified.

Neither the data from the source nor the owner of the instances directory is trusted. stackmend's folders must be real
directories, owned by this account and closed to others; the scripts work from inside them, and keep the instances
directory open as ``$i``, even if it is renamed meanwhile. Received data must be regular files and directories with one
name each, or it is left where it is: nothing is written, chowned or opened through a link.
"""

from __future__ import annotations

from stackmend.model.objects.disks import QUARANTINE, WORK

#: identifies a file or directory under any name: by its birth time in nanoseconds, or its inode number if the file
#: system has no birth times. The inode number alone would change after a while on overlay file systems
IDENTITY = r"""identity() {
  case $(stat -c %W -- "$1" 2>/dev/null) in
    '') return 1 ;;
    0) stat -c %i -- "$1" ;;
    *) TZ=UTC0 stat -c %w -- "$1" ;;
  esac
}
"""

_HEAD = f"""export LC_ALL=C
{IDENTITY}checked() {{ identity "$1" && stat -c %s -- "$1"; }}
fail() {{ echo "$*" >&2; exit 1; }}
cd -P -- "$1" || exit 3
exec 9<.
i=/proc/self/fd/9 home=$(pwd -P) w={WORK} q={QUARANTINE}
ours() {{ [ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %u -- "$1")" = "$(id -u)" ]; }}
into() {{
  [ -e "$1" ] || [ -L "$1" ] || mkdir -m 700 -- "$1" || exit 3
  cd -P -- "$1" && [ "$(pwd -P)" = "$home/$1" ] && [ "$(stat -c %u .)" = "$(id -u)" ] && chmod 700 . ||
    fail "it is no folder of ours, somebody has put it there: $home/$1"
}}
plain() {{
  odd=$(find "$1" \\( ! -type f ! -type d ${{2:+-o -type f -links +1}} \\) -printf '%y %p\\n' | head -n 1)
  [ -z "$odd" ] || fail "it is no plain file (l: a link, f: with two names, b, c: a device, p: a pipe): $odd"
}}
note() {{ if ours "$w"; then cat "$w/$1" 2>/dev/null; fi; }}
"""

#: directory, what of it: one line per item, files with checksums
_LIST = r"""list() {
  plain "$1"
  find "$1" -type d -printf 'd %p\n' &&
  find "$1" -type f -exec sha256sum -- {} +
}
"""
#: the directory itself must not be a link: another one would be sent instead
_REAL = r"""[ "$home" = "$(cd -P -- "$(dirname -- "$1")" && pwd -P)/$(basename -- "$1")" ] || fail "it is a link: $1"
"""
#: directory, what of it, marker
LIST = (
    "# lists with checksums\n"
    + _HEAD
    + _LIST
    + _REAL
    + r"""[ -e "$2" ] || fail "$1/$2 is not there"
printf '\n%s\n' "$3"
list "$2"
"""
)

#: directory, marker; names on stdin, after a line that says whether these are all
SEND = (
    "# sends by tar\n"
    + _HEAD
    + _REAL
    + r"""IFS= read -r which || exit 3
printf '\n%s\n' "$2"
[ "$which" = some ] || exec tar --create --sparse --hard-dereference --file=- .
exec tar --create --sparse --hard-dereference --no-recursion --files-from=- --file=-
"""
)

#: directory, key, final name, what, marker: creates the working folder, and lists its contents. 10: the final name is
#: taken by a file, which is listed instead
PREPARE = (
    "# makes room, lists what is there\n"
    + _HEAD
    + _LIST
    + r"""printf '\n%s\n' "$5"
[ ! -L "$3" ] && [ ! -L "$(dirname -- "$3")" ] || fail "it is a link: $1/$3"
if [ -f "$3" ] && [ "$4" != . ]; then
  cd -P -- "$(dirname -- "$3")" && list "$4" && exit 10
  exit 3
fi
[ ! -e "$3" ] || fail "it is there already: $1/$3"
into "$w"
if [ ! -d "$2.new" ]; then
  : >"$2.copied" && mkdir -m 700 "$2.new" || exit 3
fi
plain "$2.new" once
cd "$2.new" || exit 3
[ ! -e "$4" ] || list "$4"
"""
)

#: directory, key
RECEIVE = (
    "# takes from tar\n"
    + _HEAD
    + r"""into "$w"
plain "$2.new" once
cd "$2.new" || exit 3
exec tar --extract --no-same-owner --no-same-permissions --file=-
"""
)

#: directory, key: records that the copy is complete
COPIED = (
    "# notes that the copy is whole\n"
    + _HEAD
    + r"""into "$w"
plain "$2.new" once
find "$2.new" \( -type f -o -type d \) -exec sync -- {} + || exit 3
identity "$2.new" >"$2.copied"
"""
)

#: directory, key, final name: of a folder that was copied, and may already be in place
COPIED_PROBE = (
    "# whether the copy is whole\n"
    + _HEAD
    + r"""c=$(note "$2.copied")
for d in "$w/$2.new" "$3"; do
  [ -z "$c" ] || [ "$(identity "$d")" != "$c" ] || exit 0
done
[ ! -e "$3" ] && [ ! -L "$3" ] || { echo "there is one that is none of ours: $1/$3" >&2; exit 2; }
exit 1
"""
)

#: directory, key, quarantine
COPIED_BACK = (
    "# moves the copy into quarantine\n"
    + _HEAD
    + r"""ours "$w" && [ -d "$w/$2.new" ] || exit 0
into "$w"
exec 8<.
cd "$i/" && into "$q" && mkdir -p "$3" && mv -n -T -- "/proc/self/fd/8/$2.new" "$3/$2.new" &&
  [ ! -e "/proc/self/fd/8/$2.new" ]
"""
)

#: what a file of this format now says about itself: its backing file and the format of that. The guest, or the owner of
#: the source, may have written another header since it was examined
_BASED = r"""based() {
  said=$(qemu-img info -U -f "$2" --output=json "./$1") || fail "it cannot be opened: $1"
  case $said in *'"data-file"'*) fail "its content is in another file: $1" ;; esac
  for one in backing-filename backing-filename-format; do
    printf '%s ' "$(printf '%s\n' "$said" | sed -n "s/^    \"$one\": \"\(.*\)\",\{0,1\}$/\1/p")"
  done
}
"""

#: directory, key, final name, name, its format: one file was copied, or was there with the same content
FILE_DONE = (
    "# puts one file in place\n"
    + _HEAD
    + _BASED
    + r"""d=$(dirname -- "$3")
[ -d "$d" ] || [ -L "$d" ] || { mkdir "$d" && chown "$(stat -c %u:%g .)" "$d"; } || exit 3
[ ! -L "$d" ] && [ ! -L "$3" ] || fail "it is a link: $1/$3"
into "$w"
n=$2.new/$4
if [ -d "$2.new" ] && [ -f "$n" ] && [ ! -e "$i/$3" ]; then
  plain "$2.new" once
  if [ -n "$5" ]; then
    on=$(based "$n" "$5") || exit 1
    [ "$on" = "  " ] || fail "it is based on another file, as no base is: $3 on $on"
  fi
  chown -h "$(stat -c %u:%g "$i/$d")" "$n" && touch "$n" || exit 3
  case $3 in _base/*) chmod u+rw,go+r "$n" || exit 3 ;; esac
  identity "$n" >"$2.made" && sync -- "$n" "$2.made" || exit 3
  mv -n -T -- "$n" "$i/$3" && [ ! -e "$n" ] || fail "it came into being meanwhile: $3"
  rmdir "$2.new"
  [ ! -d /sys/fs/selinux ] || ! command -v restorecon >/dev/null || restorecon "$home/$3"
fi
[ -f "$i/$3" ] && [ ! -L "$i/$3" ] && touch -c -h "$i/$3" && checked "$i/$3" >"$2.copied"
"""
)

#: directory, key, final name
FILE_PROBE = (
    "# whether the file is there\n"
    + _HEAD
    + r"""[ -e "$3" ] || exit 1
[ "$(checked "$3")" = "$(note "$2.copied")" ]
"""
)

_UNUSED = r"""here=$(printf '%s\n' "$home" | sed 's/[][\\*?]/\\&/g')
unused() {
  for p in "$here/$1" "$here/$1/*"; do
    [ -z "$(find /proc/[0-9]*/fd -lname "$p" -print 2>/dev/null | head -n 1)" ] || fail "it is in use by a process: $1"
  done
}
"""

#: directory, key, final name, quarantine: moves aside a file that was not there before, unless a disk is based on it
FILE_BACK = (
    "# moves one file into quarantine\n"
    + _HEAD
    + _UNUSED
    + r"""[ -e "$3" ] || exit 0
[ "$(identity "$3")" = "$(note "$2.made")" ] || exit 0
unused "$3"
for f in */disk*; do
  [ ! -f "$f" ] || ! head -c 65536 -- "$f" | grep -aqF -e "/$3" || fail "$f is based on it: $3"
done
into "$q"
mkdir -p "$(dirname -- "$4/$3")" && mv -n -T -- "$i/$3" "$4/$3" && [ ! -e "$i/$3" ]
"""
)

#: directory, key, final name, disk.info ("" if there is none), then for every disk: its name, its format, its backing
#: file, the format of that, "rebase" if it has to be changed, and the key of the backing file
PLACE = (
    "# puts the copy in place by one rename\n"
    + _HEAD
    + _BASED
    + r"""into "$w"
new=$2.new key=$2 final=$3 info=$4
shift 4
[ -d "$new" ] && [ ! -L "$new" ] && [ "$(identity "$new")" = "$(cat "$key.copied")" ] ||
  fail "it was not copied whole: $final"
[ ! -e "$i/$final" ] && [ ! -L "$i/$final" ] || fail "it is there already: $final"
plain "$new" once
[ -n "$info" ] || [ ! -e "$new/disk.info" ] || fail "it has a disk.info that it had not when it was planned: $final"
known=
while [ $# -gt 0 ]; do
  known="$known $1 "
  if [ -n "$3" ]; then
    b=$i/_base/${3##*/}
    [ ! -L "$i/_base" ] && [ ! -L "$b" ] && [ -s "$6.copied" ] &&
      [ "$(checked "$b" 2>/dev/null)" = "$(cat "$6.copied")" ] || fail "its base was not verified on this host: $3"
    [ "$5" != rebase ] || qemu-img rebase -u -f "$2" -F "$4" -b "$3" "$new/$1" || fail "it cannot be told its base: $1"
  fi
  on=$(based "$new/$1" "$2") || exit 1
  [ "$on" = "$3 $4 " ] || fail "it is based on another file than when it was planned: $1 on $on"
  shift 6
done
for f in "$new"/disk*; do
  case $known in *" ${f#"$new"/} "*) continue ;; esac
  case $f in */disk.info | *'/disk*') continue ;; esac
  fail "it has a disk that it had not when it was planned: ${f#"$new"/}"
done
[ -z "$info" ] || { printf '%s\n' "$info" >"$key.info" && mv -T -- "$key.info" "$new/disk.info"; } || exit 3
mode=$(find "$i/" -mindepth 1 -maxdepth 1 -type d -name '????????-????-????-????-????????????' -printf '%m\n' |
  head -n 1)
chown -R -h "$(stat -c %u:%g "$i/")" "$new" && chmod "${mode:-755}" "$new" || exit 3
(cd "$new" && find . -type f -printf '%s %T@ %p\n' | sort) >"$key.listing"
sync -- "$key.listing" "$new"/disk.info 2>/dev/null
mv -n -T -- "$new" "$i/$final" && [ ! -e "$new" ] || fail "it came into being meanwhile: $final"
[ ! -d /sys/fs/selinux ] || ! command -v restorecon >/dev/null || restorecon -R "$home/$final"
"""
)

#: directory, key, final name
PLACE_PROBE = (
    "# whether the copy is in place\n"
    + _HEAD
    + r"""[ -e "$3" ] || [ -L "$3" ] || exit 1
[ "$(identity "$3")" = "$(note "$2.copied")" ] || {
  echo "there is one that is none of ours: $1/$3" >&2
  exit 2
}
"""
)

#: directory, key, final name, quarantine
PLACE_BACK = (
    "# moves what was put in place into quarantine\n"
    + _HEAD
    + _UNUSED
    + r"""[ -e "$3" ] || { [ -e "$q/$4/$3" ] && exit 0; fail "$1/$3 is not there"; }
[ "$(identity "$3")" = "$(note "$2.copied")" ] || fail "it is not what was put there: $3"
unused "$3"
now=$(cd "$3" && find . -type f -printf '%s %T@ %p\n' | sort)
[ "$now" = "$(note "$2.listing")" ] || fail "it has changed since, somebody uses it: $3"
into "$q"
mkdir -p "$4" && mv -n -T -- "$i/$3" "$4/$3" && [ ! -e "$i/$3" ]
"""
)

#: directory, name, its identity, the latest time in it, quarantine: moves an orphan aside
ASIDE = (
    "# moves an orphan into quarantine\n"
    + _HEAD
    + _UNUSED
    + r"""[ -d "$2" ] && [ ! -L "$2" ] && [ "$(identity "$2")" = "$3" ] || fail "it is another one now: $2"
unused "$2"
[ -z "$(find "$2" -newermt "@$4" -print | head -n 1)" ] || fail "it has changed since it was looked at: $2"
for f in */disk*; do
  case $f in "$2"/*) continue ;; esac
  [ ! -f "$f" ] || ! head -c 65536 -- "$f" | grep -aqF -e "/$2/" || fail "$f is based on a file of $2"
done
into "$q"
mkdir -p "$5" && [ ! -e "$5/$2" ] || fail "it is there already: $q/$5/$2"
mv -n -T -- "$i/$2" "$5/$2" && [ ! -e "$i/$2" ]
"""
)

#: directory, name, its identity, quarantine
ASIDE_PROBE = (
    "# whether it is in quarantine\n"
    + _HEAD
    + r"""! ours "$q" || [ "$(identity "$q/$4/$2")" != "$3" ] || exit 0
[ "$(identity "$2")" != "$3" ] || exit 1
echo "it is neither where it was nor in quarantine: $2" >&2
exit 2
"""
)

#: directory, name, its identity, quarantine
ASIDE_BACK = (
    "# moves it back from quarantine\n"
    + _HEAD
    + r"""[ "$(identity "$2")" != "$3" ] || exit 0
[ ! -e "$2" ] && [ ! -L "$2" ] || fail "there is one again: $2"
into "$q"
mv -n -T -- "$4/$2" "$i/$2" && [ ! -e "$4/$2" ]
"""
)

#: five shell command lines: list there, prepare here, send there, receive here, finish here
RELAY = r"""# copies between two hosts, with checksums on both sides
export LC_ALL=C
fail() { echo "$*" >&2; exit 1; }
say() { echo "$*" >&2; }
t=$(mktemp -d) || exit 3
trap 'rm -rf -- "$t"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# a login shell may print what it likes before: an answer begins after a line that nobody can know
m=stackmend-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
framed() {
  { eval "$1 $m"; echo $? >"$t/code"; } | { while IFS= read -r l; do [ "$l" != "$m" ] || exec cat; done; }
  return "$(cat "$t/code")"
}
say "reads the source and makes checksums"
framed "$1" >"$t/raw" </dev/null || fail "the source cannot be read whole"
sort "$t/raw" >"$t/there"
[ -s "$t/there" ] || fail "there is nothing at the source"
say "looks what is there, with checksums"
framed "$2" >"$t/raw" </dev/null
code=$?
sort "$t/raw" >"$t/here"
if [ "$code" = 10 ]; then
  cmp -s "$t/there" "$t/here" || fail "the target has another file of this name: nothing was copied"
  so="it was there, with the same checksum"
elif [ "$code" = 0 ]; then
  comm -23 "$t/there" "$t/here" >"$t/missing"
  if [ -s "$t/missing" ]; then
    if grep -qv -e '^d \.[^\]*$' -e '^[0-9a-f]\{64\}  \.[^\]*$' "$t/missing"; then
      echo all >"$t/names"
    else
      { echo some; sed -n -e 's/^d //p' -e 's/^[0-9a-f]\{64\}  //p' "$t/missing"; } >"$t/names"
    fi
    { framed "$3" <"$t/names"; echo $? >"$t/sent"; } | dd bs=1M iflag=fullblock status=progress |
      eval "$4" >/dev/null || fail "the target could not take it"
    [ "$(cat "$t/sent")" = 0 ] || fail "the source could not send it"
    say "reads the copy and makes checksums"
    framed "$2" >"$t/raw" </dev/null || fail "the copy cannot be read"
    sort "$t/raw" | cmp -s - "$t/there" || fail "the copy differs from the source"
  fi
else
  fail "the target cannot be prepared"
fi
eval "$5" </dev/null || fail "the copy could not be noted"
say "${so:-it is there, with the same checksums as at the source}"
"""
