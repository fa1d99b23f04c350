#!/usr/bin/env bash
# Checks the tools a make target needs: `tools.sh build|test`. One line for each missing one,
# saying what it is for and how to get it; exit 1 when any is missing.
set -uo pipefail

missing=0
need() { # command, what for, how to get it
  command -v "$1" >/dev/null 2>&1 && return 0
  echo "missing: $1 ($2): $3" >&2
  missing=1
  return 1
}

system() { # Debian's package, Fedora's, Homebrew's
  if command -v apt-get >/dev/null; then echo "apt-get install $1"
  elif command -v dnf >/dev/null; then echo "dnf install $2"
  elif command -v brew >/dev/null; then echo "brew install $3"
  else echo "install the package $1 of your system"; fi
}

if need cargo "builds Tidegate" "install Rust stable, 1.94 or newer, by rustup (rust-lang.org/tools/install)"; then
  if ! cargo --version | awk '{ split($2, v, "."); exit !(v[1] > 1 || v[2] >= 94) }'; then
    echo "too old: $(cargo --version), 1.94 or newer is needed: rustup update stable" >&2
    missing=1
  fi
fi
need cc "links, and builds librdkafka" "$(system build-essential gcc xcode-select)"
need c++ "builds librdkafka" "$(system build-essential gcc-c++ xcode-select)"
need make "builds librdkafka and OpenSSL" "$(system make make make)"
need perl "configures the vendored OpenSSL" "$(system perl perl perl)"
if need python3 "fetches ONNX Runtime's wheel" "$(system python3 python3 python3)"; then
  if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "missing: pip (fetches ONNX Runtime's wheel): $(system python3-pip python3-pip python3)" >&2
    missing=1
  fi
fi

if [ "${1:-build}" = test ]; then
  java_hint="$(system openjdk-17-jre-headless java-17-openjdk-headless openjdk@17)"
  if need java "runs the tests' Apache Kafka" "$java_hint"; then
    major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1)
    if [ "${major:-0}" -lt 17 ]; then
      echo "too old: java ${major:-of unknown version}, Apache Kafka 4 needs 17 or newer: $java_hint" >&2
      missing=1
    fi
  fi
  # The tests that need it say SKIPPED without it; under CI=true they would fail, minutes later.
  if ! command -v alertmanager >/dev/null 2>&1 && [ "${CI:-}" = true ]; then
    need prometheus-alertmanager "receives alerts in tests" \
      "$(system prometheus-alertmanager golang-github-prometheus-alertmanager alertmanager)"
  fi
  if [ "${CI:-}" = true ]; then
    need psql "asks the SQL server in tests" "$(system postgresql-client postgresql libpq)"
  fi
  need mvn "fetches the tests' Apache Kafka" "$(system maven maven maven)"
fi
exit $missing
