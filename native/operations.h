// The operations whose order decides what is on the media when the power fails. A test that is compiled with
// -DVMEMMAP_RECORD is told each of them; otherwise nothing is left of that.
#pragma once

#include <cstddef>

namespace vmemmap {

enum class Operation {
  kStore,   // plain: into the cache
  kStream,  // non-temporal: past the cache
  kFlush,   // of one cache line
  kFence,   // of stores
};

#if defined(VMEMMAP_RECORD)
// Defined by the test.
void record(Operation operation, const std::byte* address, std::size_t size_bytes) noexcept;
#else
inline void record(Operation, const std::byte*, std::size_t) noexcept {}
#endif

// Everything that this thread has streamed or flushed is on its way no more when a later store can be seen. On x86-64
// it has then been accepted by the memory controller, which saves it when the power fails (ADR).
inline void store_fence() noexcept {
#if defined(VMEMMAP_RECORD_NO_FENCE)
  // Left out, so that the test can show that it would notice.
#else
#if defined(__x86_64__)
  asm volatile("sfence" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("dsb sy" ::: "memory");
#endif
  record(Operation::kFence, nullptr, 0);
#endif
}

}  // namespace vmemmap
