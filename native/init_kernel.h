// The init kernel in C++: writes and checks runs of 64-byte descriptors. Knows nothing of Node.js or of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "descriptor_layout.generated.h"

namespace vmemmap {

using Lanes = std::array<std::uint64_t, kDescriptorLanes>;

// What to write: descriptor `index` is `first[lane] + step[lane] * index` in every lane, modulo 2^64.
struct Pattern {
  Lanes first;
  Lanes step;
};

// What to write where descriptors repeat, as those of compound pages do. Counted from `start_index`, a period is
// `period` descriptors long; those from a part's `at` to the next part are, in period k, `first[lane] + step[lane] *
// k`.
struct Periods {
  static constexpr std::size_t kPartsMax = 8;

  struct Part {
    std::uint64_t at;
    Pattern pattern;
  };

  std::uint64_t period = 1;
  std::uint64_t start_index = 0;
  // Sorted by `at`, which is 0 in the first, and below `period` in all.
  std::array<Part, kPartsMax> parts;
  std::size_t part_count = 0;
};

struct StorePath;

// Writes descriptors `first_index`, `first_index + 1`, … to `target`, which needs no alignment. The caller owns this
// memory: it holds the claim of the chunk, so no other thread reads or writes it until it is published.
void fill(std::byte* target, std::uint64_t count, const Pattern& pattern, std::uint64_t first_index,
          const StorePath& path) noexcept;

void fill(std::byte* target, std::uint64_t count, const Periods& periods, std::uint64_t first_index,
          const StorePath& path) noexcept;

// Number of the `count` descriptors at `source` that differ from what fill writes.
std::uint64_t count_differences(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                                std::uint64_t first_index) noexcept;

std::uint64_t count_differences(const std::byte* source, std::uint64_t count, const Periods& periods,
                                std::uint64_t first_index) noexcept;

// Offset from `first_index` of the first descriptor that differs; `count` when none does.
std::uint64_t first_difference(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                               std::uint64_t first_index) noexcept;
std::uint64_t first_difference(const std::byte* source, std::uint64_t count, const Periods& periods,
                               std::uint64_t first_index) noexcept;

}  // namespace vmemmap
