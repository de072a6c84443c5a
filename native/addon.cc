// The Node-API edge: takes arguments, calls, wraps the result. Every worker thread loads it anew and it keeps no state.
#include <node_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "affinity.h"
#include "arguments.h"
#include "durability.h"
#include "file.h"
#include "futex.h"
#include "init_kernel.h"
#include "memory.h"
#include "store_paths.h"

namespace vmemmap {
namespace {

constexpr std::uint64_t kPageSizeBytesMax = std::uint64_t{1} << 34;  // 16 GiB, the largest that any kernel has

// Node-API calls below whose status is not looked at can fail only when JavaScript cannot run any more (the worker is
// being terminated); the null that they leave is then what nobody reads.
napi_value to_js(napi_env env, double number) {
  napi_value result = nullptr;
  napi_create_double(env, number, &result);
  return result;
}

// Errnos and counts below 2^31 become small integers, which take no space on the JS heap.
napi_value to_js(napi_env env, std::int32_t number) {
  napi_value result = nullptr;
  napi_create_int32(env, number, &result);
  return result;
}

napi_value to_js(napi_env env, const std::vector<std::uint32_t>& numbers) {
  napi_value result = nullptr;
  napi_create_array_with_length(env, numbers.size(), &result);
  for (std::uint32_t i = 0; i < numbers.size(); i++) {
    napi_set_element(env, result, i, to_js(env, static_cast<std::int32_t>(numbers[i])));
  }
  return result;
}

// (words: Uint32Array, wordOffset: number, count: number, line: Uint32Array, firstIndex: number), shared by fill, check
// and firstDifference.
struct Run {
  std::byte* start = nullptr;
  std::uint64_t count = 0;
  Content content;
  std::uint64_t first_index = 0;

  explicit Run(Arguments& arguments) {
    constexpr std::uint64_t descriptor_words = kDescriptorSizeBytes / sizeof(std::uint32_t);
    const Words words = arguments.words(0, "words");
    const std::uint64_t word_offset = arguments.integer(1, "wordOffset", 0, words.length);
    // A rejected argument reads as 0, so that nothing here runs below zero.
    count = arguments.integer(2, "count", 0, (words.length - word_offset) / descriptor_words);
    arguments.content(3, "line", content);
    first_index = arguments.integer(4, "firstIndex", content.periods.start_index, Arguments::kSafeIntegerMax);
    if (count > 0) start = words.start + word_offset * sizeof(std::uint32_t);
  }

  // Calls back with what it writes or finds: a pattern or periods.
  template <typename Visit>
  auto with_content(Visit visit) const {
    return content.repeats ? visit(content.periods) : visit(content.pattern);
  }
};

napi_value Fill(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "fill");
  const Run run(arguments);
  const auto paths = store_paths();
  const std::uint64_t path = arguments.integer(5, "path", 0, paths.size() - 1);
  if (arguments.rejected()) return nullptr;
  run.with_content([&](const auto& what) { fill(run.start, run.count, what, run.first_index, paths[path]); });
  return to_js(env, 0);
}

// [{name, kind, needsFlush}], in the order of their numbers.
napi_value StorePaths(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  std::uint32_t number = 0;
  for (const StorePath& path : store_paths()) {
    napi_value entry = nullptr;
    napi_create_object(env, &entry);
    const auto set = [&](const char* key, const char* text) {
      napi_value value = nullptr;
      napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
      napi_set_named_property(env, entry, key, value);
    };
    set("name", path.name);
    set("kind", path.kind == StoreKind::kPlain         ? "plain"
                : path.kind == StoreKind::kNonTemporal ? "non-temporal"
                                                       : "sparse");
    napi_value needs_flush = nullptr;
    napi_get_boolean(env, path.needs_flush, &needs_flush);
    napi_set_named_property(env, entry, "needsFlush", needs_flush);
    napi_set_element(env, list, number++, entry);
  }
  return list;
}

napi_value Check(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "check");
  const Run run(arguments);
  if (arguments.rejected()) return nullptr;
  // At most 2^28: a typed array ends at 2^32 words.
  const std::uint64_t differences = run.with_content(
      [&](const auto& what) { return count_differences(run.start, run.count, what, run.first_index); });
  return to_js(env, static_cast<std::int32_t>(differences));
}

