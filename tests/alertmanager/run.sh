#!/usr/bin/env bash
# A real Alertmanager on loopback, in the foreground, with its data in DIR: `run.sh DIR PORT`.
# It talks to no peer and to no receiver. Exit code 69 when it is not installed.
set -euo pipefail

[ $# -eq 2 ] || { sed -n '2,3s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
program=$(command -v prometheus-alertmanager || command -v alertmanager) || {
  echo "alertmanager is not installed: apt-get install prometheus-alertmanager" >&2
  exit 69
}
mkdir -p "$1"
cat >"$1/alertmanager.yml" <<'YAML'
route:
  receiver: nobody
receivers:
  - name: nobody
YAML
exec "$program" --config.file="$1/alertmanager.yml" --storage.path="$1/data" \
  --web.listen-address="127.0.0.1:$2" --cluster.listen-address=
