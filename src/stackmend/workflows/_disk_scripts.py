# SPDX-License-Identifier: Apache-2.0
"""The shell of salvage: what is run on the hosts, and between them. Nothing here deletes anything on a host.

Needed are a POSIX shell, GNU find, tar and coreutils; qemu-img on the target alone. Arguments are positional, so that a
name is never read as shell. A working folder of ours lies inside the instances directory, so that putting in place is
one rename. ``KEY.new`` is what is being copied, ``KEY.copied`` says what was copied whole and verified.
"""

from __future__ import annotations

from stackmend.model.disks import QUARANTINE, WORK

#: which file or directory it is, under whatever name: when it was made, to the nanosecond, and the number of its inode
#: where the file system does not tell. The number alone would be another one after a while on overlay file systems
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
w={WORK} q={QUARANTINE}
"""

#: directory, what of it: one line for everything, with the checksums of files
_LIST = r"""list() {
  find "$1" -type d -printf 'd %p\n' -o -type l -printf 'l %p\n' -printf 'L %p -> %l\n' &&
  find "$1" -type f -exec sha256sum -- {} +
}
"""
LIST = (
    "# lists with checksums\n"
    + _HEAD
    + _LIST
    + r"""[ -e "$2" ] || fail "$1/$2 is not there"
list "$2"
"""
)

#: directory; names on stdin after a line that says whether they are all
SEND = (
    "# sends by tar\n"
    + _HEAD
    + r"""IFS= read -r which || exit 3
[ "$which" = some ] || exec tar --create --sparse --file=- .
exec tar --create --sparse --no-recursion --files-from=- --file=-
"""
)

#: directory, key, final name, what: makes the working folder, and lists what is in it. 10: the final name is taken by
#: a file, which is listed instead
PREPARE = (
    "# makes room, lists what is there\n"
    + _HEAD
    + _LIST
    + r"""if [ -f "$3" ] && [ "$4" != . ]; then
  cd -P -- "$(dirname -- "$3")" && list "$4" && exit 10
  exit 3
fi
[ ! -e "$3" ] && [ ! -L "$3" ] || fail "it is there already: $1/$3"
mkdir -p "$w" || exit 3
if [ ! -d "$w/$2.new" ]; then
  : >"$w/$2.copied" && mkdir -m 700 "$w/$2.new" || exit 3
fi
cd "$w/$2.new" || exit 3
[ ! -e "$4" ] || list "$4"
"""
)

#: directory, key
RECEIVE = (
    "# takes from tar\n"
    + _HEAD
    + r"""cd "$w/$2.new" || exit 3
exec tar --extract --no-same-owner --file=-
"""
)

#: directory, key: the copy is whole
COPIED = (
    "# notes that the copy is whole\n"
    + _HEAD
    + r"""find "$w/$2.new" \( -type f -o -type d \) -exec sync -- {} + || exit 3
identity "$w/$2.new" >"$w/$2.copied"
"""
)

#: directory, key, final name: of a folder that is copied, and perhaps in place already
COPIED_PROBE = (
    "# whether the copy is whole\n"
    + _HEAD
    + r"""i=$(cat "$w/$2.copied" 2>/dev/null)
for d in "$w/$2.new" "$3"; do
  [ -z "$i" ] || [ "$(identity "$d")" != "$i" ] || exit 0
done
[ ! -e "$3" ] && [ ! -L "$3" ] || { echo "there is one that is none of ours: $1/$3" >&2; exit 2; }
exit 1
"""
)

#: directory, key, quarantine
COPIED_BACK = (
    "# moves the copy into quarantine\n"
    + _HEAD
    + r"""[ -d "$w/$2.new" ] || exit 0
mkdir -p "$q/$3" && mv -n -T -- "$w/$2.new" "$q/$3/$2.new" && [ ! -e "$w/$2.new" ]
"""
)

#: directory, key, final name, name: one file is copied, or was there with the same content
FILE_DONE = (
    "# puts one file in place\n"
    + _HEAD
    + r"""n=$w/$2.new/$4