napi_value FirstDifference(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "firstDifference");
  const Run run(arguments);
  if (arguments.rejected()) return nullptr;
  const std::uint64_t first =
      run.with_content([&](const auto& what) { return first_difference(run.start, run.count, what, run.first_index); });
  return to_js(env, first == run.count ? -1 : static_cast<std::int32_t>(first));
}

napi_value BytesToBoundary(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "bytesToBoundary");
  const Bytes view = arguments.bytes(0, "view");
  const std::uint64_t boundary = arguments.power_of_two(1, "boundary", std::uint64_t{1} << 30);
  if (arguments.rejected()) return nullptr;
  return to_js(env, static_cast<std::int32_t>(bytes_to_boundary(view.start, boundary)));
}

napi_value AddressOf(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "addressOf");
  const Bytes view = arguments.bytes(0, "view");
  if (arguments.rejected()) return nullptr;
  napi_value result = nullptr;
  napi_create_bigint_uint64(env, reinterpret_cast<std::uintptr_t>(view.start), &result);
  return result;
}

// (view, byteOffset = 0, byteLength = all behind it)
napi_value OnPages(napi_env env, napi_callback_info info, const char* name, int (*call)(std::byte*, std::uint64_t)) {
  Arguments arguments(env, info, name);
  const Bytes view = arguments.bytes(0, "view");
  const std::uint64_t offset = arguments.is_missing(1) ? 0 : arguments.integer(1, "byteOffset", 0, view.size_bytes);
  const std::uint64_t rest = view.size_bytes - offset;
  const std::uint64_t length = arguments.is_missing(2) ? rest : arguments.integer(2, "byteLength", 0, rest);
  if (arguments.rejected()) return nullptr;
  return to_js(env, call(view.start + offset, length));
}

napi_value AdviseHugePages(napi_env env, napi_callback_info info) {
  return OnPages(env, info, "adviseHugePages", advise_huge_pages);
}

napi_value Populate(napi_env env, napi_callback_info info) { return OnPages(env, info, "populate", populate); }

napi_value PopulateRead(napi_env env, napi_callback_info info) {
  return OnPages(env, info, "populateRead", populate_read);
}

napi_value SyncPages(napi_env env, napi_callback_info info) { return OnPages(env, info, "syncPages", sync_pages); }

napi_value Flush(napi_env env, napi_callback_info info) {
  return OnPages(env, info, "flush", [](std::byte* start, std::uint64_t size_bytes) {
    flush(start, size_bytes);
    return 0;
  });
}

napi_value FlushInstruction(napi_env env, napi_callback_info) {
  napi_value name = nullptr;
  napi_create_string_utf8(env, flush_instruction(), NAPI_AUTO_LENGTH, &name);
  return name;
}

napi_value Discard(napi_env env, napi_callback_info info) { return OnPages(env, info, "discard", discard); }

napi_value Reuse(napi_env env, napi_callback_info info) {
  return OnPages(env, info, "reuse", [](std::byte* start, std::uint64_t size_bytes) {
    reuse(start, size_bytes);
    return 0;
  });
}

// (view, pageSizeBytes)
napi_value MapPages(napi_env env, napi_callback_info info, const char* name,
                    int (*call)(std::byte*, std::uint64_t, std::uint64_t)) {
  Arguments arguments(env, info, name);
  const Bytes view = arguments.bytes(0, "view");
  const std::uint64_t page_size_bytes = arguments.power_of_two(1, "pageSizeBytes", kPageSizeBytesMax);
  if (arguments.rejected()) return nullptr;
  return to_js(env, call(view.start, view.size_bytes, page_size_bytes));
}

napi_value MapHugePages(napi_env env, napi_callback_info info) {
  return MapPages(env, info, "mapHugePages", map_huge_pages);
}

napi_value UnmapHugePages(napi_env env, napi_callback_info info) {
  return MapPages(env, info, "unmapHugePages", unmap_huge_pages);
}

// (view, periodBytes, blockBytes)
napi_value MapSharedTails(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mapSharedTails");
  const Bytes view = arguments.bytes(0, "view");
  const std::uint64_t period_bytes = arguments.power_of_two(1, "periodBytes", kPageSizeBytesMax);
  const std::uint64_t block_bytes = arguments.power_of_two(2, "blockBytes", kPageSizeBytesMax);
  if (arguments.rejected()) return nullptr;
  return to_js(env, map_shared_tails(view.start, view.size_bytes, period_bytes, block_bytes));
}

