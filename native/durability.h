// From the processor's caches to the media, for files on persistent memory that are mapped without a page cache (DAX).
// For other files only sync_pages of file.h does that.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemmap {

inline constexpr std::uint64_t kCacheLineBytes = 64;

// What stores need before they survive a loss of power:
// - Plain stores stay in the caches, for as long as those like: the lines have to be flushed, and a fence has to wait
//   until the flushes are through.
// - Non-temporal ones (x86-64) go past the caches into buffers of the core: only the fence is needed, which drains them
//   to the memory controller, and what that has accepted survives (the ADR domain). The store paths end with it.
// On arm64 STNP is only a hint, after which the line may be in a cache all the same: it counts as plain.
#if defined(__x86_64__)
inline constexpr bool kStreamsBypassCaches = true;
#else
inline constexpr bool kStreamsBypassCaches = false;
#endif

// Writes the cache lines that `[start, start + size_bytes)` meets back to memory, each once, and waits for that with a
// store fence. Needs no fence before: a flush is ordered behind earlier stores of this thread to the same line. As a
// load it faults on a page that is not in memory, so the bytes must be ones that can be read.
void flush(const std::byte* start, std::uint64_t size_bytes) noexcept;

// Name of the instruction by which flush does it, chosen once for this processor.
const char* flush_instruction() noexcept;

}  // namespace vmemmap
