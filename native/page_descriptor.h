// struct page of Linux 6.1 on x86-64 as C++ sees it, written by hand so that the compiler checks the generated layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "descriptor_layout.generated.h"

namespace vmemmap {

// Pointers are std::uint64_t: the memmap is shared by processes, so what it holds are offsets and numbers, not
// addresses.
struct PageDescriptor {
  struct List {
    std::uint64_t lru_next;
    std::uint64_t lru_prev;
  };
  struct Device {
    std::uint64_t pgmap;
    std::uint64_t zone_device_data;
  };

  std::uint64_t flags;
  union {
    List ram;
    Device device;
  };
  std::uint64_t mapping;
  std::uint64_t index;
  std::uint64_t private_;
  std::int32_t mapcount;
  std::int32_t refcount;
  std::uint64_t memcg_data;
};

static_assert(sizeof(PageDescriptor) == kDescriptorSizeBytes);

#define VMEMMAP_SAME_PLACE(field, member)                          \
  static_assert(offsetof(PageDescriptor, member) == field.offset); \
  static_assert(sizeof(PageDescriptor::member) == field.size_bytes)
#define VMEMMAP_SAME_PLACE_IN(field, view, type, member)                                                  \
  static_assert(offsetof(PageDescriptor, view) + offsetof(PageDescriptor::type, member) == field.offset); \
  static_assert(sizeof(PageDescriptor::type::member) == field.size_bytes)

VMEMMAP_SAME_PLACE(field::flags, flags);
VMEMMAP_SAME_PLACE_IN(field::lru_next, ram, List, lru_next);
VMEMMAP_SAME_PLACE_IN(field::pgmap, device, Device, pgmap);
VMEMMAP_SAME_PLACE_IN(field::lru_prev, ram, List, lru_prev);
VMEMMAP_SAME_PLACE_IN(field::zone_device_data, device, Device, zone_device_data);
VMEMMAP_SAME_PLACE(field::mapping, mapping);
VMEMMAP_SAME_PLACE(field::index, index);
VMEMMAP_SAME_PLACE(field::private_, private_);
VMEMMAP_SAME_PLACE(field::mapcount, mapcount);
VMEMMAP_SAME_PLACE(field::refcount, refcount);
VMEMMAP_SAME_PLACE(field::memcg_data, memcg_data);

#undef VMEMMAP_SAME_PLACE
#undef VMEMMAP_SAME_PLACE_IN

// A field that the table gains must be given a place above, too.
static_assert(kFields.size() == 11);

}  // namespace vmemmap