napi_value PreferNode(napi_env env, napi_callback_info info) {
  constexpr std::uint64_t nid_max = (1u << 10) - 1;  // NODES_SHIFT is 10 at most
  Arguments arguments(env, info, "preferNode");
  const Bytes view = arguments.bytes(0, "view");
  const auto nid = static_cast<std::uint32_t>(arguments.integer(1, "nid", 0, nid_max));
  if (arguments.rejected()) return nullptr;
  return to_js(env, prefer_node(view.start, view.size_bytes, nid));
}

// (view, fd, fileOffset, mode)
napi_value MapFile(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mapFile");
  const Bytes view = arguments.bytes(0, "view");
  const int fd = arguments.file_descriptor(1, "fd");
  const std::uint64_t file_offset = arguments.integer(2, "fileOffset", 0, Arguments::kSafeIntegerMax);
  const auto mode = static_cast<MapMode>(arguments.integer(3, "mode", 0, kMapModeCount - 1));
  if (arguments.rejected()) return nullptr;
  return to_js(env, map_file(view.start, view.size_bytes, fd, file_offset, mode));
}

// (fd, offset, length)
napi_value AllocateFile(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "allocateFile");
  const int fd = arguments.file_descriptor(0, "fd");
  const std::uint64_t offset = arguments.integer(1, "offset", 0, Arguments::kSafeIntegerMax);
  const std::uint64_t length_bytes = arguments.integer(2, "length", 0, Arguments::kSafeIntegerMax);
  if (arguments.rejected()) return nullptr;
  return to_js(env, allocate_file(fd, offset, length_bytes));
}

// (fd)
napi_value OnFile(napi_env env, napi_callback_info info, const char* name, int (*call)(int)) {
  Arguments arguments(env, info, name);
  const int fd = arguments.file_descriptor(0, "fd");
  if (arguments.rejected()) return nullptr;
  return to_js(env, call(fd));
}

napi_value MountId(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mountId");
  const int fd = arguments.file_descriptor(0, "fd");
  if (arguments.rejected()) return nullptr;
  // Unique ones count up from 2^31: a double holds any that there will be
  return to_js(env, static_cast<double>(mount_id(fd)));
}

napi_value IsDax(napi_env env, napi_callback_info info) { return OnFile(env, info, "isDax", is_dax); }

// (fd, offset, length, pageSizeBytes)
napi_value OnFilePages(napi_env env, napi_callback_info info, const char* name,
                       int (*call)(int, std::uint64_t, std::uint64_t, std::uint64_t)) {
  Arguments arguments(env, info, name);
  const int fd = arguments.file_descriptor(0, "fd");
  const std::uint64_t offset = arguments.integer(1, "offset", 0, Arguments::kSafeIntegerMax);
  const std::uint64_t length_bytes = arguments.integer(2, "length", 1, Arguments::kSafeIntegerMax);
  const std::uint64_t page_size_bytes = arguments.power_of_two(3, "pageSizeBytes", kPageSizeBytesMax);
  if (arguments.rejected()) return nullptr;
  return to_js(env, call(fd, offset, length_bytes, page_size_bytes));
}

napi_value ReadError(napi_env env, napi_callback_info info) { return OnFilePages(env, info, "readError", read_error); }

napi_value WhyUnreachable(napi_env env, napi_callback_info info) {
  return OnFilePages(env, info, "whyUnreachable", why_unreachable);
}

// (fd, byte, kind)
napi_value LockByte(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "lockByte");
  const int fd = arguments.file_descriptor(0, "fd");
  const std::uint64_t byte = arguments.integer(1, "byte", 0, Arguments::kSafeIntegerMax);
  const auto kind = static_cast<LockKind>(arguments.integer(2, "kind", 0, kLockKindCount - 1));
  if (arguments.rejected()) return nullptr;
  return to_js(env, lock_byte(fd, byte, kind));
}

// (fd, byte)
napi_value TestLock(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "testLock");
  const int fd = arguments.file_descriptor(0, "fd");
  const std::uint64_t byte = arguments.integer(1, "byte", 0, Arguments::kSafeIntegerMax);
  if (arguments.rejected()) return nullptr;
  return to_js(env, test_lock(fd, byte));
}

