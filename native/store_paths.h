// How descriptors are stored: one function per instruction set and kind of store, chosen when the program runs. All
// write the same bytes; they differ in speed alone. Knows nothing of Node.js or of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "init_kernel.h"

namespace vmemmap {

enum class StoreKind {
  kPlain,
  // Past the caches: the fastest where the memory was touched before, since its old content need not be read.
  kNonTemporal,
  // Only the lanes that are not zero in the template or the step: for memory that is known to be zero.
  kSparse,
};

struct StorePath {
  const char* name;
  StoreKind kind;
  // Writes `count` descriptors, of which the first is `lanes` and each next one is `step` more.
  void (*fill)(std::byte* target, std::uint64_t count, const Lanes& lanes, const Lanes& step) noexcept;
  // Whether flush of durability.h has to follow before the bytes survive a loss of power. Where not, it still has to
  // if the target is not aligned to kDescriptorSizeBytes: such targets get plain stores.
  bool needs_flush = true;
};

// The paths that this processor can run; a path's place here is its number. The same for the life of the program.
std::span<const StorePath> store_paths() noexcept;

}  // namespace vmemmap
