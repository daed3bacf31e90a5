#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: packaging/virtualenv.sh STAGE PREFIX [EXTRA...]
#
# Makes a virtual environment in STAGE/PREFIX that is used as PREFIX: stackmend, the extras, and exactly the versions
# of uv.lock, each with its hash. Nothing in it says where it was made. UV: the program uv; PYTHON: the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

stage=$1 prefix=$2
shift 2
place=$stage$prefix
python=${PYTHON:-/usr/bin/python3}
uv=${UV:-.uv/tool/bin/uv}
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_PYTHON_DOWNLOADS=never

"$python" -m venv --without-pip "$place"
requirements=$place/requirements.txt
"$uv" export --quiet --frozen --no-default-groups --no-editable "${@/#/--extra=}" --output-file "$requirements"
"$uv" pip sync --quiet --link-mode copy --python "$place/bin/python" "$requirements"
rm "$requirements"

# where it was made, and when
find "$place" \( -name direct_url.json -o -name uv_cache.json \) -delete
find "$place" -path '*.dist-info/RECORD' -exec sed -i '/\/direct_url\.json,\|\/uv_cache\.json,/d' {} +
find "$place/bin" -type f -exec grep -IlFZ "$place" {} + | xargs -0r sed -i "s|$place|$prefix|g"
sed -i "/^command = /d" "$place/pyvenv.cfg"
# compiled once: nobody has to write there, and a removal leaves nothing behind
find "$place" -name __pycache__ -type d -prune -exec rm -rf {} +
"$python" -m compileall -q -j 0 -s "$stage" -p / --invalidation-mode unchecked-hash "$place/lib"
chmod -R u+rwX,go+rX,go-w "$place"
if grep -rIlF "$stage" "$place" | head -n 5 | grep .; then
    echo "error: these files name $stage" >&2
    exit 1
fi
