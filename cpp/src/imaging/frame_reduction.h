// A frame made small: averaged scale×scale, smoothed (σ 1), as the locator sees it; and images made half as large.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vialsight/patches.h"

namespace vialsight {

// Rows and columns of an image that is stored row-major and dense.
struct ImageSize {
  std::size_t height = 0;
  std::size_t width = 0;
  [[nodiscard]] std::size_t pixels() const noexcept { return height * width; }
  [[nodiscard]] ImageSize divided_by(std::size_t factor) const noexcept { return {height / factor, width / factor}; }
};

class FrameReduction {
 public:
  // Sizes at least `scale`, which is in [1, 64]; bit depth in [1, 16].
  FrameReduction(int frame_width, int frame_height, int scale, int bit_depth);

  [[nodiscard]] ImageSize size() const noexcept { return size_; }
  // The frame must have passed check_frame() for the constructor's size and depth. `out` has size().pixels().
  void apply(const FrameView& frame, std::span<float> out) noexcept;

 private:
  // Where `average` adds up one row of averages: of uint8 pixels in 16 bits, of uint16 pixels in 32.
  template <typename Pixel>
  auto& sums() noexcept;
  template <typename Pixel>
  void average(const FrameView& frame) noexcept;
  void smooth(std::span<float> out) noexcept;

  ImageSize size_;
  std::size_t scale_;
  float unit_;  // 1 / (scale² · largest pixel value)
  std::vector<std::uint16_t> sums_of_8_bits_;
  std::vector<std::uint32_t> sums_of_16_bits_;
  std::vector<float> averages_;
  std::vector<float> row_;  // smoothed vertically, with reflected ends
};

// Means of 2×2 pixels; an odd last row or column is left out. `out` has size.divided_by(2).pixels().
void halve(const float* in, ImageSize size, float* out) noexcept;

}  // namespace vialsight