// (view: Int32Array, index); null when rejected.
const std::int32_t* futex_word(Arguments& arguments) {
  const Words view = arguments.int_words(0, "view");
  const std::uint64_t index = arguments.index(1, "index", view.length);
  if (arguments.rejected()) return nullptr;
  return reinterpret_cast<const std::int32_t*>(view.start) + index;
}

napi_value FutexWait(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "futexWait");
  const std::int32_t* word = futex_word(arguments);
  const std::int32_t expected = arguments.int32(2, "expected");
  const std::uint64_t timeout_ms = arguments.integer(3, "timeoutMs", 0, INT32_MAX);
  if (arguments.rejected()) return nullptr;
  return to_js(env, futex_wait(word, expected, timeout_ms));
}

napi_value FutexWake(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "futexWake");
  const std::int32_t* word = futex_word(arguments);
  if (arguments.rejected()) return nullptr;
  return to_js(env, futex_wake(word));
}

napi_value PinThread(napi_env env, napi_callback_info info) {
  constexpr std::uint32_t cpu_max = (1u << 20) - 1;  // more than any kernel is built for
  Arguments arguments(env, info, "pinThread");
  const std::vector<std::uint32_t> cpus = arguments.integers(0, "cpus", cpu_max);
  if (arguments.rejected()) return nullptr;
  return to_js(env, pin_thread(cpus));
}

napi_value AllowedCpus(napi_env env, napi_callback_info) {
  std::vector<std::uint32_t> cpus;
  if (const int error = allowed_cpus(cpus); error != 0) {
    const std::string text = "allowedCpus: sched_getaffinity failed with errno " + std::to_string(error);
    napi_throw_error(env, "ERR_SYSTEM_ERROR", text.c_str());
    return nullptr;
  }
  return to_js(env, cpus);
}

napi_value ThreadId(napi_env env, napi_callback_info) { return to_js(env, thread_id()); }

// What the addon was compiled with, for comparison with the table in src/descriptor/layout.ts when it is loaded.
napi_value Layout(napi_env env, napi_callback_info) {
  napi_value facts = nullptr;
  napi_create_object(env, &facts);
  const auto set = [&](const std::string& name, std::size_t value) {
    napi_set_named_property(env, facts, name.c_str(), to_js(env, static_cast<double>(value)));
  };
  set("lanes", kDescriptorLanes);
  set("size", kDescriptorSizeBytes);
  for (const DescriptorLayout& layout : kLayouts) {
    for (const Field& field : layout.fields) {
      const std::string name = std::string(layout.name) + "." + std::string(field.name);
      set(name + ".offset", field.offset);
      set(name + ".size", field.size_bytes);
    }
  }
  return facts;
}

napi_value Initialize(napi_env env, napi_value exports) {
  const auto method = [](const char* name, napi_callback callback) {
    return napi_property_descriptor{name,   nullptr, callback, nullptr, nullptr, nullptr, napi_default_jsproperty,
                                    nullptr};
  };
  const napi_property_descriptor methods[] = {
      method("fill", Fill),
      method("storePaths", StorePaths),
      method("check", Check),
      method("firstDifference", FirstDifference),
      method("bytesToBoundary", BytesToBoundary),
      method("addressOf", AddressOf),
      method("adviseHugePages", AdviseHugePages),
      method("populate", Populate),
      method("populateRead", PopulateRead),
      method("discard", Discard),
      method("reuse", Reuse),
      method("mapHugePages", MapHugePages),
      method("unmapHugePages", UnmapHugePages),
      method("mapSharedTails", MapSharedTails),
      method("preferNode", PreferNode),
      method("mapFile", MapFile),
      method("allocateFile", AllocateFile),
      method("isDax", IsDax),
      method("mountId", MountId),
      method("syncPages", SyncPages),
      method("readError", ReadError),
      method("whyUnreachable", WhyUnreachable),
      method("lockByte", LockByte),
      method("testLock", TestLock),
      method("flush", Flush),
      method("flushInstruction", FlushInstruction),
      method("futexWait", FutexWait),
      method("futexWake", FutexWake),
      method("pinThread", PinThread),
      method("allowedCpus", AllowedCpus),
      method("threadId", ThreadId),
      method("layout", Layout),
  };
  if (napi_define_properties(env, exports, std::size(methods), methods) != napi_ok) return nullptr;
  return exports;
}

}  // namespace
}  // namespace vmemmap

NAPI_MODULE_INIT() { return vmemmap::Initialize(env, exports); }
