// The loops behind fill, check and firstDifference.
#include "init_kernel.h"

#include <atomic>
#include <bit>
#include <cstring>

#include "page_descriptor.h"
#include "store_paths.h"

namespace vmemmap {
namespace {

// Lanes are copied as they lie in memory, and the layout is little-endian.
static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(Lanes) == kDescriptorSizeBytes);

void add(Lanes& lanes, const Lanes& step) noexcept {
  for (std::size_t lane = 0; lane < lanes.size(); lane++) lanes[lane] += step[lane];
}

// The multiplication is done once; from here on each descriptor is the one before plus the step, which is the same
// modulo 2^64.
Lanes lanes_at(const Pattern& pattern, std::uint64_t index) noexcept {
  Lanes lanes = pattern.first;
  for (std::size_t lane = 0; lane < lanes.size(); lane++) lanes[lane] += pattern.step[lane] * index;
  return lanes;
}

// Calls `differs(k)` for each descriptor that differs, until it returns false. One loop for all patterns: reading
// memory takes longer than adding zeros.
template <typename Differs>
void for_each_difference(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                         std::uint64_t first_index, Differs differs) noexcept {
  Lanes lanes = lanes_at(pattern, first_index);
  for (std::uint64_t k = 0; k < count; k++, source += kDescriptorSizeBytes) {
    if (std::memcmp(source, lanes.data(), kDescriptorSizeBytes) != 0 && !differs(k)) return;
    add(lanes, pattern.step);
  }
}

}  // namespace

void fill(std::byte* target, std::uint64_t count, const Pattern& pattern, std::uint64_t first_index,
          const StorePath& path) noexcept {
  path.fill(target, count, lanes_at(pattern, first_index), pattern.step);
  // Pairs with the Atomics.store or Atomics.compareExchange by which JavaScript publishes this chunk, next on this
  // thread, and through it with the Atomics.load of whoever finds the chunk READY. These are two languages: neither
  // memory model tells what plain C++ stores before a JavaScript atomic mean. With this fence the order does not rest
  // on how V8 compiles that atomic: the stores above are ordered before any later atomic store of this thread, in the
  // compiler (which cannot move them past an opaque return anyhow) and in the machine (free on x86-64, a barrier on
  // arm64).
  std::atomic_thread_fence(std::memory_order_release);
}

std::uint64_t count_differences(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                                std::uint64_t first_index) noexcept {
  std::uint64_t differences = 0;
  for_each_difference(source, count, pattern, first_index, [&](std::uint64_t) {
    differences++;
    return true;
  });
  return differences;
}

std::uint64_t first_difference(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                               std::uint64_t first_index) noexcept {
  std::uint64_t first = count;
  for_each_difference(source, count, pattern, first_index, [&](std::uint64_t k) {
    first = k;
    return false;
  });
  return first;
}

}  // namespace vmemmap
