// The system calls behind affinity.h, on Linux.
#include "affinity.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmemmap {
namespace {

// A set of CPUs as the kernel takes it. cpu_set_t alone ends at 1024 CPUs, and a kernel built for more refuses a buffer
// that is shorter than its own (EINVAL): hence a row of them, which grows.
class CpuSet {
 public:
  explicit CpuSet(std::size_t parts) : parts_(parts) {}

  std::size_t size_bytes() const { return parts_.size() * sizeof(cpu_set_t); }
  std::uint32_t cpus_end() const { return static_cast<std::uint32_t>(size_bytes() * 8); }
  cpu_set_t* data() { return parts_.data(); }
  bool has(std::uint32_t cpu) const { return cpu < cpus_end() && CPU_ISSET_S(cpu, size_bytes(), parts_.data()); }
  void add(std::uint32_t cpu) { CPU_SET_S(cpu, size_bytes(), parts_.data()); }

 private:
  std::vector<cpu_set_t> parts_;
};

// 2^20 CPUs: no kernel is built for more, so there EINVAL means something else.
constexpr std::size_t kPartsMax = 1024;

int allowed_set(CpuSet& set) {
  for (std::size_t parts = 1; parts <= kPartsMax; parts *= 2) {
    set = CpuSet(parts);
    if (sched_getaffinity(0, set.size_bytes(), set.data()) == 0) return 0;
    if (errno != EINVAL) return errno;
  }
  return EINVAL;
}

}  // namespace

int allowed_cpus(std::vector<std::uint32_t>& cpus) noexcept {
  CpuSet allowed(1);
  if (const int error = allowed_set(allowed); error != 0) return error;
  cpus.clear();
  for (std::uint32_t cpu = 0; cpu < allowed.cpus_end(); cpu++) {
    if (allowed.has(cpu)) cpus.push_back(cpu);
  }
  return 0;
}

int pin_thread(const std::vector<std::uint32_t>& cpus) noexcept {
  CpuSet allowed(1);
  if (const int error = allowed_set(allowed); error != 0) return error;
  CpuSet wanted(allowed.size_bytes() / sizeof(cpu_set_t));
  for (const std::uint32_t cpu : cpus) {
    if (allowed.has(cpu)) wanted.add(cpu);
  }
  // An empty set needs no check here: the kernel refuses it with EINVAL.
  return sched_setaffinity(0, wanted.size_bytes(), wanted.data()) == 0 ? 0 : errno;
}

// By number: glibc has gettid only since 2.30.
std::int32_t thread_id() noexcept { return static_cast<std::int32_t>(syscall(SYS_gettid)); }

}  // namespace vmemmap
