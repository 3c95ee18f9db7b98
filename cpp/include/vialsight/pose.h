// Pose: how the product lies in a frame, against the place for which the layout draws its boxes (SPEC §1).
//
// A point (u, v) of the product, counted from the frame's centre, is seen at x = u + dx + turn·v, y = v + dy − turn·u,
// counted from there too; y points down, so that a positive turn is counter-clockwise on a screen. Pixel k covers
// [k, k + 1], as in a Box: the centre is (width / 2, height / 2), which is index (width − 1) / 2 of a pixel's middle.
#pragma once

#include <array>

#include "vialsight/export.h"
#include "vialsight/layout.h"
#include "vialsight/status.h"

namespace vialsight {

struct Pose {
  double dx = 0.0;    // pixels
  double dy = 0.0;    // pixels
  double turn = 0.0;  // radians about the frame's centre

  friend bool operator==(const Pose&, const Pose&) = default;
};

// The formulas above stand for a rotation as long as it is small: at this turn they stretch the product by 0.5 %.
inline constexpr double kMaxTurn = 0.1;  // radians

struct Point {
  double x = 0.0;
  double y = 0.0;

  friend bool operator==(const Point&, const Point&) = default;
};

// Where a point of the product is seen; both are counted from the frame's centre.
[[nodiscard]] constexpr Point seen_at(const Pose& pose, const Point& point) noexcept {
  return {point.x + pose.dx + pose.turn * point.y, point.y + pose.dy - pose.turn * point.x};
}

// Ok, or kInvalidArgument: a value that is not finite, a turn beyond kMaxTurn, or a shift by more than the frame's
// edge.
[[nodiscard]] VIALSIGHT_API Status check_pose(const Pose& pose, const Layout& layout);

// Corners of a box of the layout as seen in the frame, for drawing: top left, top right, bottom right, bottom left, in
// pixels from the frame's top left corner. Of the zero pose they are those of the box itself.
[[nodiscard]] VIALSIGHT_API std::array<Point, 4> box_corners(const Box& box, const Layout& layout,
                                                             const Pose& pose) noexcept;

}  // namespace vialsight
