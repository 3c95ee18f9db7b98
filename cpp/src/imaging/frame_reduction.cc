#include "imaging/frame_reduction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "base/multiversion.h"

namespace vialsight {
namespace {

constexpr std::size_t kRadius = 4;  // 4 σ, as scipy.ndimage.gaussian_filter
constexpr std::size_t kTaps = 2 * kRadius + 1;

// Of distance 0 … kRadius.
std::array<float, kRadius + 1> gaussian_weights() noexcept {
  std::array<double, kRadius + 1> exact{};
  double total = 0.0;
  for (std::size_t k = 0; k <= kRadius; ++k) {
    exact[k] = std::exp(-0.5 * static_cast<double>(k * k));
    total += (k == 0 ? 1.0 : 2.0) * exact[k];
  }
  std::array<float, kRadius + 1> weights{};
  for (std::size_t k = 0; k <= kRadius; ++k) weights[k] = static_cast<float>(exact[k] / total);
  return weights;
}

// Where a position beside a line of `count` ≥ kRadius pixels is reflected to (d c b a | a b c d).
std::size_t reflected(std::ptrdiff_t position, std::size_t count) noexcept {
  const auto last = static_cast<std::ptrdiff_t>(count) - 1;
  const std::ptrdiff_t inside = position < 0 ? -1 - position : position > last ? 2 * last + 1 - position : position;
  return static_cast<std::size_t>(inside);
}

template <typename Sum, typename Pixel>
VIALSIGHT_INLINE void add_pixels(const Pixel* row, std::size_t count, Sum* __restrict sums) noexcept {
  for (std::size_t x = 0; x < count; ++x) sums[x] = static_cast<Sum>(sums[x] + row[x]);
}

// kScale 0: any.
template <std::size_t kScale, typename Sum>
VIALSIGHT_INLINE void gather(const Sum* sums, std::size_t scale, float unit, std::size_t width,
                             float* __restrict out) noexcept {
  const std::size_t step = kScale == 0 ? scale : kScale;
  for (std::size_t x = 0; x < width; ++x) {
    std::uint32_t sum = 0;
    for (std::size_t k = 0; k < step; ++k) sum += sums[x * step + k];
    out[x] = static_cast<float>(sum) * unit;
  }
}

template <typename Sum>
VIALSIGHT_INLINE void gather_any(const Sum* sums, std::size_t scale, float unit, std::size_t width,
                                 float* __restrict out) noexcept {
  if (scale == 4) return gather<4>(sums, scale, unit, width, out);
  return gather<0>(sums, scale, unit, width, out);
}

// Two of them, since a clone cannot be a template.
VIALSIGHT_MULTIVERSION
void average_rows(const std::uint8_t* pixels, std::ptrdiff_t stride, std::size_t scale, float unit, std::size_t width,
                  std::uint16_t* sums, float* out) noexcept {
  std::fill_n(sums, width * scale, std::uint16_t{0});
  for (std::size_t k = 0; k < scale; ++k, pixels += stride) add_pixels(pixels, width * scale, sums);
  gather_any(sums, scale, unit, width, out);
}

VIALSIGHT_MULTIVERSION
void average_rows(const std::uint16_t* pixels, std::ptrdiff_t stride, std::size_t scale, float unit, std::size_t width,
                  std::uint32_t* sums, float* out) noexcept {
  std::fill_n(sums, width * scale, std::uint32_t{0});
  for (std::size_t k = 0; k < scale; ++k, pixels += stride) add_pixels(pixels, width * scale, sums);
  gather_any(sums, scale, unit, width, out);
}

// Weighted sum of nine lines for each column. Serves both directions.
VIALSIGHT_MULTIVERSION
void weigh(const float* const* taps, const float* weights, std::size_t width, float* __restrict out) noexcept {
  const float* const t0 = taps[0];
  const float* const t1 = taps[1];
  const float* const t2 = taps[2];
  const float* const t3 = taps[3];
  const float* const t4 = taps[4];
  const float* const t5 = taps[5];
  const float* const t6 = taps[6];
  const float* const t7 = taps[7];
  const float* const t8 = taps[8];
  const float w0 = weights[0];
  const float w1 = weights[1];
  const float w2 = weights[2];
  const float w3 = weights[3];
  const float w4 = weights[4];
  for (std::size_t x = 0; x < width; ++x) {
    out[x] = w0 * t4[x] + w1 * (t3[x] + t5[x]) + w2 * (t2[x] + t6[x]) + w3 * (t1[x] + t7[x]) + w4 * (t0[x] + t8[x]);
  }
}

VIALSIGHT_MULTIVERSION
void halve_row(const float* upper, const float* lower, std::size_t width, float* __restrict out) noexcept {
  for (std::size_t x = 0; x < width; ++x) {
    out[x] = 0.25F * ((upper[2 * x] + upper[2 * x + 1]) + (lower[2 * x] + lower[2 * x + 1]));
  }
}

float unit_of(int scale, int bit_depth) noexcept {
  const double largest = static_cast<double>((1 << bit_depth) - 1);
  return static_cast<float>(1.0 / (static_cast<double>(scale) * scale * largest));
}

}  // namespace

FrameReduction::FrameReduction(int frame_width, int frame_height, int scale, int bit_depth)
    : size_{static_cast<std::size_t>(frame_height / scale), static_cast<std::size_t>(frame_width / scale)},
      scale_(static_cast<std::size_t>(scale)),
      unit_(unit_of(scale, bit_depth)),
      averages_(size_.pixels()),
      row_(size_.width + 2 * kRadius) {
  if (bit_depth > 8) {
    sums_of_16_bits_.resize(size_.width * scale_);
  } else {
    sums_of_8_bits_.resize(size_.width * scale_);
  }
}

template <typename Pixel>
auto& FrameReduction::sums() noexcept {
  if constexpr (std::is_same_v<Pixel, std::uint8_t>) {
    return sums_of_8_bits_;
  } else {
    return sums_of_16_bits_;
  }
}

template <typename Pixel>
void FrameReduction::average(const FrameView& frame) noexcept {
  const auto* bytes = static_cast<const std::byte*>(frame.data);
  const std::ptrdiff_t stride = frame.row_stride_bytes / static_cast<std::ptrdiff_t>(sizeof(Pixel));
  for (std::size_t y = 0; y < size_.height; ++y) {
    const std::byte* row = bytes + static_cast<std::ptrdiff_t>(y * scale_) * frame.row_stride_bytes;
    average_rows(static_cast<const Pixel*>(static_cast<const void*>(row)), stride, scale_, unit_, size_.width,
                 sums<Pixel>().data(), &averages_[y * size_.width]);
  }
}

void FrameReduction::smooth(std::span<float> out) noexcept {
  static const std::array<float, kRadius + 1> kWeights = gaussian_weights();
  std::array<const float*, kTaps> columns{};
  for (std::size_t k = 0; k < kTaps; ++k) columns[k] = &row_[k];
  for (std::size_t y = 0; y < size_.height; ++y) {
    std::array<const float*, kTaps> rows{};
    for (std::size_t k = 0; k < kTaps; ++k) {
      const auto row = static_cast<std::ptrdiff_t>(y + k) - static_cast<std::ptrdiff_t>(kRadius);
      rows[k] = &averages_[reflected(row, size_.height) * size_.width];
    }
    weigh(rows.data(), kWeights.data(), size_.width, &row_[kRadius]);
    for (std::size_t k = 0; k < kRadius; ++k) {
      row_[k] = row_[2 * kRadius - 1 - k];
      row_[kRadius + size_.width + k] = row_[kRadius + size_.width - 1 - k];
    }
    weigh(columns.data(), kWeights.data(), size_.width, &out[y * size_.width]);
  }
}

void FrameReduction::apply(const FrameView& frame, std::span<float> out) noexcept {
  if (frame.format == PixelFormat::kGray16) {
    average<std::uint16_t>(frame);
  } else {
    average<std::uint8_t>(frame);
  }
  smooth(out);
}

void halve(const float* in, ImageSize size, float* out) noexcept {
  const ImageSize half = size.divided_by(2);
  for (std::size_t y = 0; y < half.height; ++y) {
    const float* upper = in + 2 * y * size.width;
    halve_row(upper, upper + size.width, half.width, out + y * half.width);
  }
}

}  // namespace vialsight
