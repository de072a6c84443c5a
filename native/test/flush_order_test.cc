// Replays what fill and flush do to caches and media, to see which bytes would survive a loss of power; .ci/run builds
// and runs it, with -DVMEMMAP_RECORD.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../durability.h"
#include "../init_kernel.h"
#include "../operations.h"
#include "../store_paths.h"

namespace {

using vmemmap::kCacheLineBytes;
using vmemmap::kDescriptorSizeBytes;
using vmemmap::Operation;
using vmemmap::Pattern;
using vmemmap::StorePath;

struct Event {
  Operation operation;
  std::uint64_t offset_bytes;  // from the start of the memory under test
  std::uint64_t size_bytes;
};

const std::byte* origin = nullptr;
std::vector<Event> events;

int failures = 0;

void expect(bool condition, const char* what, const char* path, std::uint64_t count, std::uint64_t offset_bytes) {
  if (condition) return;
  failures++;
  std::fprintf(stderr, "flush_order_test: %s (%s, count %llu, offset %llu)\n", what, path,
               static_cast<unsigned long long>(count), static_cast<unsigned long long>(offset_bytes));
}

// Memory that begins at a cache line, with a line in front of the target and two behind it.
class Memory {
 public:
  explicit Memory(std::uint64_t target_bytes) : size_bytes_(target_bytes + 3 * kCacheLineBytes) {
    void* block = nullptr;
    if (posix_memalign(&block, kCacheLineBytes, size_bytes_) != 0) std::abort();
    start_ = static_cast<std::byte*>(block);
    std::memset(start_, 0, size_bytes_);
    origin = start_;
    events.clear();
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(start_); }

  std::byte* target() const { return start_ + kCacheLineBytes; }
  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* start_ = nullptr;
  std::uint64_t size_bytes_;
};

// Where the newest value of a byte is.
enum class Place : std::uint8_t {
  kUntouched,
  kCache,     // lost with the power
  kOnItsWay,  // in a buffer of the core: lost as well
  kMedia,
};

// The model: a fence brings what was streamed, and the lines that were flushed after they were stored.
std::vector<Place> replay(const Memory& memory) {
  std::vector<Place> places(memory.size_bytes(), Place::kUntouched);
  for (const Event& event : events) {
    const std::uint64_t end =
        event.operation == Operation::kFence ? memory.size_bytes() : event.offset_bytes + event.size_bytes;
    for (std::uint64_t at = event.offset_bytes; at < end; at++) {
      Place& place = places.at(at);
      switch (event.operation) {
        case Operation::kStore:
          place = Place::kCache;
          break;
        case Operation::kStream:
          place = Place::kOnItsWay;
          break;
        case Operation::kFlush:
          if (place == Place::kCache) place = Place::kOnItsWay;
          break;
        case Operation::kFence:
          if (place == Place::kOnItsWay) place = Place::kMedia;
          break;
      }
    }
  }
  return places;
}

std::uint64_t count_of(const std::vector<Place>& places, Place place) {
  std::uint64_t count = 0;
  for (const Place each : places) count += each == place ? 1 : 0;
  return count;
}

// How often each byte was the object of an operation.
std::vector<std::uint32_t> times(const Memory& memory, Operation operation) {
  std::vector<std::uint32_t> result(memory.size_bytes());
  for (const Event& event : events) {
    if (event.operation != operation) continue;
    for (std::uint64_t at = 0; at < event.size_bytes; at++) result.at(event.offset_bytes + at)++;
  }
  return result;
}

bool fenced_last() { return !events.empty() && events.back().operation == Operation::kFence; }

// Whether each byte in `[first, end)` was its object once and no other one ever.
bool once_inside(const std::vector<std::uint32_t>& counts, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t at = 0; at < counts.size(); at++) {
    if (counts[at] != (at >= first && at < end ? 1u : 0u)) return false;
  }
  return true;
}

// fill alone, with a path that promises to need no flush, to an aligned target.
void streams_are_fenced(const StorePath& path, const Pattern& pattern, std::uint64_t count) {
  const std::uint64_t size_bytes = count * kDescriptorSizeBytes;
  const Memory memory(size_bytes);
  vmemmap::fill(memory.target(), count, pattern, 5, path);
  expect(once_inside(times(memory, Operation::kStream), kCacheLineBytes, kCacheLineBytes + size_bytes),
         "not every line was streamed once", path.name, count, 0);
  expect(once_inside(times(memory, Operation::kStore), 0, 0), "a plain store among streams", path.name, count, 0);
  expect(fenced_last(), "no fence behind the last stream", path.name, count, 0);
  expect(count_of(replay(memory), Place::kMedia) == size_bytes, "not durable after fill", path.name, count, 0);
}

