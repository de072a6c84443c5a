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

struct StorePath;

// Writes descriptors `first_index`, `first_index + 1`, … to `target`, which needs no alignment. The caller owns this
// memory: it holds the claim of the chunk, so no other thread reads or writes it until it is published.
void fill(std::byte* target, std::uint64_t count, const Pattern& pattern, std::uint64_t first_index,
          const StorePath& path) noexcept;

// Number of the `count` descriptors at `source` that differ from what fill writes.
std::uint64_t count_differences(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                                std::uint64_t first_index) noexcept;

// Offset from `first_index` of the first descriptor that differs; `count` when none does.
std::uint64_t first_difference(const std::byte* source, std::uint64_t count, const Pattern& pattern,
                               std::uint64_t first_index) noexcept;

}  // namespace vmemmap