if [ -f "$n" ] && [ ! -e "$3" ]; then
  d=$(dirname -- "$3")
  [ -d "$d" ] || { mkdir "$d" && chown "$(stat -c %u:%g .)" "$d"; } || exit 3
  chown "$(stat -c %u:%g "$d")" "$n" && touch "$n" || exit 3
  case $3 in _base/*) chmod u+rw,go+r "$n" || exit 3 ;; esac
  identity "$n" >"$w/$2.made" && sync -- "$n" "$w/$2.made" || exit 3
  mv -n -T -- "$n" "$3" && [ ! -e "$n" ] || fail "it came into being meanwhile: $3"
  rmdir "$w/$2.new"
  [ ! -d /sys/fs/selinux ] || ! command -v restorecon >/dev/null || restorecon "$3"
fi
mkdir -p "$w" && touch "$3" && checked "$3" >"$w/$2.copied"
"""
)

#: directory, key, final name
FILE_PROBE = (
    "# whether the file is there\n"
    + _HEAD
    + r"""[ -e "$3" ] || exit 1
[ "$(checked "$3")" = "$(cat "$w/$2.copied" 2>/dev/null)" ]
"""
)

_UNUSED = r"""here=$(printf '%s\n' "$PWD" | sed 's/[][\\*?]/\\&/g')
unused() {
  for p in "$here/$1" "$here/$1/*"; do
    [ -z "$(find /proc/[0-9]*/fd -lname "$p" -print 2>/dev/null | head -n 1)" ] || fail "it is in use by a process: $1"
  done
}
"""

#: directory, key, final name, quarantine: a file that was not there before is moved aside, unless a disk is based on it
FILE_BACK = (
    "# moves one file into quarantine\n"
    + _HEAD
    + _UNUSED
    + r"""[ -e "$3" ] || exit 0
[ "$(identity "$3")" = "$(cat "$w/$2.made" 2>/dev/null)" ] || exit 0
unused "$3"
for f in */disk*; do
  [ ! -f "$f" ] || ! head -c 65536 -- "$f" | grep -aqF -e "/$3" || fail "$f is based on it: $3"
done
mkdir -p "$(dirname -- "$q/$4/$3")" && mv -n -T -- "$3" "$q/$4/$3" && [ ! -e "$3" ]
"""
)

#: directory, key, final name, new disk.info, then for every disk: its name, its format, its base, the format of that,
#: "rebase" where it has to be told so, and the key of the base
PLACE = (
    "# puts the copy in place by one rename\n"
    + _HEAD
    + r"""new=$w/$2.new key=$2 final=$3 info=$4
