// Checks each argument and words the errors.
#include "arguments.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

namespace vmemmap {
namespace {

std::size_t element_size_bytes(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return 1;
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    default:  // one that Node.js gained later
      return 0;
  }
}

struct TypedArray {
  bool is_one = false;
  napi_typedarray_type type = napi_int8_array;
  std::size_t length = 0;
  void* data = nullptr;
};

// Works for views of a SharedArrayBuffer as well, which napi_get_arraybuffer_info refuses. The buffer itself is not
// asked for: that would make a handle nobody needs. Nor is napi_is_typedarray: the call refuses everything else, and a
// fill has no time to give away (asking the type of two views is the dearest part of its 150 ns).
TypedArray typed_array(napi_env env, napi_value value) {
  TypedArray array;
  array.is_one =
      napi_get_typedarray_info(env, value, &array.type, &array.length, &array.data, nullptr, nullptr) == napi_ok;
  return array;
}

}  // namespace

Arguments::Arguments(napi_env env, napi_callback_info info, const char* function) : env_(env), function_(function) {
  // Where fewer were passed, Node-API fills up with undefined.
  std::size_t count = kMax;
  if (napi_get_cb_info(env, info, &count, values_, nullptr, nullptr) != napi_ok) rejected_ = true;
}

bool Arguments::is_missing(std::size_t at) const {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env_, values_[at], &type) != napi_ok || type == napi_undefined;
}

std::string Arguments::message(const char* name, const std::string& wanted) const {
  return std::string(function_) + ": " + name + " must be " + wanted;
}

void Arguments::reject_type(const char* name, const std::string& wanted) {
  napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", message(name, wanted).c_str());
  rejected_ = true;
}

void Arguments::reject_range(const char* name, const std::string& wanted, double received) {
  // As JavaScript would print it: no fraction where there is none, and NaN by its name.
  char digits[32] = "NaN";
  if (!std::isnan(received)) std::snprintf(digits, sizeof digits, "%.17g", received);
  napi_throw_range_error(env_, "ERR_OUT_OF_RANGE", (message(name, wanted) + ", received " + digits).c_str());
  rejected_ = true;
}

double Arguments::number(napi_value value, const char* name) {
  double result = 0;
  if (napi_get_value_double(env_, value, &result) == napi_ok) return result;
  reject_type(name, "a number");
  return 0;
}

std::int64_t Arguments::integer_of(napi_value value, const char* name, std::int64_t min, std::int64_t max) {
  const double received = number(value, name);
  if (rejected_) return 0;
  // Compared as doubles: both bounds are exact. NaN fails the first comparison. What is inside fits an int64, from
  // which there is one instruction to a double; std::trunc and unsigned conversions are many without SSE4.
  if (received >= static_cast<double>(min) && received <= static_cast<double>(max)) {
    const auto integer = static_cast<std::int64_t>(received);
    if (static_cast<double>(integer) == received) return integer;
  }
  reject_range(name, std::string("an integer from ") + std::to_string(min) + " to " + std::to_string(max), received);
  return 0;
}

std::uint64_t Arguments::integer(std::size_t at, const char* name, std::uint64_t min, std::uint64_t max) {
  if (rejected_) return 0;
  const auto lowest = static_cast<std::int64_t>(min);
  return static_cast<std::uint64_t>(integer_of(values_[at], name, lowest, static_cast<std::int64_t>(max)));
}

std::uint64_t Arguments::index(std::size_t at, const char* name, std::uint64_t length) {
  if (rejected_) return 0;
  const double received = number(values_[at], name);
  if (rejected_) return 0;
  if (length > 0) return integer(at, name, 0, length - 1);
  reject_range(name, "the place of an element, of which there are none", received);
  return 0;
}

std::int32_t Arguments::int32(std::size_t at, const char* name) {
  if (rejected_) return 0;
  return static_cast<std::int32_t>(integer_of(values_[at], name, INT32_MIN, INT32_MAX));
}

int Arguments::file_descriptor(std::size_t at, const char* name) {
  return static_cast<int>(integer(at, name, 0, INT32_MAX));
}

