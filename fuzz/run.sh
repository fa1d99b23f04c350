#!/usr/bin/env bash
# Runs the fuzz targets, each for so many seconds; what they find is written to fuzz/found/ and fails.
#
#   fuzz/run.sh [SECONDS] [TARGET...]     30 seconds, all targets
#
# Needs nothing but stable Rust and a C++ compiler: the coverage counters come from rustc itself.
# Inputs that reached something new are kept in the cache folder and are where the next run begins.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-30}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config contract decode descriptor footer graph results)

target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/target}
cache=$target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# As cargo-fuzz builds, without a sanitizer: those need a nightly compiler.
counters=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1)

# The configuration is the root package's, which stands on everything: only its own code gets counters, and with
# --workspace the rest has the features of every other build, so that it is there already.
if [[ " ${targets[*]} " == *" config "* ]]; then
  mkdir -p "$cache"
  cat >"$cache/rustc.new" <<SH
#!/bin/sh
case " \$* " in
*" --crate-name fuzz_config "*) exec "\$@" ${counters[*]} -Cdebug-assertions -Coverflow-checks ;;
*) exec "\$@" ;;
esac
SH
  # Cargo does not know what the wrapper adds.
  if ! cmp -s "$cache/rustc.new" "$cache/rustc"; then
    rm -f "$target"/release/deps/fuzz_config-*
    mv "$cache/rustc.new" "$cache/rustc"
    chmod +x "$cache/rustc"
  fi
  CARGO_TARGET_DIR=$target RUSTC_WRAPPER=$cache/rustc cargo build --manifest-path ../Cargo.toml --release --locked \
    --workspace --features tidegate/fuzzing --example fuzz-config
fi
# With --target the flags are not for build scripts.
CARGO_TARGET_DIR=$cache RUSTFLAGS="${counters[*]}" cargo build --release --locked --target "$host"

mkdir -p found
failed=0
for name in "${targets[@]}"; do
  corpus=$cache/corpus/$name
  mkdir -p "$corpus"
  binary=$cache/$host/release/$name
  case $name in
    config)
      seeds=(../deploy/demo/tidegate.toml ../src/config/default.toml seeds/config/*)
      binary=$target/release/examples/fuzz-config
      ;;
    contract) seeds=(../deploy/demo/contract.toml) ;;
    descriptor) seeds=(../deploy/demo/models/flight-late/1/model.toml) ;;
    graph) seeds=(../deploy/demo/models/flight-delay/1/model.onnx) ;;
    *) seeds=(seeds/"$name"/*) ;;
  esac
  cp -f "${seeds[@]}" "$corpus/"
  if ! "$binary" "$corpus" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -max_len=16384 -artifact_prefix="found/$name-" -verbosity=0 -print_final_stats=1 \
    >"$cache/$name.log" 2>&1; then
    tail -40 "$cache/$name.log"
    failed=1
  fi
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$cache/$name.log") runs," \
    "$(find "$corpus" -type f | wc -l) inputs in the corpus"
done
exit $failed
