#!/usr/bin/env bash
# Makes the pictures of this folder again and holds every page against axe:
#   pictures.sh TIDEGATE [FOLDER]
# TIDEGATE is the built binary. Six weeks of real flights go through a model on a real Kafka, with labels that
# come late, partly or not at all; FOLDER keeps that, so that a second run only looks. Needs Chromium, Node.js
# and what the tests' Kafka needs. Ends with 1 when axe finds something or a page is wider than its window.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
[ $# -ge 1 ] || { sed -n '3p' "${BASH_SOURCE[0]}" >&2; exit 2; }
tidegate=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate
for tool in chromium node npm; do
  command -v "$tool" >/dev/null || { echo "pictures: $tool is missing: apt-get install chromium nodejs npm" >&2; exit 1; }
done

work=$(mktemp -d)
data=${2:-$work/data}
mkdir -p "$data"
data=$(cd "$data" && pwd)
started=()
finish() {
  [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
  [ ! -d "$work/kafka" ] || "$root/tests/kafka/broker.sh" kill "$work/kafka"
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# What every command is told; the receiver of alerts says where it listens.
listen=127.0.0.1:9474
receiver=127.0.0.1:9475
settings=(
  --config "$root/deploy/demo/tidegate.toml"
  --set model.name=flight-late --set "archive.directory=$data/archive" --set "alerts.state=$data/alerts.db"
  --set input.topic=flights-pictures --set labels.topic=flights-landed --set labels.label=late
  --set labels.time=known_at --set labels.ttl_seconds=172800 --set labels.baseline.accuracy=0.92
  --set monitor.window_seconds=86400 --set monitor.slide_seconds=86400 --set monitor.previous_seconds=604800
  --set "monitor.reference=$data/reference.parquet" --set "server.listen=$listen"
  --set "alerts.http.allow_private=[\"127.0.0.1\"]" --set alerts.retraining.min_rows=500
  --set "routes=[{name=\"on-call\",kind=\"webhook\",url=\"http://$receiver/\",events=[\"alerts\",\"retraining\"],secrets=[\"whsec_cGljdHVyZXM6IG5vdGhpbmcgc2VjcmV0IGhlcmU=\"]}]"
)

if [ ! -e "$data/made" ]; then
  # shellcheck disable=SC2046 # one word per requirement is meant
  venv=$("$here/../setup/venv.sh" demo $(<"$here/../demo/requirements.txt"))
  "$venv/bin/python" "$here/pictures/flights.py" "$data"
  "$tidegate" score "${settings[@]:0:4}" "$data/before.parquet" "$data/scored"
  "$tidegate" baseline fit "$data/scored/results" --contract "$here/../demo/contract.toml" --chunk-rows 900 \
    --columns carrier,origin,weekday,sched_dep,dep_delay,distance,temp,wind,visib,prediction_late_probability \
    --force --output "$data/reference.parquet"
  broker=$("$root/tests/kafka/broker.sh" start "$work/kafka")
  for topic in flights-pictures flights-landed; do
    "$tidegate" produce --brokers "$broker" "$topic" "$data/$topic.jsonl" --create 1
  done
  "$tidegate" run "${settings[@]}" --set "kafka.brokers=$broker" --only score,archive --set server.listen= &
  hops=$!
  started+=("$hops")
  "$tidegate" verify "${settings[@]}" --set "kafka.brokers=$broker" --wait 120
  kill "$hops"
  wait "$hops"
  started=()
  touch "$data/made"
fi

node=$cache/node/pictures
if [ ! -d "$node/node_modules/axe-core" ]; then
  mkdir -p "$node"
  npm install --silent --no-audit --no-fund --prefix "$node" puppeteer-core@24 axe-core@4
fi
node "$here/pictures/receiver.mjs" "${receiver#*:}" &
started+=($!)
"$tidegate" run "${settings[@]}" --only monitor 2>"$data/monitor.log" &
started+=($!)
NODE_PATH=$node/node_modules node "$here/pictures/look.cjs" "http://$listen" "$here"
