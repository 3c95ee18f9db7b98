// SSIM exactly as tf.image.ssim defines it, and the anomaly score φ = 1 - SSIM (paper eq. 10).
//
// Gaussian window 11×11, σ = 1.5, valid padding, population covariance, K1 = 0.01, K2 = 0.03, L = 1, mean over the map.
// Sums are kept in double: thresholds of neighbouring levels differ by 7e-5, so the score's own error stays below 1e-7.
#pragma once

#include <cstddef>
#include <span>

#include "vialsight/export.h"
#include "vialsight/status.h"

namespace vialsight {

inline constexpr int kSsimWindow = 11;
inline constexpr double kSsimSigma = 1.5;
inline constexpr double kSsimK1 = 0.01;
inline constexpr double kSsimK2 = 0.03;

// Number of doubles of scratch `ssim` needs for images of this size.
[[nodiscard]] VIALSIGHT_API std::size_t ssim_scratch_size(int height, int width) noexcept;

// Mean SSIM of two height×width float32 images in [0, 1], row-major and dense. Does not allocate.
// A pixel that is not finite makes the result NaN. kInvalidArgument: an edge below 11, or wrong buffer sizes.
[[nodiscard]] VIALSIGHT_API Status ssim(std::span<const float> x, std::span<const float> y, int height, int width,
                                        std::span<double> scratch, double& result);

}  // namespace vialsight
