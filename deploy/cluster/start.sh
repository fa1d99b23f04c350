#!/usr/bin/env bash
# Starts a scheduler and two executors on this machine, on loopback, until it is stopped (Ctrl-C, SIGTERM):
#
#   deploy/cluster/start.sh MODELS [ARGUMENT-OF-EXECUTOR...]
#   tidegate score IN OUT --cluster df://127.0.0.1:50050
#
# TIDEGATE names the binary, TIDEGATE_CLUSTER_PORTS the three ports ("50050 50051 50052").
# It ends, and ends the others, when one of them does so by itself.
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: deploy/cluster/start.sh MODELS [ARGUMENT-OF-EXECUTOR...]" >&2
  exit 2
fi
models=$1
shift
tidegate=${TIDEGATE:-tidegate}
read -r port first second <<<"${TIDEGATE_CLUSTER_PORTS:-50050 50051 50052}"

pids=()
stop() {
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 0' INT TERM

start() {
  local name=$1
  shift
  "$tidegate" "$@" &
  pids+=($!)
  echo "$name: pid $!"
}

start scheduler scheduler --listen "127.0.0.1:$port"
for listen in "$first" "$second"; do
  start "executor $listen" executor --models "$models" --scheduler "127.0.0.1:$port" \
    --listen "127.0.0.1:$listen" "$@"
done
echo "score with --cluster df://127.0.0.1:$port"
wait -n || true
echo "one of them has ended by itself; ending the others" >&2
false
