// Snapshot<T>: a value that one thread writes and any thread reads whole, without either ever waiting for the other.
//
// Two copies and a sequence number. The writer makes the number odd, which sends readers to the second copy, writes the
// first, makes the number even, which sends them to the first, and writes the second. A reader copies what the number
// points at and starts again only if the number has moved, that is, if the writer got on. So a reader of high priority
// that interrupts the writer on its own CPU goes through, where a mutex or a single copy would hold it for ever.
//
// The copies are atomics and everything is sequentially consistent: of two threads at human speeds, the cost is
// nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace vialsight {

template <typename T>
class Snapshot {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Snapshot() noexcept { write(T()); }

  void write(const T& value) noexcept {
    const std::uint64_t sequence = sequence_;
    sequence_ = sequence + 1;
    store(copies_[0], value);
    sequence_ = sequence + 2;
    store(copies_[1], value);
  }

  [[nodiscard]] T read() const noexcept {
    for (;;) {
      const std::uint64_t sequence = sequence_;
      const T value = load(copies_[sequence % 2]);
      if (sequence_ == sequence) return value;
    }
  }

 private:
  static constexpr std::size_t kWords = (sizeof(T) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
  using Words = std::array<std::uint64_t, kWords>;
  using Copy = std::array<std::atomic<std::uint64_t>, kWords>;

  static void store(Copy& copy, const T& value) noexcept {
    Words words = {};
    std::memcpy(words.data(), &value, sizeof(T));
    for (std::size_t i = 0; i < kWords; ++i) copy[i] = words[i];
  }
  [[nodiscard]] static T load(const Copy& copy) noexcept {
    Words words;
    for (std::size_t i = 0; i < kWords; ++i) words[i] = copy[i];
    T value;
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof(T));
    return value;
  }

  std::atomic<std::uint64_t> sequence_ = 0;
  Copy copies_[2] = {};
};

}  // namespace vialsight
