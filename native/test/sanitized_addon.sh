#!/usr/bin/env bash
# Builds the addon with the address sanitizer, in which a store into memory that was given back ends the process, and runs with
# it the tests in which ranges come and go under load. The project is built already.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

headers=$(cd "$root" && node --input-type=module --eval \
  "import { findHeaders } from './.setup/tools.mjs'; process.stdout.write(findHeaders() ?? '')")
if [ -z "$headers" ]; then
  echo 'sanitized addon: the headers of Node.js are missing' >&2
  exit 1
fi

# What node-gyp-build finds when VMEMMAP_PREBUILD names this folder.
mkdir -p "$out/build/Release"
"${CXX:-g++}" -shared -fPIC -std=c++20 -O1 -g -fsanitize=address -fno-omit-frame-pointer -fno-exceptions -fno-rtti \
  -fvisibility=hidden -DNAPI_VERSION=9 -I"$headers/include/node" -I"$headers/src" "$here"/../*.cc \
  -o "$out/build/Release/vmemmap.node"

# Node.js itself is not built with it: the library has to come first, and V8's own leaks are not ours.
LD_PRELOAD=$("${CXX:-g++}" -print-file-name=libasan.so)
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 VMEMMAP_PREBUILD=$out

late_store="
  const addon = require('$out/build/Release/vmemmap.node');
  const words = new Uint32Array(new SharedArrayBuffer(2 ** 20));
  const pattern = new Uint32Array(32).fill(7);
  addon.fill(words, 0, 1000, pattern, 0, 0);
  addon.discard(words);
  if (process.argv[1] === 'reused') addon.reuse(words);
  addon.fill(words, 0, 1000, pattern, 0, 0);
"
node --eval "$late_store" reused
if node --eval "$late_store" late >"$out/log" 2>&1 || ! grep -q 'use-after-poison' "$out/log"; then
  echo 'sanitized addon: a store into memory that was given back is not seen' >&2
  cat "$out/log" >&2
  exit 1
fi
echo 'sanitized addon: a store into memory that was given back ends the process, as it must'

cd "$root"
node node_modules/vitest/vitest.mjs run "$@"
