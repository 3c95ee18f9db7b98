// Borders reflected about the edge of the outermost pixel (d c b a | a b c d), as SciPy's mode "reflect".
#pragma once

#include <cstddef>
#include <vector>

namespace vialsight {

// Where a position beside a line of `count` pixels is reflected to; the reflections repeat.
inline std::size_t reflected(std::ptrdiff_t position, std::size_t count) noexcept {
  const auto straight = static_cast<std::size_t>(position);
  if (straight < count) return straight;  // divisions are slow
  const auto period = static_cast<std::ptrdiff_t>(2 * count);
  const std::ptrdiff_t inside = ((position % period) + period) % period;
  const auto at = static_cast<std::size_t>(inside);
  return at < count ? at : 2 * count - 1 - at;
}

// A row of `width` pixels with `radius` more at either end.
class ReflectedRow {
 public:
  ReflectedRow(std::size_t radius, std::size_t width) : radius_(radius), width_(width), values_(width + 2 * radius) {
    const auto reach = static_cast<std::ptrdiff_t>(radius);
    const auto right = static_cast<std::ptrdiff_t>(width);
    for (std::ptrdiff_t k = -reach; k < 0; ++k) ends_.push_back(reflected(k, width));
    for (std::ptrdiff_t k = right; k < right + reach; ++k) ends_.push_back(reflected(k, width));
  }

  // The row without its ends.
  [[nodiscard]] double* inner() noexcept { return values_.data() + radius_; }
  [[nodiscard]] double* padded() noexcept { return values_.data(); }
  // From what inner() holds.
  void fill_ends() noexcept {
    const double* const row = inner();
    for (std::size_t k = 0; k < radius_; ++k) {
      values_[k] = row[ends_[k]];
      values_[radius_ + width_ + k] = row[ends_[radius_ + k]];
    }
  }

 private:
  std::size_t radius_;
  std::size_t width_;
  std::vector<double> values_;
  std::vector<std::size_t> ends_;  // columns that the ends show: left, then right
};

}  // namespace vialsight
