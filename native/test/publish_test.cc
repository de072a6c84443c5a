// Fills, publishes and checks chunks in many threads under the thread sanitizer; .ci/run builds and runs it.
//
// The word of a chunk is a std::atomic here and a JavaScript Atomics word in the library. This shows that the protocol
// is sound where one memory model rules both sides; what joins the two languages is the fence at the end of fill.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "../init_kernel.h"
#include "../store_paths.h"

namespace {

using vmemmap::kDescriptorSizeBytes;
using vmemmap::Pattern;

constexpr std::uint64_t chunk_count = 193;           // odd, and more than threads
constexpr std::uint64_t descriptors_per_chunk = 37;  // neighbours share no cache line, but do share pages
constexpr int writer_count = 4;
constexpr int reader_count = 2;

// -DVMEMMAP_PUBLISH_ORDER=relaxed takes the order away: then the sanitizer has to complain, or it watches nothing.
#ifndef VMEMMAP_PUBLISH_ORDER
#define VMEMMAP_PUBLISH_ORDER release
#endif
constexpr std::memory_order publish_order = std::memory_order::VMEMMAP_PUBLISH_ORDER;

enum class Chunk : std::uint32_t { kFree, kClaimed, kReady };

struct Memmap {
  std::vector<std::byte> descriptors =
      std::vector<std::byte>(chunk_count * descriptors_per_chunk * kDescriptorSizeBytes);
  std::unique_ptr<std::atomic<Chunk>[]> chunks = std::make_unique<std::atomic<Chunk>[]>(chunk_count);
  std::atomic<std::uint64_t> wrong{0};
  Pattern pattern{};

  std::byte* start_of(std::uint64_t chunk) {
    return descriptors.data() + chunk * descriptors_per_chunk * kDescriptorSizeBytes;
  }
};

// All writers try all chunks, from different ends, so that claims meet.
void write_chunks(Memmap& memmap, std::uint64_t first_chunk) {
  for (std::uint64_t i = 0; i < chunk_count; i++) {
    const std::uint64_t chunk = (first_chunk + i) % chunk_count;
    Chunk expected = Chunk::kFree;
    // Acquires nothing: a free chunk holds nothing that anyone wrote.
    if (!memmap.chunks[chunk].compare_exchange_strong(expected, Chunk::kClaimed, std::memory_order_relaxed)) continue;
    // Plain stores: the thread sanitizer does not see streaming ones.
    vmemmap::fill(memmap.start_of(chunk), descriptors_per_chunk, memmap.pattern, chunk * descriptors_per_chunk,
                  vmemmap::store_paths()[0]);
    // Release: pairs with the acquire in read_chunks. The fence inside fill would allow a relaxed store, but the thread
    // sanitizer does not know fences.
    memmap.chunks[chunk].store(Chunk::kReady, publish_order);
  }
}

void read_chunks(Memmap& memmap) {
  for (std::uint64_t chunk = 0; chunk < chunk_count; chunk++) {
    // Acquire: pairs with the release in write_chunks.
    while (memmap.chunks[chunk].load(std::memory_order_acquire) != Chunk::kReady) std::this_thread::yield();
    memmap.wrong += vmemmap::count_differences(memmap.start_of(chunk), descriptors_per_chunk, memmap.pattern,
                                               chunk * descriptors_per_chunk);
  }
}

}  // namespace

int main() {
  Memmap memmap;
  memmap.pattern.first = {1, 8, 8, 0, 5, 0, 0x00000001ffffffffull, 0};
  memmap.pattern.step = {0, kDescriptorSizeBytes, kDescriptorSizeBytes, 0, 1, 0, 0, 0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < reader_count; reader++) threads.emplace_back([&] { read_chunks(memmap); });
  for (int writer = 0; writer < writer_count; writer++) {
    threads.emplace_back([&memmap, writer] { write_chunks(memmap, writer * chunk_count / writer_count); });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("publish_test: %llu chunks, %d readers, %llu wrong descriptors\n",
              static_cast<unsigned long long>(chunk_count), reader_count,
              static_cast<unsigned long long>(memmap.wrong.load()));
  return memmap.wrong == 0 ? 0 : 1;
}
