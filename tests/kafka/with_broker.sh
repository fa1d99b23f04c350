#!/usr/bin/env bash
# Runs a command beside a fresh broker: `with_broker.sh COMMAND...` sees its address in
# TIDEGATE_TEST_KAFKA. The broker ends with the command, whatever its outcome.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-kafka.XXXXXX")
finish() { "$here/broker.sh" kill "$dir"; rm -rf "$dir"; }
trap finish EXIT
trap 'exit 130' INT TERM

TIDEGATE_TEST_KAFKA=$(TIDEGATE_BROKER_PARENT=$$ "$here/broker.sh" start "$dir")
export TIDEGATE_TEST_KAFKA
"$@"
