// struct page of each layout as C++ sees it on x86-64, written by hand so that the compiler checks the generated ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include "descriptor_layout.generated.h"

namespace vmemmap {

// Pointers are std::uint64_t: the memmap is shared by processes, so what it holds are offsets and numbers, not
// addresses.

namespace before_4_18 {

struct PageDescriptor {
  std::uint64_t flags;
  std::uint64_t mapping;
  std::uint64_t index;
  std::int32_t mapcount;
  std::int32_t refcount;
  union {
    std::uint64_t lru_next;
    std::uint64_t pgmap;
  };
  std::uint64_t lru_prev;
  std::uint64_t private_;
  std::uint64_t memcg_data;
};

}  // namespace before_4_18

namespace since_4_18 {

struct PageDescriptor {
  std::uint64_t flags;
  union {
    std::uint64_t lru_next;
    std::uint64_t pgmap;
    std::uint64_t compound_head;
  };
  union {
    std::uint64_t lru_prev;
    std::uint64_t zone_device_data;
  };
  std::uint64_t mapping;
  std::uint64_t index;
  std::uint64_t private_;
  std::int32_t mapcount;
  std::int32_t refcount;
  std::uint64_t memcg_data;
};

struct FirstTail {
  std::uint64_t flags;
  std::uint64_t compound_head;
  std::uint8_t compound_dtor;
  std::uint8_t compound_order;
  std::int32_t compound_mapcount;
  std::int32_t compound_pincount;
  std::uint32_t compound_nr;
  std::uint64_t index;
  std::uint64_t private_;
  std::int32_t mapcount;
  std::int32_t refcount;
  std::uint64_t memcg_data;
};

}  // namespace since_4_18

namespace since_6_15 {

// What is in struct page has stayed; the first tail is part of struct folio.
using PageDescriptor = since_4_18::PageDescriptor;

struct FirstTail {
  std::uint64_t flags;
  std::uint64_t compound_head;
  std::int32_t large_mapcount;
  std::int32_t nr_pages_mapped;
  std::int32_t entire_mapcount;
  std::int32_t pincount;
  std::int32_t mm_id_mapcount_0;
  std::int32_t mm_id_mapcount_1;
  std::uint64_t mm_ids;
  std::int32_t mapcount;
  std::int32_t refcount;
  std::uint32_t nr_pages;
};

}  // namespace since_6_15

#define VMEMMAP_SAME_PLACE(layout, type, field)                         \
  static_assert(offsetof(layout::type, field) == layout::field.offset); \
  static_assert(sizeof(decltype(layout::type::field)) == layout::field.size_bytes)

#define VMEMMAP_SAME_PAGE(layout)                                        \
  static_assert(sizeof(layout::PageDescriptor) == kDescriptorSizeBytes); \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, flags);                     \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, lru_next);                  \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, pgmap);                     \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, lru_prev);                  \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, mapping);                   \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, index);                     \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, private_);                  \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, mapcount);                  \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, refcount);                  \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, memcg_data)

#define VMEMMAP_SAME_TAIL(layout)                                   \
  static_assert(sizeof(layout::FirstTail) == kDescriptorSizeBytes); \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, compound_head);        \
  VMEMMAP_SAME_PLACE(layout, PageDescriptor, zone_device_data);     \
  VMEMMAP_SAME_PLACE(layout, FirstTail, flags);                     \
  VMEMMAP_SAME_PLACE(layout, FirstTail, compound_head);             \
  VMEMMAP_SAME_PLACE(layout, FirstTail, mapcount);                  \
  VMEMMAP_SAME_PLACE(layout, FirstTail, refcount)

VMEMMAP_SAME_PAGE(before_4_18);
VMEMMAP_SAME_PAGE(since_4_18);
VMEMMAP_SAME_PAGE(since_6_15);
VMEMMAP_SAME_TAIL(since_4_18);
VMEMMAP_SAME_TAIL(since_6_15);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, compound_dtor);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, compound_order);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, compound_mapcount);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, compound_pincount);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, compound_nr);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, index);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, private_);
VMEMMAP_SAME_PLACE(since_4_18, FirstTail, memcg_data);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, large_mapcount);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, nr_pages_mapped);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, entire_mapcount);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, pincount);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, mm_id_mapcount_0);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, mm_id_mapcount_1);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, mm_ids);
VMEMMAP_SAME_PLACE(since_6_15, FirstTail, nr_pages);

#undef VMEMMAP_SAME_PLACE
#undef VMEMMAP_SAME_PAGE
#undef VMEMMAP_SAME_TAIL

// A field that a table gains must be given a place above, too.
static_assert(before_4_18::kFields.size() == 10);
static_assert(since_4_18::kFields.size() == 17);
static_assert(since_6_15::kFields.size() == 20);

}  // namespace vmemmap
