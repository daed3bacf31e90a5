#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: packaging/debian/build.sh [FOLDER]   (make deb)
#
# Builds FOLDER/stackmend_VERSION_ARCH.deb (default: dist) with dpkg-deb alone: a virtual environment below /opt/venvs,
# for the python3 of the Debian or Ubuntu on which this runs. Needs make docs' environment, uv (scripts/setup.sh docs)
# and docs/_build/man. EXTRAS: of pyproject.toml, default "postgresql lab".
set -euo pipefail
cd "$(dirname "$0")/../.."

NAME=stackmend PREFIX=/opt/venvs/stackmend
out=${1:-dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
read -r -a extras <<<"${EXTRAS-postgresql lab}"
version=$(python3 -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
arch=$(dpkg --print-architecture)
minor=$(/usr/bin/python3 -c 'import sys; print(sys.version_info.minor)')
# what was built of the same commit has the same times
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

umask 022
mkdir -p "$root$PREFIX" "$out"
packaging/virtualenv.sh "$root" "$PREFIX" "${extras[@]}"

run() {
    PYTHONDONTWRITEBYTECODE=1 STACKMEND_STATE=/var/lib/stackmend "$root$PREFIX/bin/python" -m stackmend "$@"
}
put() {
    install -D -m "$1" "$2" "$root$3"
}

put 755 packaging/debian/stackmend.sh /usr/bin/stackmend
for page in docs/_build/man/*.[1-8]; do
    mkdir -p "$root/usr/share/man/man${page##*.}"
    gzip -9n <"$page" >"$root/usr/share/man/man${page##*.}/${page##*/}.gz"
done
for shell in bash:bash-completion/completions/stackmend zsh:zsh/vendor-completions/_stackmend \
    fish:fish/vendor_completions.d/stackmend.fish; do
    mkdir -p "$root/usr/share/$(dirname "${shell#*:}")"
    run complete "${shell%%:*}" >"$root/usr/share/${shell#*:}"
done
mkdir -p "$work/units" "$root/lib/systemd/system"
# any database will do: the package's program finds the configuration by itself
printf '[databases]\nnova_api = "sqlite:///nothing"\n' >"$work/units/any.toml"
chmod 600 "$work/units/any.toml"
run --config "$work/units/any.toml" config systemd --out "$work/units" 2>/dev/null
sed -i "s|^ExecStart=.*|ExecStart=/usr/bin/stackmend audit --nice|; /^Environment=/d" "$work"/units/*.service
for unit in "$work"/units/stackmend-audit.*; do
    put 644 "$unit" "/lib/systemd/system/${unit##*/}"
done
install -d -m 750 "$root/etc/stackmend"
install -d -m 700 "$root/var/lib/stackmend"
put 644 README.md "/usr/share/doc/$NAME/README.md"
put 644 packaging/debian/copyright "/usr/share/doc/$NAME/copyright"
put 644 packaging/debian/README.Debian "/usr/share/doc/$NAME/README.Debian"
printf '%s (%s) unstable; urgency=medium\n\n  * See https://pypi.org/project/stackmend/ and the release notes.\n\n -- %s  %s\n' \
    "$NAME" "$version" "The stackmend developers <stackmend@localhost>" "$(date -uRd "@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$root/usr/share/doc/$NAME/changelog.gz"

mkdir "$root/DEBIAN"
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$(du -sk --apparent-size "$root" | cut -f 1)/; s/@MINOR@/$minor/; s/@NEXT@/$((minor + 1))/" \
    packaging/debian/control.in >"$root/DEBIAN/control"
for script in prerm postrm postinst; do
    install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/md5sums" "$root/DEBIAN/control"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zzstd --build "$root" "$out/${NAME}_${version}_${arch}.deb"
