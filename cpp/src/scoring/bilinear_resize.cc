#include "scoring/bilinear_resize.h"

#include <algorithm>
#include <cmath>

#include "base/multiversion.h"

namespace vialsight {
namespace {

VIALSIGHT_MULTIVERSION
void add_mix(const double* low, const double* high, double fraction, std::size_t width,
             double* __restrict out) noexcept {
  for (std::size_t j = 0; j < width; ++j) out[j] += low[j] + fraction * (high[j] - low[j]);
}

}  // namespace

std::vector<BilinearResize::Tap> BilinearResize::taps_of(int from, int to) {
  std::vector<Tap> taps;
  const double ratio = static_cast<double>(from) / static_cast<double>(to);
  for (int i = 0; i < to; ++i) {
    const double position = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    const double floor = std::floor(position);
    const int low = static_cast<int>(floor);
    taps.push_back({static_cast<std::size_t>(std::clamp(low, 0, from - 1)),
                    static_cast<std::size_t>(std::clamp(low + 1, 0, from - 1)), position - floor});
  }
  return taps;
}

BilinearResize::BilinearResize(MapSize from, MapSize to)
    : from_(from),
      to_(to),
      rows_(taps_of(from.height, to.height)),
      columns_(taps_of(from.width, to.width)),
      wide_(static_cast<std::size_t>(from.height) * static_cast<std::size_t>(to.width)) {}

void BilinearResize::add(std::span<const double> in, std::span<double> out) noexcept {
  const auto narrow = static_cast<std::size_t>(from_.width);
  const auto width = static_cast<std::size_t>(to_.width);
  // Rows first are widened, then mixed: there are fewer of them before, and mixing whole rows is quick.
  for (std::size_t i = 0; i < static_cast<std::size_t>(from_.height); ++i) {
    const double* const row = in.data() + i * narrow;
    double* const wide = wide_.data() + i * width;
    for (std::size_t j = 0; j < width; ++j) {
      const Tap& tap = columns_[j];
      wide[j] = row[tap.low] + tap.fraction * (row[tap.high] - row[tap.low]);
    }
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(to_.height); ++i) {
    const Tap& tap = rows_[i];
    add_mix(wide_.data() + tap.low * width, wide_.data() + tap.high * width, tap.fraction, width,
            out.data() + i * width);
  }
}

}  // namespace vialsight
