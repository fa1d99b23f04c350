#!/usr/bin/env bash
# Fits a profile on January and February of 2013, every flight of them, compares each later month with it, and
# prints a table:
# `months.sh TIDEGATE [COLUMN...]` takes the binary's path, and dep_delay and temp unless told otherwise.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tidegate=$1
shift
[ $# -gt 0 ] || set -- dep_delay temp
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# shellcheck disable=SC2046 # one word per requirement is meant
venv=$("$here/../setup/venv.sh" demo $(<"$here/requirements.txt"))
"$venv/bin/python" "$here/make_demo.py" --months "$folder"
"$tidegate" baseline fit "$folder/winter.parquet" --output "$folder/reference.parquet" >&2
echo "| month | column | flights | mean | PSI | D | q of D | W1 / IQR | verdict |"
echo "|---|---|---|---|---|---|---|---|---|"
for month in "$folder"/2013-*.parquet; do
  "$tidegate" drift "$folder/reference.parquet" "$month" --json >"$folder/report.json"
  "$venv/bin/python" - "$folder/report.json" "$(basename "$month" .parquet)" "$@" <<'PYTHON'
import json, sys

report, month, *wanted = sys.argv[1:]
for column in json.load(open(report))["columns"]:
    if column["name"] in wanted:
        now, ks, distance = column["current"], column["ks"]["binned"], column["wasserstein"]["binned"]
        print(
            f"| {month} | {column['name']} | {now['n']:,} | {now['moments']['mean']:.1f} | {column['psi']['corrected']:.3f} "
            f"| {ks['d']:.3f} | {ks['q']:.2g} | {distance['scaled']:.2f} | {column['verdict']} |"
        )
PYTHON
done
