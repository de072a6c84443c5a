// Waiting for a word across processes. JavaScript's Atomics.wait and notify keep their own list of waiters in each
// process: they wake nobody who waits here, and are not woken from here.
#pragma once

#include <cstdint>

namespace vmemmap {

// Sleeps while the word holds `expected`, at most `timeout_ms` milliseconds. Returns 0 when woken (maybe for no reason:
// look at the word again), EAGAIN when the word held something else, ETIMEDOUT, EINTR after a signal, or EFAULT when
// the word cannot be reached. The kernel compares and falls asleep as one step for whoever wakes: a waker that changes
// the word first and then calls futex_wake is never missed.
int futex_wait(const std::int32_t* word, std::int32_t expected, std::uint64_t timeout_ms) noexcept;

// Wakes all who wait for the word, in every process that maps its file. Returns 0, also when nobody waits, or an errno.
int futex_wake(const std::int32_t* word) noexcept;

}  // namespace vmemmap
