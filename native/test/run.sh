#!/usr/bin/env bash
# Builds the C++ tests with sanitizers, directly and without Node.js, and runs them.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# -fno-builtin: GCC expands small memcpy and memcmp calls after the sanitizers have looked, and those would go unseen.
flags=(-std=c++20 -O1 -g -fno-builtin -Wall -Wextra -Werror)

sources=("$here/../init_kernel.cc" "$here/../store_paths.cc" "$here/../durability.cc")

build() { # NAME SOURCE FLAG…
  "${CXX:-g++}" "${flags[@]}" "${@:3}" "$here/$2" "${sources[@]}" -o "$out/$1"
}

build init_kernel init_kernel_test.cc -fsanitize=address,undefined -fno-sanitize-recover=all
"$out/init_kernel"

# -Wno-tsan: GCC warns that the thread sanitizer does not understand the fence in fill; the test does not rely on it.
build publish publish_test.cc -fsanitize=thread -Wno-tsan
"$out/publish"

build publish_relaxed publish_test.cc -fsanitize=thread -Wno-tsan -DVMEMMAP_PUBLISH_ORDER=relaxed
if "$out/publish_relaxed" >"$out/log" 2>&1 || ! grep -q 'data race' "$out/log"; then
  echo 'publish_test: the thread sanitizer does not see a publication without order' >&2
  exit 1
fi
echo 'publish_test: without order the sanitizer finds the race, as it must'

build flush_order flush_order_test.cc -fsanitize=address,undefined -fno-sanitize-recover=all -DVMEMMAP_RECORD
"$out/flush_order"

build flush_order_no_fence flush_order_test.cc -fsanitize=address,undefined -fno-sanitize-recover=all \
  -DVMEMMAP_RECORD -DVMEMMAP_RECORD_NO_FENCE
if "$out/flush_order_no_fence" >"$out/log" 2>&1 || ! grep -q 'no fence behind' "$out/log"; then
  echo 'flush_order_test: a missing fence is not seen' >&2
  exit 1
fi
echo 'flush_order_test: without fences it fails, as it must'
