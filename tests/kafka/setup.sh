#!/usr/bin/env bash
# Puts Apache Kafka's jars into the cache folder and prints that folder.
# The version is the pom's; does nothing when they are there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<\/version>.*/\1/p;}' "$here/pom.xml")
libs=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/kafka/$version
if [ -f "$libs/.complete" ]; then
  echo "$libs"
  exit 0
fi

"$here/../../deploy/setup/tools.sh" test || exit 1
mkdir -p "$(dirname "$libs")"
work=$(mktemp -d "$libs.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "setup-kafka: fetching Apache Kafka $version (about 60 MB)" >&2
mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$work" >&2
[ -f "$work/kafka_2.13-$version.jar" ] || { echo "setup-kafka: Maven did not deliver kafka_2.13-$version.jar: run it again without --quiet to see why" >&2; exit 1; }
touch "$work/.complete"
rm -rf "$libs"
mv "$work" "$libs"
trap - EXIT
echo "$libs"
