// GENERATED from src/descriptor/layout.ts by .setup/generate-header.mjs: change the table there, then `npm run build`.
// One field a line reads best in a diff.
// clang-format off
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace vmemmap {

inline constexpr std::size_t kDescriptorSizeBytes = 64;
inline constexpr std::size_t kDescriptorLanes = 8;

struct Field {
  std::string_view name;
  std::size_t offset;
  std::size_t size_bytes;
};

namespace field {
inline constexpr Field flags{"flags", 0, 8};
inline constexpr Field lru_next{"lru_next", 8, 8};
inline constexpr Field pgmap{"pgmap", 8, 8};
inline constexpr Field lru_prev{"lru_prev", 16, 8};
inline constexpr Field zone_device_data{"zone_device_data", 16, 8};
inline constexpr Field mapping{"mapping", 24, 8};
inline constexpr Field index{"index", 32, 8};
inline constexpr Field private_{"private", 40, 8};
inline constexpr Field mapcount{"mapcount", 48, 4};
inline constexpr Field refcount{"refcount", 52, 4};
inline constexpr Field memcg_data{"memcg_data", 56, 8};
}  // namespace field

// Sorted by offset; fields that overlap are members of a union.
inline constexpr std::array kFields{
    field::flags,
    field::lru_next,
    field::pgmap,
    field::lru_prev,
    field::zone_device_data,
    field::mapping,
    field::index,
    field::private_,
    field::mapcount,
    field::refcount,
    field::memcg_data,
};

}  // namespace vmemmap
