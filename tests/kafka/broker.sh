#!/usr/bin/env bash
# One Apache Kafka node (KRaft) on loopback, for tests and benchmarks.
#
#   broker.sh start DIR [PORT]   format DIR if new, start, wait until it answers, print host:port
#   broker.sh stop DIR           SIGTERM, then SIGKILL after 20 s
#   broker.sh kill DIR           SIGKILL
#   broker.sh restart DIR        stop and start: same port, same data
#
# With TIDEGATE_BROKER_ADVERTISED=PORT, clients are sent to that port (a proxy's) instead of its own.
# DIR/broker.pid and DIR/broker.log are what the names say. With TIDEGATE_BROKER_PARENT=PID the
# broker is killed when that process has ended, however it ended.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ready_seconds=60

usage() { sed -n '4,7s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
properties=$dir/server.properties

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the ephemeral range: a client that keeps knocking on an ephemeral port while the broker
# is down may be given that very port as its own, and then talks to itself.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    listens "$port" || { echo "$port"; return; }
  done
  echo "broker: no free port between 20000 and 30000" >&2
  exit 1
}

port() { sed -n 's/^listeners=PLAINTEXT:[^,]*:\([0-9]*\),.*/\1/p' "$properties"; }

# The pid of the node in this folder, if it runs; a recycled pid does not count.
running() {
  local pid
  pid=$(cat "$dir/broker.pid" 2>/dev/null) || return 1
  case "$(ps -p "$pid" -o args= 2>/dev/null)" in *"$properties"*) echo "$pid" ;; *) return 1 ;; esac
}

# Metadata request v1 without topics: ready when the answer names at least one broker.
answers() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf '\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0' >&3
    brokers=$(timeout 2 head -c 12 <&3 | od -An -tu1 | awk '{ print $12 }')
    [ "${brokers:-0}" -ge 1 ]
  ) 2>/dev/null
}

java_17() {
  local major
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1) || true
  [ "${major:-0}" -ge 17 ] || { echo "broker: Apache Kafka 4 needs Java 17 or newer on PATH, found ${major:-none}" >&2; exit 1; }
}

write_properties() {
  local port=$1 controller
  controller=$port
  until [ "$controller" != "$port" ]; do controller=$(free_port); done
  sed -e "s|@PORT@|$port|g" -e "s|@ADVERTISED@|${TIDEGATE_BROKER_ADVERTISED:-$port}|g" -e "s|@CONTROLLER@|$controller|g" -e "s|@DATA@|$dir/data|g" \
    "$here/server.properties" >"$properties"
}

start() {
  java_17
  local libs jvm
  libs=$("$here/setup.sh")
  jvm=(java -cp "$libs/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS)
  if running >/dev/null; then echo "broker: already running in $dir" >&2; exit 1; fi
  [ -f "$properties" ] || write_properties "${1:-$(free_port)}"
  local port pid
  port=$(port)
  if listens "$port"; then echo "broker: port $port is in use" >&2; exit 1; fi
  if [ ! -f "$dir/data/meta.properties" ]; then
    # 16 random bytes, base64 for URLs, not beginning with a dash: what a cluster id is.
    cluster=$(head -c 64 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 21)A
    "${jvm[@]}" -Xmx128m -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format \
      --cluster-id "$cluster" --config "$properties" >"$dir/format.log" 2>&1 ||
      { cat "$dir/format.log" >&2; exit 1; }
  fi
  "${jvm[@]}" -Xms256m -Xmx768m -XX:+UseParallelGC -XX:-UsePerfData \
    kafka.Kafka "$properties" >>"$dir/broker.log" 2>&1 </dev/null 3>&- &
  pid=$!
  disown
  echo "$pid" >"$dir/broker.pid"
  if [ -n "${TIDEGATE_BROKER_PARENT:-}" ]; then
    (while kill -0 "$TIDEGATE_BROKER_PARENT" && kill -0 "$pid"; do sleep 1; done; kill -9 "$pid") \
      >/dev/null 2>&1 </dev/null &
    disown
  fi
  for _ in $(seq $((ready_seconds * 10))); do
    if answers "$port"; then echo "127.0.0.1:$port"; return; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "broker: not ready within $ready_seconds s; the end of $dir/broker.log:" >&2
  tail -n 20 "$dir/broker.log" >&2
  kill -9 "$pid" 2>/dev/null || true
  exit 1
}

stop() {
  local pid
  pid=$(running) || return 0
  kill "$pid"
  for _ in $(seq 200); do
    running >/dev/null || { rm -f "$dir/broker.pid"; return; }
    sleep 0.1
  done
  killed
}

killed() {
  local pid
  pid=$(running) || return 0
  kill -9 "$pid"
  # Its first thread is gone before its sockets are.
  while running >/dev/null || listens "$(port)"; do sleep 0.05; done
  rm -f "$dir/broker.pid"
}

case "$command" in
  start) start "${3:-}" ;;
  stop) stop ;;
  kill) killed ;;
  restart) stop; start ;;
  *) usage ;;
esac
