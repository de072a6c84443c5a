// The loop of a store path, compiled once per instruction set: the includer defines `Vector`, `stream(target, vector)`
// and `finish_streaming()` in a namespace of its own, under the target options of that instruction set. Hence no
// include guard.

template <bool kStreams>
inline void store(std::byte* target, const Vector& vector) noexcept {
  if constexpr (kStreams) {
    stream(target, vector);
    record(Operation::kStream, target, sizeof(Vector));
  } else {
    __builtin_memcpy(target, &vector, sizeof(Vector));
    record(Operation::kStore, target, sizeof(Vector));
  }
}

template <bool kStreams>
void fill_lanes(std::byte* target, std::uint64_t count, const Lanes& lanes, const Lanes& step) noexcept {
  constexpr std::size_t vectors = kDescriptorSizeBytes / sizeof(Vector);
  Vector value[vectors];
  Vector add[vectors];
  __builtin_memcpy(value, lanes.data(), sizeof(value));
  __builtin_memcpy(add, step.data(), sizeof(add));
  // Two loops, because a line that stays in registers costs stores and nothing else.
  if (step == Lanes{}) {
    for (std::uint64_t k = 0; k < count; k++, target += kDescriptorSizeBytes) {
      for (std::size_t v = 0; v < vectors; v++) store<kStreams>(target + v * sizeof(Vector), value[v]);
    }
  } else {
    for (std::uint64_t k = 0; k < count; k++, target += kDescriptorSizeBytes) {
      for (std::size_t v = 0; v < vectors; v++) {
        store<kStreams>(target + v * sizeof(Vector), value[v]);
        value[v] += add[v];
      }
    }
  }
}

inline void plain(std::byte* target, std::uint64_t count, const Lanes& lanes, const Lanes& step) noexcept {
  fill_lanes<false>(target, count, lanes, step);
}

inline void non_temporal(std::byte* target, std::uint64_t count, const Lanes& lanes, const Lanes& step) noexcept {
  // Streaming stores want their alignment. Descriptors have it; a caller of the addon may have other ideas.
  if (reinterpret_cast<std::uintptr_t>(target) % sizeof(Vector) != 0) return plain(target, count, lanes, step);
  fill_lanes<true>(target, count, lanes, step);
  finish_streaming();
}
