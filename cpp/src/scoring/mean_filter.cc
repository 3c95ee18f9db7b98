#include "scoring/mean_filter.h"

#include <algorithm>

#include "base/lanes.h"
#include "base/multiversion.h"

namespace vialsight {
namespace {

constexpr double kShare = 1.0 / (MeanFilter::kWindow * MeanFilter::kWindow);

VIALSIGHT_MULTIVERSION
void slide(const float* entering, const float* leaving, std::size_t width, double* __restrict columns) noexcept {
  for (std::size_t j = 0; j < width; ++j) {
    columns[j] += static_cast<double>(entering[j]) - static_cast<double>(leaving[j]);
  }
}

VIALSIGHT_MULTIVERSION
void add_row(const float* row, std::size_t width, double* __restrict columns) noexcept {
  for (std::size_t j = 0; j < width; ++j) columns[j] += static_cast<double>(row[j]);
}

// Sum of four neighbours, for each of four columns.
VIALSIGHT_INLINE Lanes sum_of_4(const double* row) noexcept {
  return (load_lanes(row) + load_lanes(row + 1)) + (load_lanes(row + 2) + load_lanes(row + 3));
}

// 21 neighbours are five times four, which the next columns need as well, and one.
VIALSIGHT_MULTIVERSION
void mean_of_21(const double* row, std::size_t width, double* __restrict out) noexcept {
  static_assert(kLanes == 4);
  Lanes first = sum_of_4(row);
  Lanes second = sum_of_4(row + 4);
  Lanes third = sum_of_4(row + 8);
  Lanes fourth = sum_of_4(row + 12);
  for (std::size_t j = 0; j + kLanes <= width; j += kLanes) {
    const Lanes fifth = sum_of_4(row + j + 16);
    store_lanes(out + j, ((first + second) + (third + fourth) + (fifth + load_lanes(row + j + 20))) * kShare);
    first = second;
    second = third;
    third = fourth;
    fourth = fifth;
  }
}

}  // namespace

MeanFilter::MeanFilter(MapSize size)
    : height_(static_cast<std::size_t>(size.height)),
      width_(static_cast<std::size_t>(size.width)),
      columns_(kWindow / 2, width_) {}

void MeanFilter::filter_row(const float* map, std::size_t i, double* out) noexcept {
  constexpr std::ptrdiff_t kRadius = kWindow / 2;
  const auto centre = static_cast<std::ptrdiff_t>(i);
  const auto row_at = [&](std::ptrdiff_t row) { return map + reflected(row, height_) * width_; };
  if (i > 0) {
    slide(row_at(centre + kRadius), row_at(centre - kRadius - 1), width_, columns_.inner());
  } else {
    std::fill_n(columns_.inner(), width_, 0.0);
    for (std::ptrdiff_t row = -kRadius; row <= kRadius; ++row) add_row(row_at(row), width_, columns_.inner());
  }
  columns_.fill_ends();
  mean_of_21(columns_.padded(), width_, out);
}

}  // namespace vialsight
