// Takes the arguments of a call from JavaScript and rejects misuse with a TypeError or RangeError that names the
// argument.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "init_kernel.h"

namespace vmemmap {

// Bytes of a typed array. They belong to JavaScript and stay where they are for the length of the call.
struct Bytes {
  std::byte* start = nullptr;
  std::uint64_t size_bytes = 0;
};

// Elements of a Uint32Array or an Int32Array, with the length in elements.
struct Words {
  std::byte* start = nullptr;
  std::uint64_t length = 0;
};

// What a run of descriptors holds: `periods` where it repeats, else `pattern`.
struct Content {
  Pattern pattern{};
  bool repeats = false;
  Periods periods;
};

// The arguments of one call. The first that is wrong throws; from then on every getter returns zeros and asks nothing
// of Node.js, so that a function may take all of its arguments and look at `rejected` once. Allocates nothing on the JS
// heap unless it throws.
class Arguments {
 public:
  static constexpr std::uint64_t kSafeIntegerMax = (std::uint64_t{1} << 53) - 1;

  Arguments(napi_env env, napi_callback_info info, const char* function);

  bool rejected() const { return rejected_; }
  // Whether the argument was left out or is undefined.
  bool is_missing(std::size_t at) const;

  // An integer from `min` to `max`, both allowed.
  std::uint64_t integer(std::size_t at, const char* name, std::uint64_t min, std::uint64_t max);
  // Place of an element among `length` of them; of none, every one is wrong.
  std::uint64_t index(std::size_t at, const char* name, std::uint64_t length);
  // What an element of an Int32Array can hold.
  std::int32_t int32(std::size_t at, const char* name);
  // Number of a file descriptor; whether it is open, the kernel says.
  int file_descriptor(std::size_t at, const char* name);
  std::uint64_t power_of_two(std::size_t at, const char* name, std::uint64_t max);
  Words words(std::size_t at, const char* name);
  // An Int32Array.
  Words int_words(std::size_t at, const char* name);
  // Any typed array.
  Bytes bytes(std::size_t at, const char* name);
  // 32 words: the eight lanes of the first descriptor, then those of the step. Or a content that repeats: its period,
  // where it starts, and for each part, of which there are 1 to Periods::kPartsMax, 33 words: its place, and a pattern.
  // Into `result`, since copying it would cost a call as much as its other arguments.
  void content(std::size_t at, const char* name, Content& result);
  // An array of integers from 0 to `max`.
  std::vector<std::uint32_t> integers(std::size_t at, const char* name, std::uint32_t max);

 private:
  static constexpr std::size_t kMax = 6;

  double number(napi_value value, const char* name);
  // Both bounds are at most 2^53 away from 0.
  std::int64_t integer_of(napi_value value, const char* name, std::int64_t min, std::int64_t max);
  std::string message(const char* name, const std::string& wanted) const;
  void reject_type(const char* name, const std::string& wanted);
  void reject_range(const char* name, const std::string& wanted, double received);

  napi_env env_;
  const char* function_;
  napi_value values_[kMax] = {};
  bool rejected_ = false;
};

}  // namespace vmemmap
