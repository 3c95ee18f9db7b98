// Where a locator begins: the turn and whole-pixel shift of the coarsest level that correlate best with the template.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "imaging/locator_level.h"

namespace vialsight {

class LocatorSearch {
 public:
  // Tries turns up to `reach_turn` and shifts one pixel of the level beyond `reach_px`.
  LocatorSearch(const LocatorLevel& level, double reach_px, double reach_turn);

  // The best alignment by weighted normalised correlation; a contrast of 0 when nothing correlates.
  [[nodiscard]] Alignment best(const LocatorLevel& level, std::span<const float> image) noexcept;

 private:
  void turn_image(const LocatorLevel& level, std::span<const float> image, double turn) noexcept;
  void try_shifts(const LocatorLevel& level, double turn, double& best_correlation, Alignment& best) const noexcept;

  std::size_t shifts_;  // in pixels of the level, to each side
  std::vector<double> turns_;
  std::vector<float> turned_;             // the image, turned, with `shifts_` more pixels on each side
  std::vector<float> weights_;            // adding up to 1
  std::vector<float> weighted_template_;  // times the template less its mean
  double template_mean_ = 0.0;
  double template_variance_ = 0.0;
};

}  // namespace vialsight
