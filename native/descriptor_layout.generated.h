// GENERATED from src/descriptor/layout.ts by .setup/generate-header.mjs: change the table there, then `npm run build`.
// One field a line reads best in a diff.
// clang-format off
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace vmemmap {

inline constexpr std::size_t kDescriptorSizeBytes = 64;
inline constexpr std::size_t kDescriptorLanes = 8;

struct Field {
  std::string_view name;
  std::size_t offset;
  std::size_t size_bytes;
};

// The fields of a descriptor, by the kernel version that brought them.
struct DescriptorLayout {
  std::string_view name;
  std::span<const Field> fields;
};

namespace before_4_18 {
inline constexpr Field flags{"flags", 0, 8};
inline constexpr Field mapping{"mapping", 8, 8};
inline constexpr Field index{"index", 16, 8};
inline constexpr Field mapcount{"mapcount", 24, 4};
inline constexpr Field refcount{"refcount", 28, 4};
inline constexpr Field lru_next{"lru_next", 32, 8};
inline constexpr Field pgmap{"pgmap", 32, 8};
inline constexpr Field lru_prev{"lru_prev", 40, 8};
inline constexpr Field private_{"private", 48, 8};
inline constexpr Field memcg_data{"memcg_data", 56, 8};

// Sorted by offset; fields that overlap are members of a union.
inline constexpr std::array kFields{
    flags,
    mapping,
    index,
    mapcount,
    refcount,
    lru_next,
    pgmap,
    lru_prev,
    private_,
    memcg_data,
};
}  // namespace before_4_18

namespace since_4_18 {
inline constexpr Field flags{"flags", 0, 8};
inline constexpr Field lru_next{"lru_next", 8, 8};
inline constexpr Field pgmap{"pgmap", 8, 8};
inline constexpr Field compound_head{"compound_head", 8, 8};
inline constexpr Field lru_prev{"lru_prev", 16, 8};
inline constexpr Field zone_device_data{"zone_device_data", 16, 8};
inline constexpr Field compound_dtor{"compound_dtor", 16, 1};
inline constexpr Field compound_order{"compound_order", 17, 1};
inline constexpr Field compound_mapcount{"compound_mapcount", 20, 4};
inline constexpr Field mapping{"mapping", 24, 8};
inline constexpr Field compound_pincount{"compound_pincount", 24, 4};
inline constexpr Field compound_nr{"compound_nr", 28, 4};
inline constexpr Field index{"index", 32, 8};
inline constexpr Field private_{"private", 40, 8};
inline constexpr Field mapcount{"mapcount", 48, 4};
inline constexpr Field refcount{"refcount", 52, 4};
inline constexpr Field memcg_data{"memcg_data", 56, 8};

// Sorted by offset; fields that overlap are members of a union.
inline constexpr std::array kFields{
    flags,
    lru_next,
    pgmap,
    compound_head,
    lru_prev,
    zone_device_data,
    compound_dtor,
    compound_order,
    compound_mapcount,
    mapping,
    compound_pincount,
    compound_nr,
    index,
    private_,
    mapcount,
    refcount,
    memcg_data,
};
}  // namespace since_4_18

namespace since_6_15 {
inline constexpr Field flags{"flags", 0, 8};
inline constexpr Field lru_next{"lru_next", 8, 8};
inline constexpr Field pgmap{"pgmap", 8, 8};
inline constexpr Field compound_head{"compound_head", 8, 8};
inline constexpr Field lru_prev{"lru_prev", 16, 8};
inline constexpr Field zone_device_data{"zone_device_data", 16, 8};
inline constexpr Field large_mapcount{"large_mapcount", 16, 4};
inline constexpr Field nr_pages_mapped{"nr_pages_mapped", 20, 4};
inline constexpr Field mapping{"mapping", 24, 8};
inline constexpr Field entire_mapcount{"entire_mapcount", 24, 4};
inline constexpr Field pincount{"pincount", 28, 4};
inline constexpr Field index{"index", 32, 8};
inline constexpr Field mm_id_mapcount_0{"mm_id_mapcount_0", 32, 4};
inline constexpr Field mm_id_mapcount_1{"mm_id_mapcount_1", 36, 4};
inline constexpr Field private_{"private", 40, 8};
inline constexpr Field mm_ids{"mm_ids", 40, 8};
inline constexpr Field mapcount{"mapcount", 48, 4};
inline constexpr Field refcount{"refcount", 52, 4};
inline constexpr Field memcg_data{"memcg_data", 56, 8};
inline constexpr Field nr_pages{"nr_pages", 56, 4};

// Sorted by offset; fields that overlap are members of a union.
inline constexpr std::array kFields{
    flags,
    lru_next,
    pgmap,
    compound_head,
    lru_prev,
    zone_device_data,
    large_mapcount,
    nr_pages_mapped,
    mapping,
    entire_mapcount,
    pincount,
    index,
    mm_id_mapcount_0,
    mm_id_mapcount_1,
    private_,
    mm_ids,
    mapcount,
    refcount,
    memcg_data,
    nr_pages,
};
}  // namespace since_6_15

inline constexpr std::array kLayouts{
    DescriptorLayout{"before-4.18", before_4_18::kFields},
    DescriptorLayout{"4.18", since_4_18::kFields},
    DescriptorLayout{"6.15", since_6_15::kFields},
};

}  // namespace vmemmap