shift 4
[ -d "$new" ] && [ "$(identity "$new")" = "$(cat "$w/$key.copied")" ] || fail "it was not copied whole: $final"
[ ! -e "$final" ] || fail "it is there already: $final"
while [ $# -gt 0 ]; do
  if [ -n "$3" ]; then
    [ "$(checked "$3" 2>/dev/null)" = "$(cat "$w/$6.copied" 2>/dev/null)" ] && [ -s "$w/$6.copied" ] ||
      fail "its base was not verified on this host: $3"
    [ "$5" != rebase ] || qemu-img rebase -u -f "$2" -F "$4" -b "$3" "$new/$1" || fail "it cannot be told its base: $1"
  fi
  qemu-img info -U -f "$2" "$new/$1" >/dev/null || fail "it cannot be opened: $1"
  shift 6
done
[ -z "$info" ] || { printf '%s\n' "$info" >"$w/$key.info" && cat "$w/$key.info" >"$new/disk.info"; } || exit 3
mode=$(find . -mindepth 1 -maxdepth 1 -type d -name '????????-????-????-????-????????????' -printf '%m\n' | head -n 1)
chown -R -h "$(stat -c %u:%g .)" "$new" && chmod "${mode:-755}" "$new" || exit 3
(cd "$new" && find . -type f -printf '%s %T@ %p\n' | sort) >"$w/$key.listing"
sync -- "$w/$key.listing" "$new"/disk.info 2>/dev/null
mv -n -T -- "$new" "$final" && [ ! -e "$new" ] || fail "it came into being meanwhile: $final"
[ ! -d /sys/fs/selinux ] || ! command -v restorecon >/dev/null || restorecon -R "$final"
"""
)

#: directory, key, final name
PLACE_PROBE = (
    "# whether the copy is in place\n"
    + _HEAD
    + r"""[ -e "$3" ] || [ -L "$3" ] || exit 1
[ "$(identity "$3")" = "$(cat "$w/$2.copied" 2>/dev/null)" ] || {
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
[ "$(identity "$3")" = "$(cat "$w/$2.copied" 2>/dev/null)" ] || fail "it is not what was put there: $3"
unused "$3"
now=$(cd "$3" && find . -type f -printf '%s %T@ %p\n' | sort)
[ "$now" = "$(cat "$w/$2.listing")" ] || fail "it has changed since, somebody uses it: $3"
mkdir -p "$q/$4" && mv -n -T -- "$3" "$q/$4/$3" && [ ! -e "$3" ]
"""
)

#: directory, name, its identity, the youngest time in it, quarantine: an orphan is moved aside
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
mkdir -p "$q/$5" && [ ! -e "$q/$5/$2" ] || fail "it is there already: $q/$5/$2"
mv -n -T -- "$2" "$q/$5/$2" && [ ! -e "$2" ]
"""
)

#: directory, name, its identity, quarantine
ASIDE_PROBE = (
    "# whether it is in quarantine\n"
    + _HEAD
    + r"""[ "$(identity "$q/$4/$2")" != "$3" ] || exit 0
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
mv -n -T -- "$q/$4/$2" "$2" && [ ! -e "$q/$4/$2" ]
"""
)

#: five lines for a shell: list there, prepare here, send there, receive here, done here
RELAY = r"""# copies between two hosts, with checksums on both sides
export LC_ALL=C
fail() { echo "$*" >&2; exit 1; }
say() { echo "$*" >&2; }
t=$(mktemp -d) || exit 3
trap 'rm -rf -- "$t"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
say "reads the source and makes checksums"
eval "$1" >"$t/raw" </dev/null || fail "the source cannot be read whole"
sort "$t/raw" >"$t/there"
[ -s "$t/there" ] || fail "there is nothing at the source"
say "looks what is there, with checksums"
eval "$2" >"$t/raw" </dev/null
code=$?
sort "$t/raw" >"$t/here"
if [ "$code" = 10 ]; then
  cmp -s "$t/there" "$t/here" || fail "the target has another file of this name: nothing was copied"
  so="it was there, with the same checksum"
elif [ "$code" = 0 ]; then
  comm -23 "$t/there" "$t/here" >"$t/missing"
  if [ -s "$t/missing" ]; then
    if grep -qv -e '^[dlL] \.[^\]*$' -e '^[0-9a-f]\{64\}  \.[^\]*$' "$t/missing"; then
      echo all >"$t/names"
    else
      { echo some; sed -n -e 's/^[dl] //p' -e 's/^[0-9a-f]\{64\}  //p' "$t/missing"; } >"$t/names"
    fi
    { eval "$3" <"$t/names"; echo $? >"$t/sent"; } | dd bs=1M iflag=fullblock status=progress | eval "$4" ||
      fail "the target could not take it"
    [ "$(cat "$t/sent")" = 0 ] || fail "the source could not send it"
    say "reads the copy and makes checksums"
    eval "$2" >"$t/raw" </dev/null || fail "the copy cannot be read"
    sort "$t/raw" | cmp -s - "$t/there" || fail "the copy differs from the source"
  fi
else
  fail "the target cannot be prepared"
fi
eval "$5" </dev/null || fail "the copy could not be noted"
say "${so:-it is there, with the same checksums as at the source}"
"""
