// The loops behind fill, check and firstDifference.
#include "init_kernel.h"

#include <algorithm>
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

// Calls `visit(offset, count, lanes)` for each run of equal descriptors among `count` of them, until it returns false.
template <typename Visit>
void for_each_piece(std::uint64_t count, const Periods& periods, std::uint64_t first_index, Visit visit) noexcept {
  const std::uint64_t from_start = first_index - periods.start_index;
  std::uint64_t period = from_start / periods.period;
  std::uint64_t in_period = from_start % periods.period;
  std::size_t part = periods.part_count - 1;
  while (periods.parts[part].at > in_period) part--;
  for (std::uint64_t offset = 0; offset < count;) {
    const bool is_last = part + 1 == periods.part_count;
    const std::uint64_t end = is_last ? periods.period : periods.parts[part + 1].at;
    const std::uint64_t same = std::min(count - offset, end - in_period);
    if (!visit(offset, same, lanes_at(periods.parts[part].pattern, period))) return;
    offset += same;
    in_period = is_last ? 0 : end;
    part = is_last ? 0 : part + 1;
    if (is_last) period++;
  }
}

// What a store path's fill has to be followed by.
void finish() noexcept {
  // Pairs with the Atomics.store or Atomics.compareExchange by which JavaScript publishes this chunk, next on this
  // thread, and through it with the Atomics.load of whoever finds the chunk READY. These are two languages: neither
  // memory model tells what plain C++ stores before a JavaScript atomic mean. With this fence the order does not rest
  // on how V8 compiles that atomic: the stores above are ordered before any later atomic store of this thread, in the
  // compiler (which cannot move them past an opaque return anyhow) and in the machine (free on x86-64, a barrier on
  // arm64).
  std::atomic_thread_fence(std::memory_order_release);
}

}  // namespace

void fill(std::byte* target, std::uint64_t count, const Pattern& pattern, std::uint64_t first_index,
          const StorePath& path) noexcept {
  path.fill(target, count, lanes_at(pattern, first_index), pattern.step);
  finish();
}

void fill(std::byte* target, std::uint64_t count, const Periods& periods, std::uint64_t first_index,
          const StorePath& path) noexcept {
  for_each_piece(count, periods, first_index, [&](std::uint64_t offset, std::uint64_t same, const Lanes& lanes) {
    path.fill(target + offset * kDescriptorSizeBytes, same, lanes, Lanes{});
    return true;
  });
  finish();
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

std::uint64_t count_differences(const std::byte* source, std::uint64_t count, const Periods& periods,
                                std::uint64_t first_index) noexcept {
  std::uint64_t differences = 0;
  for_each_piece(count, periods, first_index, [&](std::uint64_t offset, std::uint64_t same, const Lanes& lanes) {
    differences += count_differences(source + offset * kDescriptorSizeBytes, same, Pattern{lanes, {}}, 0);
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

std::uint64_t first_difference(const std::byte* source, std::uint64_t count, const Periods& periods,
                               std::uint64_t first_index) noexcept {
  std::uint64_t first = count;
  for_each_piece(count, periods, first_index, [&](std::uint64_t offset, std::uint64_t same, const Lanes& lanes) {
    const std::uint64_t found = first_difference(source + offset * kDescriptorSizeBytes, same, Pattern{lanes, {}}, 0);
    if (found == same) return true;
    first = offset + found;
    return false;
  });
  return first;
}

}  // namespace vmemmap
