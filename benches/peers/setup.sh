#!/usr/bin/env bash
# Puts one peer's needs into the cache folder and prints where they are: `setup.sh python|quix|sql|java`.
# Versions are pinned here and in java/pom.xml; does nothing when the right ones are there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
common=(orjson==3.13.0 onnxruntime==1.31.1 numpy==2.4.6)

case "${1:-}" in
  python) exec "$root/deploy/setup/venv.sh" peers-python confluent-kafka==2.16.1 pyarrow==26.0.1 "${common[@]}" ;;
  quix) exec "$root/deploy/setup/venv.sh" peers-quix quixstreams==3.28.1 "${common[@]}" ;;
  sql) exec "$root/deploy/setup/venv.sh" peers-sql confluent-kafka==2.16.1 duckdb==2.0.0 'psycopg[binary]==3.3.9' ;;
  java) ;;
  *) sed -n '2,3s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

"$root/deploy/setup/tools.sh" test || exit 1
digest=$(cat "$here"/java/pom.xml "$here"/java/src/main/java/*.java | cksum | tr ' ' -)
build=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/peers-java/$digest
if [ ! -f "$build/.complete" ]; then
  rm -rf "$build"
  mkdir -p "$build"
  echo "setup: building the Java peer (fetches about 120 MB the first time)" >&2
  mvn --batch-mode --quiet --file "$here/java/pom.xml" -Dpeer.build="$build" \
    compile dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$build/libs" >&2
  touch "$build/.complete"
fi
echo "$build"
