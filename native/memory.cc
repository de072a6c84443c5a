// The system calls behind memory.h, on Linux.
#include "memory.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#include <sys/mman.h>
#include <sys/syscall.h>

#include <bit>
#include <climits>
#include <vector>

namespace vmemmap {

std::uint64_t bytes_to_boundary(const std::byte* start, std::uint64_t boundary) noexcept {
  return (0 - reinterpret_cast<std::uintptr_t>(start)) & (boundary - 1);
}

namespace {

// From <linux/mempolicy.h>, which needs the kernel's headers; part of its stable interface.
constexpr int kMpolPreferred = 1;
constexpr int kMpolMfMove = 2;
// From <asm-generic/mman-common.h>; the C library may be older than the kernel.
constexpr int kMadvPopulateRead = 22;
constexpr int kMadvPopulateWrite = 23;
// From <asm-generic/hugetlb_encode.h>: bits of the flags of mmap that hold the logarithm of the page size.
constexpr int kMapHugeShift = 26;

// Calls `call(first, length)` for the whole pages inside, if there are any; the result is 0 or errno.
template <typename Call>
int on_whole_pages(std::byte* start, std::uint64_t size_bytes, Call call) noexcept {
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t head_bytes = bytes_to_boundary(start, page_size_bytes);
  if (size_bytes < head_bytes) return 0;
  const std::uint64_t whole_bytes = (size_bytes - head_bytes) / page_size_bytes * page_size_bytes;
  if (whole_bytes == 0) return 0;
  return call(start + head_bytes, whole_bytes) == 0 ? 0 : errno;
}

int advise(std::byte* start, std::uint64_t size_bytes, int advice) noexcept {
  return on_whole_pages(start, size_bytes,
                        [advice](std::byte* first, std::uint64_t length) { return madvise(first, length, advice); });
}

// Maps anonymous memory over what is there. `start` and `size_bytes` are multiples of `page_size_bytes`.
int map_over(std::byte* start, std::uint64_t size_bytes, std::uint64_t page_size_bytes, int flags) noexcept {
  if (size_bytes == 0 || bytes_to_boundary(start, page_size_bytes) != 0 || size_bytes % page_size_bytes != 0) {
    return EINVAL;
  }
  constexpr int mapping = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return mmap(start, size_bytes, PROT_READ | PROT_WRITE, mapping | flags, -1, 0) == MAP_FAILED ? errno : 0;
}

}  // namespace

int advise_huge_pages(std::byte* start, std::uint64_t size_bytes) noexcept {
  return advise(start, size_bytes, MADV_HUGEPAGE);
}

int populate(std::byte* start, std::uint64_t size_bytes) noexcept {
  return on_met_pages(start, size_bytes, [](std::byte* first, std::uint64_t length) {
    return madvise(first, length, kMadvPopulateWrite);
  });
}

int populate_read(std::byte* start, std::uint64_t size_bytes) noexcept {
  return on_met_pages(start, size_bytes,
                      [](std::byte* first, std::uint64_t length) { return madvise(first, length, kMadvPopulateRead); });
}

// The memory of a SharedArrayBuffer is private and anonymous, though threads share it: it is gone at once.
int discard(std::byte* start, std::uint64_t size_bytes) noexcept {
  const int error = advise(start, size_bytes, MADV_DONTNEED);
#ifdef __SANITIZE_ADDRESS__
  on_whole_pages(start, size_bytes, [](std::byte* first, std::uint64_t length) {
    __asan_poison_memory_region(first, length);
    return 0;
  });
#endif
  return error;
}

void reuse([[maybe_unused]] std::byte* start, [[maybe_unused]] std::uint64_t size_bytes) noexcept {
#ifdef __SANITIZE_ADDRESS__
  on_whole_pages(start, size_bytes, [](std::byte* first, std::uint64_t length) {
    __asan_unpoison_memory_region(first, length);
    return 0;
  });
#endif
}

int map_huge_pages(std::byte* start, std::uint64_t size_bytes, std::uint64_t page_size_bytes) noexcept {
  const int size_flag = std::countr_zero(page_size_bytes) << kMapHugeShift;
  return map_over(start, size_bytes, page_size_bytes, MAP_HUGETLB | size_flag);
}

int unmap_huge_pages(std::byte* start, std::uint64_t size_bytes, std::uint64_t page_size_bytes) noexcept {
  return map_over(start, size_bytes, page_size_bytes, MAP_NORESERVE);
}

namespace {

// Maps the periods of `fd` as the header says.
int map_periods(std::byte* start, std::uint64_t size_bytes, std::uint64_t period_bytes, std::uint64_t block_bytes,
                int fd) noexcept {
  const std::uint64_t own_bytes = 2 * block_bytes;
  if (ftruncate(fd, static_cast<off_t>(size_bytes / period_bytes * own_bytes)) != 0) return errno;
  const auto map = [fd](std::byte* at, std::uint64_t length, std::uint64_t offset) {
    void* mapped = mmap(at, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
    return mapped != MAP_FAILED;
  };
  for (std::uint64_t period = 0; period < size_bytes / period_bytes; period++) {
    std::byte* const first = start + period * period_bytes;
    const std::uint64_t own = period * own_bytes;
    if (!map(first, own_bytes, own)) return errno;
    for (std::uint64_t at = own_bytes; at < period_bytes; at += block_bytes) {
      if (!map(first + at, block_bytes, own + block_bytes)) return errno;
    }
  }
  return 0;
}

}  // namespace

int map_shared_tails(std::byte* start, std::uint64_t size_bytes, std::uint64_t period_bytes,
                     std::uint64_t block_bytes) noexcept {
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const bool fits = bytes_to_boundary(start, page_size_bytes) == 0 && block_bytes % page_size_bytes == 0 &&
                    size_bytes % period_bytes == 0 && period_bytes >= 2 * block_bytes;
  if (!fits) return EINVAL;
  const int fd = memfd_create("vmemmap", MFD_CLOEXEC);
  if (fd < 0) return errno;
  const int error = map_periods(start, size_bytes, period_bytes, block_bytes, fd);
  // the mappings hold the file
  close(fd);
  if (error != 0) unmap_huge_pages(start, size_bytes, page_size_bytes);
  return error;
}

int prefer_node(std::byte* start, std::uint64_t size_bytes, std::uint32_t nid) noexcept {
  constexpr std::size_t word_bits = sizeof(unsigned long) * CHAR_BIT;
  std::vector<unsigned long> mask(nid / word_bits + 1);
  mask[nid / word_bits] |= 1ul << (nid % word_bits);
  return on_whole_pages(start, size_bytes, [&mask](std::byte* first, std::uint64_t length) {
    // The kernel takes one bit less than it is told (get_nodes in mm/mempolicy.c). Pages that were touched already, as
    // a small buffer's may have been on the heap, are moved.
    return syscall(SYS_mbind, first, length, kMpolPreferred, mask.data(), mask.size() * word_bits + 1, kMpolMfMove);
  });
}

}  // namespace vmemmap
