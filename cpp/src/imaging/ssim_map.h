// The map whose mean is SSIM, for scores that need more of it than the mean.
#pragma once

#include <cstddef>
#include <span>

namespace vialsight {

// SSIM at each of the (height − 10)×(width − 10) positions of the window, as vialsight::ssim, into `map`, whose rows
// are `stride` apart; nullptr: nowhere. Returns the mean. Sizes are not checked: height and width at least 11, scratch
// of ssim_scratch_size().
double ssim_map(const float* x, const float* y, std::size_t height, std::size_t width, std::span<double> scratch,
                double* map, std::size_t stride) noexcept;

}  // namespace vialsight
