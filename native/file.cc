// The system calls behind file.h, on Linux.
#include "file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "memory.h"

namespace vmemmap {
namespace {

// Offsets go to the kernel as they are.
static_assert(sizeof(off_t) == sizeof(std::uint64_t));

// From <asm-generic/mman-common.h> and <linux/stat.h>; the C library may be older than the kernel.
constexpr int kMapSharedValidate = 0x03;
constexpr int kMapSync = 0x080000;
constexpr std::uint64_t kStatxAttrDax = 0x00200000;
constexpr unsigned kStatxMountId = 0x1000;
constexpr unsigned kStatxMountIdUnique = 0x4000;
// From <linux/falloc.h>: blocks, but no change of the file's size.
constexpr int kFallocKeepSize = 1;

constexpr off_t kLockBase = off_t{1} << 62;

// Repeats a system call that a signal has interrupted before it did anything; what it returns.
template <typename Call>
auto uninterrupted(Call call) noexcept {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

int protection(MapMode mode) noexcept { return mode == MapMode::kRead ? PROT_READ : PROT_READ | PROT_WRITE; }

// MAP_SYNC counts only where the kernel validates flags; MAP_SHARED alone ignores those that it does not know.
int map_flags(MapMode mode) noexcept { return mode == MapMode::kSync ? kMapSharedValidate | kMapSync : MAP_SHARED; }

// The errno of setting aside blocks, if it is one that a page fault may have run into; else 0.
int allocation_error(int fd, std::uint64_t offset, std::uint64_t length_bytes) noexcept {
  const int error = allocate_file(fd, offset, length_bytes);
  // Others are about this call: the file system knows no fallocate, the descriptor cannot write.
  return error == ENOSPC || error == EDQUOT || error == EIO ? error : 0;
}

struct flock lock_of(std::uint64_t byte, short type) noexcept {
  struct flock lock {};  // l_pid has to be 0 for OFD locks
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockBase + static_cast<off_t>(byte);
  lock.l_len = 1;
  return lock;
}

}  // namespace

int map_file(std::byte* start, std::uint64_t size_bytes, int fd, std::uint64_t file_offset, MapMode mode) noexcept {
  const auto page_size_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  if (bytes_to_boundary(start, page_size_bytes) != 0 || size_bytes % page_size_bytes != 0) return EINVAL;
  // First somewhere else, then moved: mmap with MAP_FIXED takes away what was there before it asks the file system, and
  // where that refuses (ext4 does so for MAP_SYNC without DAX) a hole stays, in which the next mapping of any thread
  // may come to lie while JavaScript still has its view. No page is in memory yet, so moving costs nothing.
  void* elsewhere = mmap(nullptr, size_bytes, protection(mode), map_flags(mode), fd, static_cast<off_t>(file_offset));
  if (elsewhere == MAP_FAILED) return errno;
  if (mremap(elsewhere, size_bytes, size_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, start) != MAP_FAILED) return 0;
  const int error = errno;
  munmap(elsewhere, size_bytes);
  // For want of memory, and then the kernel may have got as far as the hole.
  unmap_huge_pages(start, size_bytes, page_size_bytes);
  return error;
}

int allocate_file(int fd, std::uint64_t offset, std::uint64_t length_bytes) noexcept {
  const auto call = [&] {
    return fallocate(fd, kFallocKeepSize, static_cast<off_t>(offset), static_cast<off_t>(length_bytes));
  };
  return uninterrupted(call) == 0 ? 0 : errno;
}

int is_dax(int fd) noexcept {
  struct statx status {};
  // No field is asked for: the attributes come always.
  if (statx(fd, "", AT_EMPTY_PATH, 0, &status) != 0) return -1;
  if ((status.stx_attributes_mask & kStatxAttrDax) == 0) return -1;
  return (status.stx_attributes & kStatxAttrDax) != 0 ? 1 : 0;
}

std::uint64_t mount_id(int fd) noexcept {
  struct statx status {};
  if (statx(fd, "", AT_EMPTY_PATH, kStatxMountIdUnique | kStatxMountId, &status) != 0) return 0;
  // A kernel that knows the unique one tells it in the place of the other.
  return (status.stx_mask & (kStatxMountIdUnique | kStatxMountId)) != 0 ? status.stx_mnt_id : 0;
}

int sync_pages(std::byte* start, std::uint64_t size_bytes) noexcept {
  return on_met_pages(start, size_bytes,
                      [](std::byte* first, std::uint64_t length) { return msync(first, length, MS_SYNC); });
}

int read_error(int fd, std::uint64_t offset, std::uint64_t length_bytes, std::uint64_t page_size_bytes) noexcept {
  const std::uint64_t end = offset + length_bytes;
  for (std::uint64_t at = offset; at < end; at = (at / page_size_bytes + 1) * page_size_bytes) {
    char byte = 0;
    const ssize_t got = uninterrupted([&] { return pread(fd, &byte, 1, static_cast<off_t>(at)); });
    if (got < 0) return errno;
    if (got == 0) return ENODATA;
  }
  return 0;
}

int why_unreachable(int fd, std::uint64_t offset, std::uint64_t length_bytes, std::uint64_t page_size_bytes) noexcept {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno;
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return EFAULT;
  if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) < offset + length_bytes) return ENODATA;
  if (const int error = allocation_error(fd, offset, length_bytes); error != 0) return error;
  if (const int error = read_error(fd, offset, length_bytes, page_size_bytes); error != 0) return error;
  return EFAULT;
}

int lock_byte(int fd, std::uint64_t byte, LockKind kind) noexcept {
  const short type = kind == LockKind::kExclusive ? F_WRLCK : kind == LockKind::kShared ? F_RDLCK : F_UNLCK;
  struct flock lock = lock_of(byte, type);
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return 0;
  // POSIX allows either for a lock in the way.
  return errno == EACCES ? EAGAIN : errno;
}

int test_lock(int fd, std::uint64_t byte) noexcept {
  struct flock lock = lock_of(byte, F_WRLCK);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return errno;
  return lock.l_type == F_UNLCK ? 0 : EAGAIN;
}

}  // namespace vmemmap
