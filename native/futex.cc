// The system call behind futex.h, on Linux.
#include "futex.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace vmemmap {
namespace {

// From <linux/futex.h>, which needs the kernel's headers; part of its stable interface. Without FUTEX_PRIVATE_FLAG
// (128) on purpose: private waiters are found by address and process, these by file and offset.
constexpr int kFutexWait = 0;
constexpr int kFutexWake = 1;

}  // namespace

int futex_wait(const std::int32_t* word, std::int32_t expected, std::uint64_t timeout_ms) noexcept {
  timespec timeout{};  // relative, on the monotonic clock
  timeout.tv_sec = static_cast<time_t>(timeout_ms / 1000);
  timeout.tv_nsec = static_cast<long>(timeout_ms % 1000) * 1'000'000;
  return syscall(SYS_futex, word, kFutexWait, expected, &timeout, nullptr, 0) == 0 ? 0 : errno;
}

int futex_wake(const std::int32_t* word) noexcept {
  return syscall(SYS_futex, word, kFutexWake, INT_MAX, nullptr, nullptr, 0) >= 0 ? 0 : errno;
}

}  // namespace vmemmap
