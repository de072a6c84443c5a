// The table of store paths, and their loops for x86-64 and arm64.
#include "store_paths.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "durability.h"
#include "operations.h"

namespace vmemmap {
namespace {

// Eight bytes at a time, and only where there is something to store: half a line's stores for device memory.
void fill_sparse(std::byte* target, std::uint64_t count, const Lanes& lanes, const Lanes& step) noexcept {
  std::array<std::size_t, kDescriptorLanes> used{};
  std::array<std::uint64_t, kDescriptorLanes> value{};
  std::array<std::uint64_t, kDescriptorLanes> add{};
  std::size_t uses = 0;
  for (std::size_t lane = 0; lane < kDescriptorLanes; lane++) {
    if (lanes[lane] == 0 && step[lane] == 0) continue;
    used[uses] = lane * sizeof(std::uint64_t);
    value[uses] = lanes[lane];
    add[uses] = step[lane];
    uses++;
  }
  for (std::uint64_t k = 0; k < count; k++, target += kDescriptorSizeBytes) {
    for (std::size_t use = 0; use < uses; use++) {
      std::memcpy(target + used[use], &value[use], sizeof(std::uint64_t));
      record(Operation::kStore, target + used[use], sizeof(std::uint64_t));
      value[use] += add[use];
    }
  }
}

#if defined(__x86_64__)

// Streaming stores are ordered with nothing, not even with a later locked instruction of another thread's view of them:
// without this fence a chunk could be seen READY before its bytes. In persistent memory it also makes them durable.
inline void finish_streaming() noexcept { store_fence(); }

#pragma GCC push_options
#pragma GCC target("avx512f")
namespace avx512 {
using Vector = std::uint64_t __attribute__((vector_size(64)));
inline void stream(std::byte* target, const Vector& vector) noexcept {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(target), reinterpret_cast<const __m512i&>(vector));
}
#include "store_loop.inc.h"
}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
using Vector = std::uint64_t __attribute__((vector_size(32)));
inline void stream(std::byte* target, const Vector& vector) noexcept {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(target), reinterpret_cast<const __m256i&>(vector));
}
#include "store_loop.inc.h"
}  // namespace avx2
#pragma GCC pop_options

namespace sse2 {
using Vector = std::uint64_t __attribute__((vector_size(16)));
inline void stream(std::byte* target, const Vector& vector) noexcept {
  _mm_stream_si128(reinterpret_cast<__m128i*>(target), reinterpret_cast<const __m128i&>(vector));
}
#include "store_loop.inc.h"
}  // namespace sse2

#elif defined(__aarch64__)

// STNP is a hint about caching and keeps the order of plain stores: the release fence of `fill` is enough.
inline void finish_streaming() noexcept {}

namespace neon {
// A pair of registers, since STNP stores two.
using Vector = std::uint64_t __attribute__((vector_size(32)));
inline void stream(std::byte* target, const Vector& vector) noexcept {
  uint64x2_t half[2];
  __builtin_memcpy(half, &vector, sizeof(vector));
  asm volatile("stnp %q1, %q2, [%0]" : : "r"(target), "w"(half[0]), "w"(half[1]) : "memory");
}
#include "store_loop.inc.h"
}  // namespace neon

#else
#error "no store paths for this processor"
#endif

// Best first among those of a kind: whoever takes the first plain one takes the widest.
struct Table {
  std::array<StorePath, 7> paths{};
  std::size_t count = 0;

  void add(const StorePath& path) { paths[count++] = path; }

  Table() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    // These ask the operating system, too, whether it saves the registers.
    if (__builtin_cpu_supports("avx512f")) {
      add({"native-avx512", StoreKind::kPlain, avx512::plain});
      add({"native-avx512-nt", StoreKind::kNonTemporal, avx512::non_temporal, !kStreamsBypassCaches});
    }
    if (__builtin_cpu_supports("avx2")) {
      add({"native-avx2", StoreKind::kPlain, avx2::plain});
      add({"native-avx2-nt", StoreKind::kNonTemporal, avx2::non_temporal, !kStreamsBypassCaches});
    }
    add({"native-sse2", StoreKind::kPlain, sse2::plain});
    add({"native-sse2-nt", StoreKind::kNonTemporal, sse2::non_temporal, !kStreamsBypassCaches});
#else
    add({"native-neon", StoreKind::kPlain, neon::plain});
    add({"native-neon-nt", StoreKind::kNonTemporal, neon::non_temporal, !kStreamsBypassCaches});
#endif
    add({"native-sparse", StoreKind::kSparse, fill_sparse});
  }
};

}  // namespace

std::span<const StorePath> store_paths() noexcept {
  // Made by whichever thread comes first; C++ lets the others wait.
  static const Table table;
  return {table.paths.data(), table.count};
}

}  // namespace vmemmap
