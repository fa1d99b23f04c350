#!/usr/bin/env bash
# Writes flights for load tests into the cache folder and prints the path.
# `year.sh` writes the year once; arguments go to make_demo.py: `--rows 1000000 --json`.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2046 # one word per requirement is meant
venv=$("$here/../setup/venv.sh" demo $(<"$here/requirements.txt"))
exec "$venv/bin/python" "$here/make_demo.py" --year "${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/flights" "$@"
