#!/usr/bin/env bash
# A virtual environment with the programs that read the Parquet folder in the tests: DuckDB,
# Polars, pandas, pyarrow. Prints its path; made again when the list of pins has changed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/readers
if cmp -s "$here/readers.txt" "$venv/readers.txt"; then
  echo "$venv"
  exit 0
fi

rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
python3 -m venv "$venv" || {
  echo "setup-readers: python3 -m venv failed: on Debian, apt-get install python3-venv" >&2
  exit 1
}
echo "setup-readers: fetching $(tr '\n' ' ' <"$here/readers.txt")" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/readers.txt" >&2
cp "$here/readers.txt" "$venv/readers.txt"
echo "$venv"
