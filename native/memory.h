// What the addon does with memory that JavaScript owns: where it lies, and advice to the kernel about it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemmap {

// Bytes from `start` to the next address that is a multiple of `boundary`, which is a power of two; 0 when it is one.
std::uint64_t bytes_to_boundary(const std::byte* start, std::uint64_t boundary) noexcept;

// Asks for transparent huge pages in the whole pages inside `[start, start + size_bytes)`; pages that are only partly
// inside belong to somebody else, too. Returns 0 or the errno of madvise.
int advise_huge_pages(std::byte* start, std::uint64_t size_bytes) noexcept;

// Gives the whole pages inside `[start, start + size_bytes)` back to the kernel: they read as zeros from then on, and
// cost nothing until they are written. Returns 0 or the errno of madvise.
int discard(std::byte* start, std::uint64_t size_bytes) noexcept;

}  // namespace vmemmap
