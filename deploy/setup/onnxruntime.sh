#!/usr/bin/env bash
# Puts the pinned ONNX Runtime library into the cache folder and prints its path.
# Takes the one library file out of the PyPI wheel and checks its SHA-256; does nothing when the
# right file is there. The host's own Python version does not matter: the wheel is never installed.
set -euo pipefail

version=1.31.1
if [ -n "${TIDEGATE_ORT_LIB:-}" ]; then
  [ -f "$TIDEGATE_ORT_LIB" ] || { echo "setup-ort: TIDEGATE_ORT_LIB=$TIDEGATE_ORT_LIB is not a file: unset it or point it at libonnxruntime" >&2; exit 1; }
  echo "$TIDEGATE_ORT_LIB"
  exit 0
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    platform=manylinux_2_28_x86_64 library=libonnxruntime.so.$version
    sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3 ;;
  Linux-aarch64 | Linux-arm64)
    platform=manylinux_2_28_aarch64 library=libonnxruntime.so.$version
    sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467 ;;
  Darwin-arm64)
    platform=macosx_14_0_arm64 library=libonnxruntime.$version.dylib
    sha256=f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e ;;
  *)
    echo "setup-ort: no ONNX Runtime $version wheel for $(uname -s) $(uname -m): set TIDEGATE_ORT_LIB to a libonnxruntime >= 1.24 of your own" >&2
    exit 1 ;;
esac

folder=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/onnxruntime/$version
target=$folder/$library

digest() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

if [ -f "$target" ] && [ "$(digest "$target")" = "$sha256" ]; then
  echo "$target"
  exit 0
fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/.download.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "setup-ort: fetching onnxruntime $version for $platform (about 24 MB)" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --implementation cp --python-version 3.11 --abi cp311 --platform "$platform" \
  --dest "$work" "onnxruntime==$version" >&2
python3 - "$work" "onnxruntime/capi/$library" "$work/$library" <<'PY'
import pathlib, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
wheel = next(pathlib.Path(folder).glob("*.whl"))
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "wb") as out:
    shutil.copyfileobj(source, out)
PY
have=$(digest "$work/$library")
if [ "$have" != "$sha256" ]; then
  echo "setup-ort: $library has SHA-256 $have, expected $sha256: the download is not the pinned wheel; try again or set TIDEGATE_ORT_LIB" >&2
  exit 1
fi
mv -f "$work/$library" "$target"
echo "$target"
