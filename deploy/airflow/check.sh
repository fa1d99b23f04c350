#!/usr/bin/env bash
# Has the real Airflow read the DAG and run it for a day, which scores the demo's flights: `check.sh TIDEGATE` takes the
# binary's path. Fetches Airflow into the cache folder (300 MB).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
demo=$(dirname "$here")/demo
venv=$("$here/../setup/venv.sh" airflow apache-airflow==3.3.2 apache-airflow-providers-standard==1.21.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
day=2026-03-14

mkdir "$folder/bin" "$folder/dags" "$folder/in"
ln -s "$(realpath "$1")" "$folder/bin/tidegate"
ln -s "$demo/flights.parquet" "$folder/in/$day.parquet"
cat >"$folder/tidegate.toml" <<TOML
[input]
topic = "flights"
[output]
topic = "flights-scored"
[dead_letters]
topic = "flights-dead"
[contract]
file = "$demo/contract.toml"
[model]
repository = "$demo/models"
name = "flight-delay"
version = "1"
[[jobs]]
name = "nightly"
cron = "30 2 * * *"
input = "in/{date}.parquet"
output = "out/{date}"
TOML
sed "s|/etc/tidegate/tidegate.toml|$folder/tidegate.toml|" "$here/tidegate_jobs.py" >"$folder/dags/tidegate_jobs.py"

export PATH=$folder/bin:$venv/bin:$PATH
export AIRFLOW_HOME=$folder AIRFLOW__CORE__DAGS_FOLDER=$folder/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
airflow_does() { # what, then words of the command
  "$venv/bin/airflow" "${@:2}" >"$folder/log" 2>&1 || { cat "$folder/log"; echo "airflow: $1 failed" >&2; exit 1; }
}
airflow_does "its database" db migrate
airflow_does "reading the DAG" dags reserialize
"$venv/bin/airflow" dags list-import-errors --output json | grep -qx '\[\]' || {
  "$venv/bin/airflow" dags list-import-errors
  exit 1
}
airflow_does "the run" dags test tidegate_nightly "${day}T12:00:00+00:00"
[ -f "$folder/out/$day/_SUCCESS" ] || { cat "$folder/log"; echo "no $folder/out/$day/_SUCCESS" >&2; exit 1; }
tidegate jobs history --config "$folder/tidegate.toml"
