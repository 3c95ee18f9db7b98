#include "vialsight/pose.h"

#include <cmath>
#include <sstream>
#include <string>
#include <utility>

namespace vialsight {
namespace {

std::string text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

// Written so that NaN is refused.
Status check_size(const char* name, double value, double largest, const char* unit) {
  if (std::abs(value) <= largest) return {};
  return {Code::kInvalidArgument, std::string("pose: expected ") + name + " within ±" + text(largest) + " " + unit +
                                      ", got " + text(value) + "; a product that lies so is to be rejected, not cut"};
}

}  // namespace

Status check_pose(const Pose& pose, const Layout& layout) {
  if (Status status = check_size("dx", pose.dx, layout.frame_width, "pixels"); !status.ok()) return status;
  if (Status status = check_size("dy", pose.dy, layout.frame_height, "pixels"); !status.ok()) return status;
  return check_size("turn", pose.turn, kMaxTurn, "radians");
}

std::array<Point, 4> box_corners(const Box& box, const Layout& layout, const Pose& pose) noexcept {
  const Point centre{layout.frame_width / 2.0, layout.frame_height / 2.0};
  const double left = box.x - centre.x;
  const double top = box.y - centre.y;
  std::array<Point, 4> corners{
      Point{left, top}, {left + box.width, top}, {left + box.width, top + box.height}, {left, top + box.height}};
  for (Point& corner : corners) {
    const Point seen = seen_at(pose, corner);
    corner = {seen.x + centre.x, seen.y + centre.y};
  }
  return corners;
}

}  // namespace vialsight