std::uint64_t Arguments::power_of_two(std::size_t at, const char* name, std::uint64_t max) {
  const std::uint64_t value = integer(at, name, 1, max);
  if (rejected_ || (value & (value - 1)) == 0) return value;
  reject_range(name, "a power of two", static_cast<double>(value));
  return 0;
}

Words Arguments::words(std::size_t at, const char* name) {
  if (rejected_) return {};
  const TypedArray array = typed_array(env_, values_[at]);
  if (array.is_one && array.type == napi_uint32_array) return {static_cast<std::byte*>(array.data), array.length};
  reject_type(name, "a Uint32Array");
  return {};
}

Words Arguments::int_words(std::size_t at, const char* name) {
  if (rejected_) return {};
  const TypedArray array = typed_array(env_, values_[at]);
  if (array.is_one && array.type == napi_int32_array) return {static_cast<std::byte*>(array.data), array.length};
  reject_type(name, "an Int32Array");
  return {};
}

Bytes Arguments::bytes(std::size_t at, const char* name) {
  if (rejected_) return {};
  const TypedArray array = typed_array(env_, values_[at]);
  const std::size_t element_bytes = element_size_bytes(array.type);
  if (array.is_one && element_bytes > 0) return {static_cast<std::byte*>(array.data), array.length * element_bytes};
  reject_type(name, "a typed array");
  return {};
}

void Arguments::content(std::size_t at, const char* name, Content& result) {
  constexpr std::size_t pattern_words = sizeof(Pattern) / sizeof(std::uint32_t);
  constexpr std::size_t head_words = 2;
  constexpr std::size_t part_words = 1 + pattern_words;
  const Words line = words(at, name);
  if (rejected_) return;
  // Copied, because a window of words need not be aligned for 64-bit lanes.
  if (line.length == pattern_words) {
    std::memcpy(&result.pattern, line.start, sizeof result.pattern);
    return;
  }
  const std::uint64_t parts = line.length < head_words ? 0 : (line.length - head_words) / part_words;
  if (parts < 1 || parts > Periods::kPartsMax || line.length != head_words + parts * part_words) {
    reject_range(name, std::to_string(pattern_words) + " words long, or 2 and 33 for each part",
                 static_cast<double>(line.length));
    return;
  }
  const auto word = [&](std::size_t index) {
    std::uint32_t value = 0;
    std::memcpy(&value, line.start + index * sizeof value, sizeof value);
    return value;
  };
  Periods& periods = result.periods;
  result.repeats = true;
  periods.period = word(0);
  periods.start_index = word(1);
  periods.part_count = parts;
  std::uint64_t lowest = 0;
  for (std::size_t part = 0; part < parts; part++) {
    const std::size_t first = head_words + part * part_words;
    const std::uint64_t place = word(first);
    // Checked on the copies: whoever owns the words may change them meanwhile.
    if (place < lowest || place >= periods.period || (part == 0 && place != 0)) {
      reject_range(name, "parts in order, the first at 0 and all inside the period", static_cast<double>(place));
      return;
    }
    periods.parts[part].at = place;
    std::memcpy(&periods.parts[part].pattern, line.start + (first + 1) * sizeof(std::uint32_t), sizeof(Pattern));
    lowest = place + 1;
  }
}

std::vector<std::uint32_t> Arguments::integers(std::size_t at, const char* name, std::uint32_t max) {
  std::vector<std::uint32_t> result;
  if (rejected_) return result;
  std::uint32_t length = 0;
  if (napi_get_array_length(env_, values_[at], &length) != napi_ok) {
    reject_type(name, "an array of numbers");
    return result;
  }
  for (std::uint32_t i = 0; i < length && !rejected_; i++) {
    const std::string element = std::string(name) + "[" + std::to_string(i) + "]";
    napi_value value = nullptr;
    if (napi_get_element(env_, values_[at], i, &value) != napi_ok) {
      rejected_ = true;  // a getter threw: its exception is pending already
      break;
    }
    result.push_back(static_cast<std::uint32_t>(integer_of(value, element.c_str(), 0, max)));
  }
  return result;
}

}  // namespace vmemmap
