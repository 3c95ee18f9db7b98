// One resolution of a locator: the template with its gradients and weights, and the Gauss–Newton step on it.
//
// Column j of an averaged image is u = (j + ½)·scale - frame_width / 2 in strip coordinates; rows likewise. A turn
// only shifts a row and tilts it a little, so that a row of the moved frame is a few pieces of rows, each interpolated
// without gathering.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "imaging/frame_reduction.h"
#include "vialsight/pose.h"

namespace vialsight {

// Frame / exposure ≈ template + brightness, at a pose.
struct Alignment {
  Pose pose;
  double exposure = 1.0;
  double brightness = 0.0;
  double contrast = 1.0;  // of frame / exposure, relative to the template's: what would fit better than 1
};

enum Unknown : std::size_t { kDx, kDy, kTurn, kBrightness, kContrast, kUnknowns };

// Σ a c_i c_j and Σ a c_i r of the columns c: the derivatives by dx, dy and turn, 1 and the template. The turn is
// counted in pixels at the frame's edge, so that all columns are of one size.
struct NormalEquations {
  std::array<std::array<double, kUnknowns>, kUnknowns> matrix{};
  std::array<double, kUnknowns> right{};
};

using Solution = std::array<double, kUnknowns>;

// Solves for the `wanted` unknowns, as if the others did not exist; those become 0. False when the columns do not
// differ enough to tell the unknowns apart, or a number is not finite.
[[nodiscard]] bool solve(const NormalEquations& equations, std::span<const Unknown> wanted,
                         Solution& solution) noexcept;

// Columns [begin, end).
struct RowSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// Buffers for the largest level, shared by all.
struct LevelScratch {
  explicit LevelScratch(ImageSize largest) : residual(largest.pixels()), inside(largest.height) {}

  std::vector<float> residual;
  std::vector<RowSpan> inside;  // of each row, what lies inside the frame
  std::array<std::uint32_t, 1024> counts{};
};

class LocatorLevel {
 public:
  // Frame size in frame pixels; template and weights of `size`.
  LocatorLevel(std::size_t scale, ImageSize size, ImageSize frame, std::vector<float> template_pixels,
               std::vector<float> weights);

  [[nodiscard]] double scale() const noexcept { return scale_; }
  [[nodiscard]] ImageSize size() const noexcept { return size_; }
  [[nodiscard]] std::span<const float> template_pixels() const noexcept { return template_; }
  [[nodiscard]] std::span<const float> weights() const noexcept { return weights_; }
  // Pixels from the frame's centre to its farther edge: what a turn is multiplied by in NormalEquations.
  [[nodiscard]] double arm() const noexcept { return arm_; }
  [[nodiscard]] double first_u() const noexcept { return first_u_; }
  [[nodiscard]] double first_v() const noexcept { return first_v_; }
  // The next coarser level: half as many rows and columns.
  [[nodiscard]] LocatorLevel halved(ImageSize frame) const;

  // Fills the scratch with image / exposure - brightness - template at the alignment's pose; returns 1.4826 · MAD of
  // it.
  [[nodiscard]] double residual(std::span<const float> image, const Alignment& alignment,
                                LevelScratch& scratch) const noexcept;
  // Of the scratch's residual, weighted by the template's weights times 1 / (1 + (r / cauchy_scale)²).
  [[nodiscard]] NormalEquations equations(const LevelScratch& scratch, double cauchy_scale) const noexcept;
  // Weighted mean of the scratch's |r - brightness - (contrast - 1)·template| / contrast: what no change of the light
  // explains.
  [[nodiscard]] double unexplained(const LevelScratch& scratch, double brightness, double contrast) const noexcept;

 private:
  // Residual of row i, which is written to `residual` where the row lies inside the frame.
  [[nodiscard]] RowSpan subtract_row(std::span<const float> image, const Alignment& alignment, std::size_t i,
                                     float* residual) const noexcept;

  ImageSize size_;
  double scale_;
  double first_u_;  // strip coordinates of the first pixel
  double first_v_;
  double arm_;
  std::vector<float> template_;
  std::vector<float> weights_;
  std::vector<float> gradient_x_;  // per frame pixel
  std::vector<float> gradient_y_;
};

}  // namespace vialsight
