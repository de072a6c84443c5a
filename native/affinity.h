// On which CPUs the calling thread may run. Nothing here is remembered: the kernel keeps this per thread.
#pragma once

#include <cstdint>
#include <vector>

namespace vmemmap {

// Lists, rising, the CPUs that the calling thread may use. Returns 0 or an errno.
int allowed_cpus(std::vector<std::uint32_t>& cpus) noexcept;

// Pins the calling thread to those of `cpus` that it may use now: a container or taskset may have taken the others
// away, and asking for them must not win them back. Returns 0 or an errno; EINVAL when none is left, and then nothing
// changed.
int pin_thread(const std::vector<std::uint32_t>& cpus) noexcept;

// Id of the calling thread as the kernel and /proc name it.
std::int32_t thread_id() noexcept;

}  // namespace vmemmap
