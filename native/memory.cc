// The system calls behind memory.h, on Linux.
#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vmemmap {

std::uint64_t bytes_to_boundary(const std::byte* start, std::uint64_t boundary) noexcept {
  return (0 - reinterpret_cast<std::uintptr_t>(start)) & (boundary - 1);
}

namespace {

// madvise on the whole pages inside.
int advise(std::byte* start, std::uint64_t size_bytes, int advice) noexcept {
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t head_bytes = bytes_to_boundary(start, page_size_bytes);
  if (size_bytes < head_bytes) return 0;
  const std::uint64_t whole_bytes = (size_bytes - head_bytes) / page_size_bytes * page_size_bytes;
  if (whole_bytes == 0) return 0;
  return madvise(start + head_bytes, whole_bytes, advice) == 0 ? 0 : errno;
}

}  // namespace

int advise_huge_pages(std::byte* start, std::uint64_t size_bytes) noexcept {
  return advise(start, size_bytes, MADV_HUGEPAGE);
}

// The memory of a SharedArrayBuffer is private and anonymous, though threads share it: it is gone at once.
int discard(std::byte* start, std::uint64_t size_bytes) noexcept { return advise(start, size_bytes, MADV_DONTNEED); }

}  // namespace vmemmap
