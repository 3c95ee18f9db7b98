// FrameDigest: 64 bits by which a frame is known again when a camera or a driver delivers it a second time.
//
// Not cryptographic: nobody forges frames here, and two different ones meet with a chance of 2^-64. Four lanes, so that
// the processor's multiplications overlap; it is taken while a frame is copied, at about the speed of the copy.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace vialsight {

class FrameDigest {
 public:
  // Adds one row of `size` bytes.
  void add(const std::byte* row, std::size_t size) noexcept {
    constexpr std::size_t kStep = 4 * sizeof(std::uint64_t);
    std::size_t done = 0;
    for (; done + kStep <= size; done += kStep) step(row + done, kStep);
    if (done < size) step(row + done, size - done);
  }
  [[nodiscard]] std::uint64_t value() const noexcept {
    std::uint64_t result = 0;
    for (const std::uint64_t lane : lanes_) result = mix(result, lane);
    return result;
  }

 private:
  static std::uint64_t mix(std::uint64_t lane, std::uint64_t word) noexcept {
    constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15U;  // 2^64 divided by the golden ratio: bits without a pattern
    lane = (lane ^ word) * kOdd;
    return lane ^ (lane >> 29);
  }
  void step(const std::byte* bytes, std::size_t size) noexcept {
    std::array<std::uint64_t, 4> words = {};
    std::memcpy(words.data(), bytes, size);
    for (std::size_t i = 0; i < words.size(); ++i) lanes_[i] = mix(lanes_[i], words[i]);
  }

  std::array<std::uint64_t, 4> lanes_ = {1, 2, 3, 4};  // different, or equal words in two lanes would cancel
};

// The digests of the last frames, in memory of a fixed size.
class RecentFrames {
 public:
  explicit RecentFrames(std::size_t capacity) { digests_.reserve(capacity); }

  [[nodiscard]] bool contains(std::uint64_t digest) const noexcept {
    return std::find(digests_.begin(), digests_.end(), digest) != digests_.end();
  }
  void add(std::uint64_t digest) noexcept {
    if (digests_.size() < digests_.capacity()) {
      digests_.push_back(digest);
    } else {
      digests_[oldest_] = digest;
      oldest_ = (oldest_ + 1) % digests_.size();
    }
  }

 private:
  std::vector<std::uint64_t> digests_;
  std::size_t oldest_ = 0;
};

}  // namespace vialsight
