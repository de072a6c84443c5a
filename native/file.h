// Files as memory: mapping them over memory that JavaScript owns, their blocks, writing them back, and locks on them.
// Errors are the errnos of the system calls, positive; 0 is success.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemmap {

enum class MapMode {
  kShared,  // read and write; other mappings and read(2) see each store at once
  kSync,    // as kShared; what a page fault changed in the file system is on the media before the fault returns
  kRead,    // a store would end the process
};
inline constexpr std::uint64_t kMapModeCount = 3;

// Maps `size_bytes` of the file from `file_offset` over `[start, start + size_bytes)`, whole pages. What was there is
// gone; after an error it is still there, but after ENOMEM it may read as zeros. EINVAL where a border is not one of
// pages; EOPNOTSUPP for kSync where the file is not on DAX. The mapping keeps a reference to the open file description,
// so `fd` may be closed.
int map_file(std::byte* start, std::uint64_t size_bytes, int fd, std::uint64_t file_offset, MapMode mode) noexcept;

// Makes the file system set blocks aside for these bytes; what the file holds stays, and its size, which they may lie
// behind. EOPNOTSUPP where the file system cannot: nothing is written instead, as posix_fallocate would.
int allocate_file(int fd, std::uint64_t offset, std::uint64_t length_bytes) noexcept;

// Whether loads and stores on a mapping of the file go to the media without a page cache between: 1, 0, or -1 where the
// kernel does not say (before Linux 5.8, or no such descriptor).
int is_dax(int fd) noexcept;

// Number of the mount through which the file was opened; 0 where the kernel does not tell (before Linux 5.8). From
// Linux 6.8 on it is never given twice between two boots; before that one may come again when the mount is gone.
std::uint64_t mount_id(int fd) noexcept;

// Writes the pages that `[start, start + size_bytes)` meets back to their file, and waits until the device has them:
// msync(MS_SYNC). A failed write-back is told once per open file description, and the pages then count as clean: after
// EIO another call proves nothing.
int sync_pages(std::byte* start, std::uint64_t size_bytes) noexcept;

// Reads one byte of each page that these bytes of the file meet: 0, or the errno of the first one that cannot be read;
// ENODATA behind the end of the file. For pages that are copies of the media: from Linux 5.14 to 6.8, populate does not
// return at all from one that cannot be read (mended in 6.9 by commit 631426ba1d45).
int read_error(int fd, std::uint64_t offset, std::uint64_t length_bytes, std::uint64_t page_size_bytes) noexcept;

// Finds out why populate said EFAULT, which it does for whatever would end the process by SIGBUS, on a shared mapping
// of these bytes of the file; what it returns is never 0.
//   ENODATA                 the file ends before them: somebody has truncated it
//   ENOSPC, EDQUOT, EIO     the file system cannot give blocks for them
//   EIO, EHWPOISON, …       one of its pages cannot be read
//   EFAULT                  none of these, or not any more; or neither a regular file nor a block device
//   EBADF                   not a descriptor that can be read
// Blocks are asked for as allocate_file does.
int why_unreachable(int fd, std::uint64_t offset, std::uint64_t length_bytes, std::uint64_t page_size_bytes) noexcept;

// Locks on single bytes, by number, which lie 2^62 bytes behind the start of the file: beyond any data, where nothing
// is read or written. They are OFD locks (F_OFD_SETLK), advisory, and that gives:
// - A lock belongs to the open file description, so two that come from two calls of open exclude each other also inside
//   one process and between its threads, while locks of one description never conflict: setting one replaces what the
//   description had on that byte.
// - The kernel releases it when the last reference to the description goes: all descriptors (a child holds copies
//   between fork and exec) and all mappings that were made with them. A killed process drops these after every thread
//   of it has stored its last. So whoever gets the lock finds nobody who still writes.
enum class LockKind {
  kNone,
  kShared,     // needs a descriptor that can read, else EBADF
  kExclusive,  // needs one that can write, else EBADF
};
inline constexpr std::uint64_t kLockKindCount = 3;

// Never waits: EAGAIN when a lock of another open file description is in the way, and then nothing has changed.
int lock_byte(int fd, std::uint64_t byte, LockKind kind) noexcept;

// 0 when no other open file description has a lock on this byte, EAGAIN when one has.
int test_lock(int fd, std::uint64_t byte) noexcept;

}  // namespace vmemmap
