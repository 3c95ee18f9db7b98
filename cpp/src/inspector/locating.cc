#include "inspector/locating.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace vialsight {
namespace {

// Far below what moves a score, far above what rounding does to a search that ends at a hundredth of a pixel.
constexpr double kGoldenPx = 1e-3;
constexpr double kGoldenTurn = 1e-6;

std::string text_of(const Pose& pose) {
  char text[128];
  std::snprintf(text, sizeof text, "dx %.6g px, dy %.6g px, turn %.6g rad", pose.dx, pose.dy, pose.turn);
  return text;
}

std::string text_of(const Location& location, const LocatorModel& model) {
  char text[128];
  std::snprintf(text, sizeof text, "residual %.4g of at most %.4g, contrast %.3g, %d steps, search ended at ",
                location.residual, model.residual_limit, location.contrast, location.steps);
  return std::string(name_of(location.reason)) + " (" + text + text_of(location.pose) + ")";
}

// Written so that what is not a number is not the same.
bool is_same(const Pose& one, const Pose& other) noexcept {
  return std::abs(one.dx - other.dx) <= kGoldenPx && std::abs(one.dy - other.dy) <= kGoldenPx &&
         std::abs(one.turn - other.turn) <= kGoldenTurn;
}

Status other_location(std::size_t frame, const Pose& expected, const std::string& came) {
  return {Code::kDataCorrupt, "golden frames: expected the product of frame " + std::to_string(frame) + " at " +
                                  text_of(expected) + ", got " + came +
                                  "; this machine does not locate as the one that froze the bundle: freeze again"};
}

Status check_golden_location(const LocatorModel& model, std::size_t frame, const Pose& expected,
                             const Location& location) {
  if (!location.found) return other_location(frame, expected, text_of(location, model));
  return is_same(expected, location.pose) ? Status() : other_location(frame, expected, text_of(location.pose));
}

std::span<const float> golden_frame(const GoldenLocations& golden, std::size_t index) {
  const std::size_t pixels = golden.frames.size() / golden.count;
  return golden.frames.subspan(index * pixels, pixels);
}

}  // namespace

Result<std::optional<Locator>> make_locator(const Bundle& bundle) {
  if (bundle.locator() == nullptr) return std::optional<Locator>();
  Result<Locator> locator = Locator::create(*bundle.locator());
  if (!locator.ok()) return locator.status();
  return std::optional<Locator>(std::move(locator).value());
}

Status not_located(const Location& location, const LocatorModel& model) {
  return {Code::kInvalidArgument, "frame: expected the product that the bundle was trained on, got " +
                                      text_of(location, model) +
                                      "; check that it is there, whole, and held as in training, then light and lens"};
}

Result<Location> locate_rehearsed(const Bundle& bundle, const FrameView& frame, Locator& locator) {
  const LocatorModel& model = *bundle.locator();
  std::vector<float> reduced(model.template_pixels.size());
  if (Status status = reduce_frame(frame, model.scale, model.bit_depth, reduced); !status.ok()) return status;
  return locator.locate_reduced(golden_frame(bundle.golden_locations(), 0));
}

Status check_golden_locations(const Bundle& bundle, FramePipeline& pipeline) {
  if (bundle.locator() == nullptr) return {};
  const GoldenLocations golden = bundle.golden_locations();
  for (std::size_t i = 0; i < golden.count; ++i) {
    const std::span<const float> pose = golden.poses.subspan(3 * i, 3);
    const Result<Location> located = pipeline.locate_reduced(golden_frame(golden, i));
    if (!located.ok()) return located.status();
    Status status = check_golden_location(*bundle.locator(), i, {pose[0], pose[1], pose[2]}, located.value());
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace vialsight
