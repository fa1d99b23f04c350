#!/usr/bin/env bash
# A Python virtual environment in the cache folder: `venv.sh NAME REQUIREMENT...` prints its path.
# Made again when the requirements have changed.
set -euo pipefail

name=$1
shift
venv=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/python/$name
if [ "$(cat "$venv/requirements" 2>/dev/null)" = "$*" ]; then
  echo "$venv"
  exit 0
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup: $(python3 --version) is too old for $*: put Python 3.11 or newer first on PATH" >&2
  exit 1
}
rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
python3 -m venv "$venv" || {
  echo "setup: python3 -m venv failed: on Debian, apt-get install python3-venv" >&2
  exit 1
}
echo "setup: fetching $* into $venv" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
echo "$*" >"$venv/requirements"
echo "$venv"