// fill alone leaves everything in the cache; flush then brings it all.
void plain_stores_need_flush(const StorePath& path, const Pattern& pattern, std::uint64_t count,
                             std::uint64_t offset_bytes) {
  const std::uint64_t size_bytes = count * kDescriptorSizeBytes;
  const Memory memory(size_bytes);
  std::byte* target = memory.target() + offset_bytes;
  vmemmap::fill(target, count, pattern, 5, path);
  const std::vector<Place> filled = replay(memory);
  const std::uint64_t written_bytes = memory.size_bytes() - count_of(filled, Place::kUntouched);
  expect(written_bytes > 0 && written_bytes <= size_bytes, "wrote nothing or too much", path.name, count, offset_bytes);
  expect(count_of(filled, Place::kMedia) == 0, "durable without a flush", path.name, count, offset_bytes);
  vmemmap::flush(target, size_bytes);
  expect(fenced_last(), "no fence behind the last flush", path.name, count, offset_bytes);
  expect(count_of(replay(memory), Place::kMedia) == written_bytes, "not durable after flush", path.name, count,
         offset_bytes);
}

void flush_meets_lines_once(std::uint64_t offset_bytes, std::uint64_t size_bytes) {
  const Memory memory(offset_bytes + size_bytes);
  vmemmap::flush(memory.target() + offset_bytes, size_bytes);
  const char* name = vmemmap::flush_instruction();
  if (size_bytes == 0) {
    expect(once_inside(times(memory, Operation::kFlush), 0, 0), "flushed a line of nothing", name, 0, offset_bytes);
    return;
  }
  const std::uint64_t first = (kCacheLineBytes + offset_bytes) / kCacheLineBytes * kCacheLineBytes;
  const std::uint64_t last = (kCacheLineBytes + offset_bytes + size_bytes - 1) / kCacheLineBytes * kCacheLineBytes;
  expect(once_inside(times(memory, Operation::kFlush), first, last + kCacheLineBytes),
         "not each line that is met was flushed once", name, size_bytes, offset_bytes);
  expect(fenced_last(), "no fence behind the last flush", name, size_bytes, offset_bytes);
}

}  // namespace

void vmemmap::record(Operation operation, const std::byte* address, std::size_t size_bytes) noexcept {
  const std::uint64_t offset_bytes = operation == Operation::kFence ? 0 : static_cast<std::uint64_t>(address - origin);
  events.push_back({operation, offset_bytes, size_bytes});
}

int main() {
  Pattern constant{};
  constant.first = {1, 2, 3, 4, 5, 6, 7, 8};
  Pattern stepping = constant;
  stepping.step = {0, 64, 64, 0, 1, 0, 0, 0};
  int streaming_paths = 0;
  for (const StorePath& path : vmemmap::store_paths()) {
    if (path.kind == vmemmap::StoreKind::kNonTemporal) streaming_paths++;
    const bool streams = path.kind == vmemmap::StoreKind::kNonTemporal;
    expect(path.needs_flush == !(streams && vmemmap::kStreamsBypassCaches), "promises the wrong thing", path.name, 0,
           0);
    for (const Pattern& pattern : {constant, stepping}) {
      for (const std::uint64_t count : {1, 7, 64, 1001}) {
        if (!path.needs_flush) {
          streams_are_fenced(path, pattern, count);
        } else if (!streams) {
          plain_stores_need_flush(path, pattern, count, 0);
        }
        // No vector is aligned there, so every path stores plainly.
        plain_stores_need_flush(path, pattern, count, 4);
      }
    }
  }
  expect(streaming_paths > 0, "no path streams", "none", 0, 0);
  for (const std::uint64_t offset_bytes : {0, 1, 4, 63}) {
    for (const std::uint64_t size_bytes : {0, 1, 2, 63, 64, 65, 128, 4096}) {
      flush_meets_lines_once(offset_bytes, size_bytes);
    }
  }
  std::printf("flush_order_test: %d streaming paths, flush by %s, %d failures\n", streaming_paths,
              vmemmap::flush_instruction(), failures);
  return failures == 0 ? 0 : 1;
}
