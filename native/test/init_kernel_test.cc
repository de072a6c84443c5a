// Exercises the init kernel under the address and undefined-behaviour sanitizers; .ci/run builds and runs it.
#include "../init_kernel.h"
#include "../store_paths.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

using vmemmap::kDescriptorLanes;
using vmemmap::kDescriptorSizeBytes;
using vmemmap::Pattern;
using vmemmap::Periods;

int failures = 0;

void expect(bool condition, const char* what, std::uint64_t count, std::uint64_t offset_bytes, std::uint64_t index) {
  if (condition) return;
  failures++;
  std::fprintf(stderr, "init_kernel_test: %s (count %llu, offset %llu, first index %llu)\n", what,
               static_cast<unsigned long long>(count), static_cast<unsigned long long>(offset_bytes),
               static_cast<unsigned long long>(index));
}

// What descriptor `index` has to hold, computed as the definition says and not as the kernel does it.
std::uint64_t lane_of(const std::byte* descriptor, std::size_t lane) {
  std::uint64_t value = 0;
  std::memcpy(&value, descriptor + lane * sizeof value, sizeof value);
  return value;
}

bool is_written(const std::byte* descriptor, const Pattern& pattern, std::uint64_t index) {
  for (std::size_t lane = 0; lane < kDescriptorLanes; lane++) {
    if (lane_of(descriptor, lane) != pattern.first[lane] + pattern.step[lane] * index) return false;
  }
  return true;
}

bool is_written(const std::byte* descriptor, const Periods& periods, std::uint64_t index) {
  const std::uint64_t page = index - periods.start_index;
  std::size_t part = 0;
  for (std::size_t next = 1; next < periods.part_count; next++) {
    if (periods.parts[next].at <= page % periods.period) part = next;
  }
  return is_written(descriptor, periods.parts[part].pattern, page / periods.period);
}

// A heap block that begins at a cache line.
struct Memory {
  std::byte* bytes;

  explicit Memory(std::size_t size_bytes) {
    void* block = nullptr;
    if (posix_memalign(&block, kDescriptorSizeBytes, size_bytes == 0 ? 1 : size_bytes) != 0) std::abort();
    bytes = static_cast<std::byte*>(block);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(bytes); }
};

// The heap block ends with the last descriptor, so that one byte too far is an error of the address sanitizer; the
// bytes in front are compared.
template <typename Content>
void try_run(const Content& content, std::uint64_t count, std::uint64_t offset_bytes, std::uint64_t first_index,
             const vmemmap::StorePath& path) {
  constexpr std::byte untouched{0xa5};
  // Aligned to a line, so that offsets decide which stores are aligned. Sparse stores want zeros below.
  const std::size_t size_bytes = offset_bytes + count * kDescriptorSizeBytes;
  const Memory memory(size_bytes);
  std::memset(memory.bytes, static_cast<int>(untouched), offset_bytes);
  std::byte* start = memory.bytes + offset_bytes;
  const bool sparse = path.kind == vmemmap::StoreKind::kSparse;
  if (count > 0) std::memset(start, sparse ? 0 : static_cast<int>(untouched), count * kDescriptorSizeBytes);
  vmemmap::fill(start, count, content, first_index, path);
  for (std::uint64_t byte = 0; byte < offset_bytes; byte++) {
    expect(memory.bytes[byte] == untouched, "a byte in front was written", count, offset_bytes, first_index);
  }
  for (std::uint64_t k = 0; k < count; k++) {
    expect(is_written(start + k * kDescriptorSizeBytes, content, first_index + k), "a descriptor is wrong", count,
           offset_bytes, first_index);
  }
  expect(vmemmap::count_differences(start, count, content, first_index) == 0, "a right descriptor counts as wrong",
         count, offset_bytes, first_index);
  expect(vmemmap::first_difference(start, count, content, first_index) == count, "a difference where none is", count,
         offset_bytes, first_index);
  if (count == 0) return;
  // Spoil one bit of the last byte of the last descriptor, then also of the first byte of the one in the middle.
  start[count * kDescriptorSizeBytes - 1] ^= std::byte{0x80};
  expect(vmemmap::count_differences(start, count, content, first_index) == 1,
         "one wrong descriptor is not counted once", count, offset_bytes, first_index);
  expect(vmemmap::first_difference(start, count, content, first_index) == count - 1, "the last is not found", count,
         offset_bytes, first_index);
  const std::uint64_t middle = count / 2;
  start[middle * kDescriptorSizeBytes] ^= std::byte{0x01};
  expect(vmemmap::count_differences(start, count, content, first_index) == (middle == count - 1 ? 1u : 2u),
         "two wrong descriptors are not counted twice", count, offset_bytes, first_index);
  expect(vmemmap::first_difference(start, count, content, first_index) == middle, "the middle is not found", count,
         offset_bytes, first_index);
}

}  // namespace

int main() {
  Pattern constant{};
  for (std::size_t lane = 0; lane < kDescriptorLanes; lane++) constant.first[lane] = 0x0123456789abcdefull * (lane + 1);
  // As page descriptors step: by their own size in two lanes.
  Pattern self_pointers = constant;
  self_pointers.first[1] = self_pointers.first[2] = 8;
  self_pointers.step[1] = self_pointers.step[2] = kDescriptorSizeBytes;
  // Carries from the low into the high word within a few descriptors, wraps at 2^64, steps down, and multiplies high
  // words.
  Pattern carries{};
  carries.first = {0xffffffffull, 0xfffffff0ull, ~0ull, 1, 0x80000000ull, 0x00000000ffffffffull, 5, ~0ull - 3};
  carries.step = {1, 0x10, 1, ~0ull, 0x80000000ull, 0x100000001ull, 0xffffffff00000001ull, 0x9e3779b97f4a7c15ull};

  const std::uint64_t counts[] = {0, 1, 2, 3, 7, 64, 65, 511, 512, 1001};
  const std::uint64_t offsets_bytes[] = {0, 1, 4, 12, 60, 64, 68};
  const std::uint64_t indices[] = {0, 1, 0xfffffffeull, 0x100000000ull, (1ull << 53) - 1, ~0ull - 2};
  // Parts of one page and of many, behind a start of its own, and one of them up to the end of the period.
  Periods periods;
  periods.period = 100;
  periods.start_index = 1;
  periods.parts[0] = {0, constant};
  periods.parts[1] = {1, self_pointers};
  periods.parts[2] = {2, carries};
  periods.parts[3] = {99, constant};
  periods.part_count = 4;
  Periods one_page = periods;
  one_page.period = 1;
  one_page.part_count = 1;

  int runs = 0;
  for (const Periods& content : {periods, one_page}) {
    for (const std::uint64_t count : counts) {
      for (const std::uint64_t index : {1ull, 2ull, 3ull, 99ull, 100ull, 101ull, (1ull << 53) - 1}) {
        for (const vmemmap::StorePath& path : vmemmap::store_paths()) {
          for (const std::uint64_t offset_bytes : {0ull, 4ull, 64ull})
            try_run(content, count, offset_bytes, index, path);
          runs += 3;
        }
      }
    }
  }
  for (const Pattern& pattern : {constant, self_pointers, carries}) {
    for (const std::uint64_t count : counts) {
      for (const std::uint64_t offset_bytes : offsets_bytes) {
        for (const std::uint64_t index : indices) {
          for (const vmemmap::StorePath& path : vmemmap::store_paths()) {
            try_run(pattern, count, offset_bytes, index, path);
            runs++;
          }
        }
      }
    }
  }
  std::printf("init_kernel_test: %d runs, %d failures\n", runs, failures);
  return failures == 0 ? 0 : 1;
}
