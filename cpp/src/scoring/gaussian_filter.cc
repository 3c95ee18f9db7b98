#include "scoring/gaussian_filter.h"

#include <algorithm>
#include <cmath>

#include "base/lanes.h"
#include "base/multiversion.h"

namespace vialsight {
namespace {

constexpr std::size_t kMany = 6;       // distances at a time, for fewer passes over the sums
constexpr std::size_t kCacheLine = 8;  // doubles: rows a power of two apart would share a few of the cache's sets

// Adds kPairs distances from `first` on, or begins with the centre.
template <std::size_t kPairs, bool kBegins>
VIALSIGHT_INLINE void weigh_pairs(const double* const* centre, const double* weights, std::size_t first,
                                  std::size_t width, double* __restrict out) noexcept {
  const double* left[kPairs];
  const double* right[kPairs];
  double weight[kPairs];
  for (std::size_t p = 0; p < kPairs; ++p) {
    left[p] = *(centre - first - p);
    right[p] = *(centre + first + p);
    weight[p] = weights[first + p];
  }
  const double* const middle = *centre;
  const double middle_weight = weights[0];
  for (std::size_t j = 0; j < width; ++j) {
    double sum = kBegins ? middle_weight * middle[j] : out[j];
    for (std::size_t p = 0; p < kPairs; ++p) sum += weight[p] * (left[p][j] + right[p][j]);
    out[j] = sum;
  }
}

// Σ weight[|k|]·rows[radius + k] for each column.
VIALSIGHT_MULTIVERSION
void weigh_rows(const double* const* rows, const double* weights, std::size_t radius, std::size_t width,
                double* __restrict out) noexcept {
  const double* const* const centre = rows + radius;
  std::size_t k = 1;
  if (radius >= kMany) {
    weigh_pairs<kMany, true>(centre, weights, k, width, out);
    k += kMany;
  } else {
    for (std::size_t j = 0; j < width; ++j) out[j] = weights[0] * (*centre)[j];
  }
  for (; k + kMany <= radius + 1; k += kMany) weigh_pairs<kMany, false>(centre, weights, k, width, out);
  for (; k + 1 <= radius; k += 2) weigh_pairs<2, false>(centre, weights, k, width, out);
  if (k == radius) weigh_pairs<1, false>(centre, weights, k, width, out);
}

// Adds kPairs distances from `first` on to the sums of neighbouring vectors.
template <std::size_t kPairs>
VIALSIGHT_INLINE void add_pairs(const double* centre, const double* weights, std::size_t first,
                                Lanes (&sums)[4]) noexcept {
  for (std::size_t v = 0; v < 4; ++v) {
    const double* const at = centre + v * kLanes;
    for (std::size_t k = first; k < first + kPairs; ++k)
      sums[v] += weights[k] * (load_lanes(at - k) + load_lanes(at + k));
  }
}

// Σ weight[|k|]·row[j + k] of 4·kLanes columns.
VIALSIGHT_INLINE void weigh_columns(const double* row, const double* weights, std::size_t radius,
                                    double* __restrict out) noexcept {
  Lanes sums[4];
  for (std::size_t v = 0; v < 4; ++v) sums[v] = weights[0] * load_lanes(row + v * kLanes);
  std::size_t k = 1;
  for (; k + kMany <= radius + 1; k += kMany) add_pairs<kMany>(row, weights, k, sums);
  for (; k <= radius; ++k) add_pairs<1>(row, weights, k, sums);
  for (std::size_t v = 0; v < 4; ++v) store_lanes(out + v * kLanes, sums[v]);
}

VIALSIGHT_MULTIVERSION
void weigh_row(const double* row, const double* weights, std::size_t radius, std::size_t width,
               double* __restrict out) noexcept {
  std::size_t j = 0;
  for (; j + 4 * kLanes <= width; j += 4 * kLanes) weigh_columns(row + j, weights, radius, out + j);
  for (; j < width; ++j) {
    double sum = weights[0] * row[j];
    for (std::size_t k = 1; k <= radius; ++k) sum += weights[k] * (*(row + j - k) + row[j + k]);
    out[j] = sum;
  }
}

std::vector<double> gaussian_weights(double sigma) {
  const auto radius = static_cast<std::size_t>(4.0 * sigma + 0.5);
  std::vector<double> weights(radius + 1);
  double total = 0.0;
  for (std::size_t k = 0; k <= radius; ++k) {
    const auto distance = static_cast<double>(k);
    weights[k] = std::exp(-0.5 * distance * distance / (sigma * sigma));
    total += (k == 0 ? 1.0 : 2.0) * weights[k];
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

}  // namespace

GaussianFilter::GaussianFilter(double sigma, MapSize size)
    : height_(static_cast<std::size_t>(size.height)),
      width_(static_cast<std::size_t>(size.width)),
      stride_(width_ + kCacheLine),
      weights_(gaussian_weights(sigma)),
      ring_rows_(std::min(height_, 2 * reach() + 1)),
      ring_(ring_rows_ * stride_),
      taps_(2 * reach() + 1),
      row_(reach(), width_) {}

// Row k of the window around row i.
const double* GaussianFilter::tap(std::size_t i, std::size_t k) noexcept {
  const auto row = static_cast<std::ptrdiff_t>(i + k) - static_cast<std::ptrdiff_t>(reach());
  return input_row(reflected(row, height_));
}

void GaussianFilter::filter_row(std::size_t i, double* out) noexcept {
  const std::size_t radius = reach();
  if (i == 0) {
    for (std::size_t k = 0; k < taps_.size(); ++k) taps_[k] = tap(i, k);
  } else {
    std::shift_left(taps_.begin(), taps_.end(), 1);
    taps_.back() = tap(i, taps_.size() - 1);
  }
  weigh_rows(taps_.data(), weights_.data(), radius, width_, row_.inner());
  row_.fill_ends();
  weigh_row(row_.inner(), weights_.data(), radius, width_, out);
}

}  // namespace vialsight
