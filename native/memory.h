// What the addon does with memory that JavaScript owns: where it lies, and advice to the kernel about it.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace vmemmap {

// Bytes from `start` to the next address that is a multiple of `boundary`, which is a power of two; 0 when it is one.
std::uint64_t bytes_to_boundary(const std::byte* start, std::uint64_t boundary) noexcept;

// Calls `call(first, length)` once for the pages that `[start, start + size_bytes)` meets, unless it is empty; the
// result is 0 or errno. Rounded outward: who then uses the bytes must not meet a page that was not asked for.
template <typename Call>
int on_met_pages(std::byte* start, std::uint64_t size_bytes, Call call) noexcept {
  if (size_bytes == 0) return 0;
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t into_page_bytes = reinterpret_cast<std::uintptr_t>(start) & (page_size_bytes - 1);
  return call(start - into_page_bytes, into_page_bytes + size_bytes) == 0 ? 0 : errno;
}

// Asks for transparent huge pages in the whole pages inside `[start, start + size_bytes)`; pages that are only partly
// inside belong to somebody else, too. Returns 0 or the errno of madvise.
int advise_huge_pages(std::byte* start, std::uint64_t size_bytes) noexcept;

// Maps the pages that `[start, start + size_bytes)` meets at once, as if each had been written to, which spares a trap
// for each: MADV_POPULATE_WRITE. Returns 0 or errno: EINVAL before Linux 5.14; ENOMEM, EHWPOISON or EFAULT where a
// touch would have ended the process.
int populate(std::byte* start, std::uint64_t size_bytes) noexcept;

// As populate, as if each page had been read: MADV_POPULATE_READ. For mappings that cannot be written.
int populate_read(std::byte* start, std::uint64_t size_bytes) noexcept;

// Gives the whole pages inside `[start, start + size_bytes)` back to the kernel: they read as zeros from then on, and
// cost nothing until they are written. Returns 0 or the errno of madvise.
int discard(std::byte* start, std::uint64_t size_bytes) noexcept;

// The whole pages inside are in use again after discard, which only a build with the address sanitizer cares for: there
// a native access to what was discarded ends the process, until this is called.
void reuse(std::byte* start, std::uint64_t size_bytes) noexcept;

// Maps reserved huge pages of `page_size_bytes`, a power of two, over `[start, start + size_bytes)`, both multiples of
// it. What was there is gone. Pages are promised (MAP_HUGETLB without MAP_NORESERVE), so that touching them cannot fail
// for want of pages. Returns 0 or the errno of mmap: ENOMEM when too few are free; then nothing has changed.
int map_huge_pages(std::byte* start, std::uint64_t size_bytes, std::uint64_t page_size_bytes) noexcept;

// Maps ordinary memory there again; the huge pages go back to the pool. Returns 0 or the errno of mmap.
int unmap_huge_pages(std::byte* start, std::uint64_t size_bytes, std::uint64_t page_size_bytes) noexcept;

// Maps memory over `[start, start + size_bytes)`, whole periods of `period_bytes`, in which each period has two blocks
// of memory of its own: what is behind the first two is the second one again and again, so that what is stored into one
// of them stands in all. Powers of two, `block_bytes` at least a page and at most half a period. It reads as zeros;
// what was there is gone. Takes period_bytes / block_bytes - 1 mappings for each period, of which a process has
// vm.max_map_count. Returns 0 or the errno of memfd_create, ftruncate or mmap: ENOMEM for want of mappings; then
// ordinary memory is there.
int map_shared_tails(std::byte* start, std::uint64_t size_bytes, std::uint64_t period_bytes,
                     std::uint64_t block_bytes) noexcept;

// Lets the whole pages inside come from node `nid` of this machine, as long as that has any: those that are touched
// from now on, and, moved, those that were touched before. Returns 0 or the errno of mbind.
int prefer_node(std::byte* start, std::uint64_t size_bytes, std::uint32_t nid) noexcept;

}  // namespace vmemmap
