// Chooses the instruction that flushes a cache line, on x86-64 and arm64.
#include "durability.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "operations.h"

namespace vmemmap {
namespace {

struct Instruction {
  const char* name;
  void (*flush_lines)(std::uintptr_t first, std::uintptr_t end) noexcept;
};

template <void (*kFlushLine)(std::byte*)>
void flush_lines(std::uintptr_t first, std::uintptr_t end) noexcept {
  for (std::uintptr_t line = first; line < end; line += kCacheLineBytes) {
    auto* address = reinterpret_cast<std::byte*>(line);
    kFlushLine(address);
    record(Operation::kFlush, address, kCacheLineBytes);
  }
}

// In assembly: the intrinsics ask for compiler options beyond the oldest processors. The clobbered memory keeps the
// stores before in front of it.
#if defined(__x86_64__)

// Keeps the line in the cache where the processor can do so, and does not wait for the one before.
inline void clwb(std::byte* line) { asm volatile("clwb (%0)" ::"r"(line) : "memory"); }

// Drops the line, which the next reader then fetches again.
inline void clflushopt(std::byte* line) { asm volatile("clflushopt (%0)" ::"r"(line) : "memory"); }

// Drops it, and waits for each before the next: several times slower; every x86-64 has it.
inline void clflush(std::byte* line) { asm volatile("clflush (%0)" ::"r"(line) : "memory"); }

Instruction choose() noexcept {
  constexpr unsigned int has_clwb = 1u << 24;
  constexpr unsigned int has_clflushopt = 1u << 23;
  unsigned int eax = 0;
  unsigned int ebx = 0;
  unsigned int ecx = 0;
  unsigned int edx = 0;
  // 0 where the processor is too old to have this leaf; then ebx stays 0.
  __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
  if ((ebx & has_clwb) != 0) return {"clwb", flush_lines<clwb>};
  if ((ebx & has_clflushopt) != 0) return {"clflushopt", flush_lines<clflushopt>};
  return {"clflush", flush_lines<clflush>};
}

#elif defined(__aarch64__)

// DC CVAP and DC CVAC by their encodings, since assemblers for the oldest processors know only the second. Lines may be
// longer than 64 bytes, and are then flushed more than once; no processor that runs Linux servers has shorter ones.

// To the point of persistence.
inline void dc_cvap(std::byte* line) { asm volatile("sys #3, c7, c12, #1, %0" ::"r"(line) : "memory"); }

// To the point of coherency, which is memory where there is no point of persistence.
inline void dc_cvac(std::byte* line) { asm volatile("sys #3, c7, c10, #1, %0" ::"r"(line) : "memory"); }

Instruction choose() noexcept {
  constexpr unsigned long has_dcpop = 1ul << 16;  // from <asm/hwcap.h>
  if ((getauxval(AT_HWCAP) & has_dcpop) != 0) return {"dc cvap", flush_lines<dc_cvap>};
  return {"dc cvac", flush_lines<dc_cvac>};
}

#else
#error "no flush for this processor"
#endif

const Instruction& instruction() noexcept {
  // Made by whichever thread comes first; C++ lets the others wait.
  static const Instruction chosen = choose();
  return chosen;
}

}  // namespace

void flush(const std::byte* start, std::uint64_t size_bytes) noexcept {
  if (size_bytes == 0) return;
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  instruction().flush_lines(address / kCacheLineBytes * kCacheLineBytes, address + size_bytes);
  store_fence();
}

const char* flush_instruction() noexcept { return instruction().name; }

}  // namespace vmemmap
