#!/usr/bin/env bash
# Fits reference.parquet, what the demo's monitor takes for usual: the model's columns and its predictions
# over flights of January and February. `reference.sh TIDEGATE` takes the binary's path.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tidegate=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# shellcheck disable=SC2046 # one word per requirement is meant
venv=$("$here/../setup/venv.sh" demo $(<"$here/requirements.txt"))
"$venv/bin/python" "$here/make_demo.py" --winter "$folder/winter.parquet"
"$tidegate" score --config "$here/tidegate.toml" "$folder/winter.parquet" "$folder/scored"
# As many rows a chunk as a window of the demo has.
"$tidegate" baseline fit "$folder/scored/results" --contract "$here/contract.toml" --force \
  --columns weekday,sched_dep,sched_arr,dep_delay,distance,temp,wind,visib,prediction_arr_delay \
  --chunk-rows 600 --output "$here/reference.parquet"
