// The system calls behind memory.h, on Linux.
#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vmemmap {

std::uint64_t bytes_to_boundary(const std::byte* start, std::uint64_t boundary) noexcept {
  return (0 - reinterpret_cast<std::uintptr_t>(start)) & (boundary - 1);
}

int advise_huge_pages(std::byte* start, std::uint64_t size_bytes) noexcept {
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t head_bytes = bytes_to_boundary(start, page_size_bytes);
  if (size_bytes < head_bytes) return 0;
  const std::uint64_t whole_bytes = (size_bytes - head_bytes) / page_size_bytes * page_size_bytes;
  if (whole_bytes == 0) return 0;
  return madvise(start + head_bytes, whole_bytes, MADV_HUGEPAGE) == 0 ? 0 : errno;
}

}  // namespace vmemmap
