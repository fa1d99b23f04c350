#!/usr/bin/env bash
# The statistics of drift beside a plain loop, scouter-ml and Evidently, on the same doubles, in one run.
# `run.sh [ROWS] [COLUMNS]`; build the example first: cargo build --release --workspace --examples.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/target}
rows=${1:-1000000} columns=${2:-20}
# shellcheck disable=SC2046 # one word per requirement is meant
venv=$("$here/../../../deploy/setup/venv.sh" peers-drift $(<"$here/requirements.txt"))
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
"$target/release/examples/drift_rate" "$rows" "$columns" "$data"
"$venv/bin/python" "$here/peers.py" "$data" "$columns"
