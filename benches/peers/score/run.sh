#!/usr/bin/env bash
# Batch scoring beside a loop by hand and one in Python, on the same files, one after the other.
# `run.sh [FILES] [COPIES] [THREADS] [MODEL]`; build first: cargo build --release --workspace --examples.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../..
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/target}
files=${1:-8} copies=${2:-52} threads=${3:-2} model=${4:-flight-delay}
TIDEGATE_ORT_LIB=${TIDEGATE_ORT_LIB:-$("$root/deploy/setup/onnxruntime.sh")}
export TIDEGATE_ORT_LIB

venv=$("$here/../setup.sh" python)
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
"$target/release/examples/score_rate" "$files" "$copies" "$threads" "$model" "$data/in"
"$venv/bin/python" "$here/peer.py" "$data/in" "$root/deploy/demo/models/$model/1" "$threads"
