// What the fuzz targets share: reading choices off the input, and claims that must hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

// libFuzzer's name; returns 0: the input may join the corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace vialsight::fuzz {

// Takes choices from the front of the input. Beyond its end everything is zero, so that every input is a whole one.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  template <typename T>
  [[nodiscard]] T take() {
    T value{};
    const std::size_t count = std::min(sizeof(T), rest_.size());
    if (count > 0) std::memcpy(&value, rest_.data(), count);
    rest_ = rest_.subspan(count);
    return value;
  }
  // In [minimum, maximum], at most 65536 apart.
  [[nodiscard]] int take_in(int minimum, int maximum) {
    return minimum + static_cast<int>(take<std::uint16_t>()) % (maximum - minimum + 1);
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }
  [[nodiscard]] std::string_view text() const {
    return {static_cast<const char*>(static_cast<const void*>(rest_.data())), rest_.size()};
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// Ends the process, which libFuzzer reports together with the input.
inline void require(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "expected: %s\n", claim);
  std::abort();
}

}  // namespace vialsight::fuzz
