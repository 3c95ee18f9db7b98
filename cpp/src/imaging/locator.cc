#include "vialsight/locator.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "imaging/frame_check.h"
#include "imaging/frame_reduction.h"
#include "imaging/layout_limits.h"
#include "imaging/locator_level.h"
#include "imaging/locator_search.h"

namespace vialsight {
namespace {

constexpr std::int64_t kUsualPixels = 1 << 17;  // of an averaged frame, see locator_scale()
constexpr int kMostSteps = 40;                  // on the finest level: products that vary much take 30
constexpr int kMostCoarseSteps = 8;             // on each other: what is left, the next level mends
constexpr double kConvergedPx = 0.01;           // of a step, on the finest level
constexpr double kCoarselyConverged = 0.05;     // in pixels of a coarse level
constexpr double kCauchySigmas = 3.0;           // SPEC §1
constexpr double kLeastCauchyScale = 1e-4;      // an image without any noise has no spread
constexpr double kLeastContrast = 0.25;         // of a product that is found
constexpr double kMostContrast = 4.0;
constexpr double kContrastSlack = 4.0;  // beyond that, on the way to it
// What lamps and products vary by leaves the pose where it is; correcting it would let the product's own contrast move
// it. More is another exposure.
constexpr double kUsualContrast = 0.1;
constexpr std::size_t kCoarseEdge = 2 * static_cast<std::size_t>(kMinLocatorEdge);

Status invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

Status expected_field(const char* field, const std::string& expected, const std::string& came) {
  return invalid(std::string("locator: ") + field + ": expected " + expected + ", got " + came);
}

std::string size_text(std::int64_t width, std::int64_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

Status check_scale(int width, int height, int scale) {
  if (width < 1 || height < 1 || width > kMaxFrameEdge || height > kMaxFrameEdge) {
    return expected_field("frame size", "edges from 1 to " + std::to_string(kMaxFrameEdge), size_text(width, height));
  }
  if (scale < 1 || scale > kMaxLocatorScale) {
    return expected_field("scale", "a factor from 1 to " + std::to_string(kMaxLocatorScale), std::to_string(scale));
  }
  const std::int64_t pixels = static_cast<std::int64_t>(width / scale) * (height / scale);
  if (std::min(width, height) / scale < kMinLocatorEdge || pixels > kMaxLocatorPixels) {
    return expected_field("scale",
                          "one that leaves edges of at least " + std::to_string(kMinLocatorEdge) + " and at most " +
                              std::to_string(kMaxLocatorPixels) + " pixels, such as locator_scale()",
                          std::to_string(scale) + ", which makes " + size_text(width / scale, height / scale) + " of " +
                              size_text(width, height));
  }
  return {};
}

Status check_bit_depth(int bit_depth) {
  if (bit_depth >= 1 && bit_depth <= 16) return {};
  return expected_field("bit_depth", "a depth from 1 to 16", std::to_string(bit_depth));
}

// Also refuses what is not a number.
Status check_range(const char* field, double value, double lowest, double highest) {
  if (value >= lowest && value <= highest) return {};
  return expected_field(field, "a number from " + std::to_string(lowest) + " to " + std::to_string(highest),
                        std::to_string(value));
}

Status check_values(const char* field, std::span<const float> values, const LocatorModel& model, float highest) {
  const std::int64_t width = model.frame_width / model.scale;
  const std::int64_t height = model.frame_height / model.scale;
  if (values.size() != static_cast<std::size_t>(width * height)) {
    return expected_field(field, std::to_string(width * height) + " values, " + size_text(width, height),
                          std::to_string(values.size()));
  }
  const auto wrong =
      std::find_if_not(values.begin(), values.end(), [highest](float v) { return v >= 0.0F && v <= highest; });
  if (wrong == values.end()) return {};
  return expected_field(field, "finite values from 0 to " + std::to_string(highest),
                        std::to_string(*wrong) + " at index " + std::to_string(wrong - values.begin()));
}

Status check_limits(const LocatorModel& model) {
  const double longest_reach = 0.25 * std::min(model.frame_width, model.frame_height);
  if (Status status = check_range("reach_px", model.reach_px, 1.0, longest_reach); !status.ok()) return status;
  const double longest_turn = model.kind == LocatorKind::kRigid ? kMaxReachTurn : 0.0;
  if (Status status = check_range("reach_turn", model.reach_turn, 0.0, longest_turn); !status.ok()) return status;
  if (Status status = check_range("apart_px", model.apart_px, 0.0, kMaxFrameEdge); !status.ok()) return status;
  if (Status status = check_range("apart_turn", model.apart_turn, 0.0, 2.0 * kMaxReachTurn); !status.ok())
    return status;
  if (model.residual_limit > 0.0 && model.residual_limit <= 1.0) return {};
  return expected_field("residual_limit", "a number above 0, up to 1", std::to_string(model.residual_limit));
}

Status check_model(const LocatorModel& model) {
  // Median and smoothing of pixels in [0, 1] may round beyond 1; a pixel above the bit depth shows there, too.
  constexpr float kBrightest = 2.0F;
  constexpr float kLargestWeight = 1e12F;
  if (model.kind != LocatorKind::kRigid && model.kind != LocatorKind::kTranslation) {
    return expected_field("kind", "translation (1) or rigid (2)", std::to_string(static_cast<int>(model.kind)));
  }
  if (Status status = check_scale(model.frame_width, model.frame_height, model.scale); !status.ok()) return status;
  if (Status status = check_bit_depth(model.bit_depth); !status.ok()) return status;
  if (Status status = check_limits(model); !status.ok()) return status;
  if (Status status = check_values("template", model.template_pixels, model, kBrightest); !status.ok()) return status;
  if (Status status = check_values("weights", model.weights, model, kLargestWeight); !status.ok()) return status;
  if (*std::max_element(model.weights.begin(), model.weights.end()) > 0.0F) return {};
  return expected_field("weights", "some above 0", "only zeros");
}

// Relative to the largest, so that no sum of them leaves the range of a float.
std::vector<float> relative_weights(const std::vector<float>& weights) {
  const auto largest = static_cast<double>(*std::max_element(weights.begin(), weights.end()));
  std::vector<float> relative(weights.size());
  std::transform(weights.begin(), weights.end(), relative.begin(),
                 [largest](float weight) { return static_cast<float>(static_cast<double>(weight) / largest); });
  return relative;
}

// The objective is SPEC's, of pose and brightness; the contrast that would fit is solved beside it and never moves it.
std::vector<Unknown> pose_unknowns_of(LocatorKind kind) {
  std::vector<Unknown> unknowns{kDx, kDy, kBrightness};
  if (kind == LocatorKind::kRigid) unknowns.push_back(kTurn);
  return unknowns;
}

std::vector<Unknown> light_unknowns_of(LocatorKind kind) {
  std::vector<Unknown> unknowns = pose_unknowns_of(kind);
  unknowns.push_back(kContrast);
  return unknowns;
}

// Of the frame.
double contrast_of(const Alignment& alignment) noexcept { return alignment.exposure * alignment.contrast; }

bool has_contrast(const Alignment& alignment, double slack) noexcept {
  const double contrast = contrast_of(alignment);
  return contrast * slack >= kLeastContrast && contrast <= kMostContrast * slack;
}

// Brightness is counted after the exposure; where it then lies, the next step finds.
void correct_exposure(Alignment& alignment) noexcept {
  const double contrast = contrast_of(alignment);
  const double exposure = std::abs(contrast - 1.0) <= kUsualContrast ? 1.0 : contrast;
  alignment.brightness *= alignment.exposure / exposure;
  alignment.contrast = contrast / exposure;
  alignment.exposure = exposure;
}

bool is_finite(const Alignment& alignment) noexcept {
  return std::isfinite(alignment.pose.dx) && std::isfinite(alignment.pose.dy) && std::isfinite(alignment.pose.turn) &&
         std::isfinite(alignment.contrast) && std::isfinite(alignment.brightness);
}

}  // namespace

struct Locator::Impl {
  Impl(const LocatorModel& model, std::vector<LocatorLevel> made_levels)
      : frame_width(model.frame_width),
        frame_height(model.frame_height),
        bit_depth(model.bit_depth),
        pose_unknowns(pose_unknowns_of(model.kind)),
        light_unknowns(light_unknowns_of(model.kind)),
        reach_px(model.reach_px),
        reach_turn(model.reach_turn),
        residual_limit(model.residual_limit),
        reduction(model.frame_width, model.frame_height, model.scale, model.bit_depth),
        levels(std::move(made_levels)),
        scratch(levels.front().size()),
        search(levels.back(), model.reach_px, model.reach_turn) {
    for (const LocatorLevel& level : levels) images.emplace_back(level.size().pixels());
  }

  void halve_images() noexcept {
    for (std::size_t k = 1; k < levels.size(); ++k) {
      halve(images[k - 1].data(), levels[k - 1].size(), images[k].data());
    }
  }

  [[nodiscard]] bool within(const Pose& pose, double margin_px, double margin_turn) const noexcept {
    return std::abs(pose.dx) <= reach_px + margin_px && std::abs(pose.dy) <= reach_px + margin_px &&
           std::abs(pose.turn) <= reach_turn + margin_turn;
  }

  // Moves the alignment by one step; `moved_px` is how far the product's farthest pixel went, at most.
  NotFound step(const LocatorLevel& level, std::span<const float> image, Alignment& alignment, double& residual,
                double& moved_px) noexcept {
    const double spread = level.residual(image, alignment, scratch);
    const NormalEquations equations = level.equations(scratch, kCauchySigmas * spread + kLeastCauchyScale);
    Solution solution{};
    if (!solve(equations, light_unknowns, solution)) return NotFound::kDegenerate;
    alignment.contrast = 1.0 + solution[kContrast];
    if (!has_contrast(alignment, kContrastSlack)) return NotFound::kContrast;
    residual = level.unexplained(scratch, solution[kBrightness], alignment.contrast);
    if (!solve(equations, pose_unknowns, solution)) return NotFound::kDegenerate;
    alignment.brightness += solution[kBrightness];
    // The frame's gradients are the template's times the contrast.
    const double dx = solution[kDx] / alignment.contrast;
    const double dy = solution[kDy] / alignment.contrast;
    const double turn_px = solution[kTurn] / alignment.contrast;
    alignment.pose.dx -= dx;
    alignment.pose.dy -= dy;
    alignment.pose.turn -= turn_px / level.arm();
    moved_px = std::abs(dx) + std::abs(dy) + std::abs(turn_px);
    if (!is_finite(alignment)) return NotFound::kNotFinite;
    // On its way a step may leave the reach a little.
    const double margin_px = 2.0 * levels.back().scale();
    return within(alignment.pose, margin_px, margin_px / level.arm()) ? NotFound::kNone : NotFound::kOutsideReach;
  }

  NotFound refine(std::size_t index, Alignment& alignment, Location& location) noexcept {
    const LocatorLevel& level = levels[index];
    const bool finest = index == 0;
    correct_exposure(alignment);
    const double converged_px = finest ? kConvergedPx : kCoarselyConverged * level.scale();
    for (int k = 0; k < (finest ? kMostSteps : kMostCoarseSteps); ++k) {
      double moved_px = 0.0;
      const NotFound reason = step(level, images[index], alignment, location.residual, moved_px);
      ++location.steps;
      if (reason != NotFound::kNone) return reason;
      if (moved_px < converged_px) return NotFound::kNone;
    }
    return finest ? NotFound::kNoConvergence : NotFound::kNone;
  }

  NotFound find(Alignment& alignment, Location& location) noexcept {
    alignment = search.best(levels.back(), images.back());
    if (!is_finite(alignment)) return NotFound::kNotFinite;
    if (!(alignment.contrast > 0.0)) return NotFound::kContrast;
    for (std::size_t index = levels.size(); index-- > 0;) {
      if (const NotFound reason = refine(index, alignment, location); reason != NotFound::kNone) return reason;
    }
    if (!within(alignment.pose, 0.0, 0.0)) return NotFound::kOutsideReach;
    if (!has_contrast(alignment, 1.0)) return NotFound::kContrast;
    return location.residual <= residual_limit ? NotFound::kNone : NotFound::kResidual;
  }

  Location locate(const FrameView& frame) noexcept {
    reduction.apply(frame, images.front());
    return locate();
  }

  Location locate(std::span<const float> reduced) noexcept {
    std::copy(reduced.begin(), reduced.end(), images.front().begin());
    return locate();
  }

  // What lies in the finest image.
  Location locate() noexcept {
    halve_images();
    Location location;
    Alignment alignment;
    location.reason = find(alignment, location);
    location.found = location.reason == NotFound::kNone;
    location.pose = alignment.pose;
    location.contrast = contrast_of(alignment);
    return location;
  }

  int frame_width;
  int frame_height;
  int bit_depth;
  std::vector<Unknown> pose_unknowns;
  std::vector<Unknown> light_unknowns;
  double reach_px;
  double reach_turn;
  double residual_limit;
  FrameReduction reduction;
  std::vector<LocatorLevel> levels;  // from fine to coarse
  std::vector<std::vector<float>> images;
  LevelScratch scratch;
  LocatorSearch search;
};

namespace {

// Halved until a pixel is as large as half the reach, so that the search tries a few shifts only.
std::vector<LocatorLevel> levels_of(const LocatorModel& model) {
  const ImageSize frame{static_cast<std::size_t>(model.frame_height), static_cast<std::size_t>(model.frame_width)};
  const auto scale = static_cast<std::size_t>(model.scale);
  std::vector<LocatorLevel> levels;
  levels.emplace_back(scale, frame.divided_by(scale), frame, model.template_pixels, relative_weights(model.weights));
  const auto may_halve = [&](const LocatorLevel& level) {
    return std::min(level.size().height, level.size().width) >= kCoarseEdge && 2.0 * level.scale() < model.reach_px;
  };
  while (may_halve(levels.back())) levels.push_back(levels.back().halved(frame));
  return levels;
}

// The template is its own frame: what does not determine its pose never will.
Status check_structure(const std::vector<LocatorLevel>& levels, LocatorKind kind) {
  const std::vector<Unknown> unknowns = light_unknowns_of(kind);
  for (const LocatorLevel& level : levels) {
    LevelScratch scratch(level.size());
    static_cast<void>(level.residual(level.template_pixels(), {}, scratch));
    Solution solution{};
    if (solve(level.equations(scratch, 1.0), unknowns, solution)) continue;
    return expected_field("template", "edges in several directions where the weights are above 0",
                          "an image that does not determine a pose");
  }
  return {};
}

}  // namespace

int locator_scale(int frame_width, int frame_height) noexcept {
  int scale = 1;
  while (
      scale<kMaxLocatorScale&& static_cast<std::int64_t>(frame_width / scale) * (frame_height / scale)> kUsualPixels) {
    ++scale;
  }
  return scale;
}

const char* name_of(NotFound reason) noexcept {
  switch (reason) {
    case NotFound::kNone:
      return "none";
    case NotFound::kNotFinite:
      return "not_finite";
    case NotFound::kContrast:
      return "contrast";
    case NotFound::kDegenerate:
      return "degenerate";
    case NotFound::kOutsideReach:
      return "outside_reach";
    case NotFound::kNoConvergence:
      return "no_convergence";
    case NotFound::kResidual:
      return "residual";
    case NotFound::kNotSearched:
      return "not_searched";
  }
  return "unknown";
}

Result<Locator> Locator::create(const LocatorModel& model) {
  if (Status status = check_model(model); !status.ok()) return status;
  std::vector<LocatorLevel> levels = levels_of(model);
  if (Status status = check_structure(levels, model.kind); !status.ok()) return status;
  return Locator(std::make_unique<Impl>(model, std::move(levels)));
}

Locator::Locator(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Locator::Locator(Locator&&) noexcept = default;
Locator& Locator::operator=(Locator&&) noexcept = default;
Locator::~Locator() = default;

Result<Location> Locator::locate(const FrameView& frame) {
  Status status = check_frame(frame, impl_->frame_width, impl_->frame_height, impl_->bit_depth);
  if (!status.ok()) return status;
  return impl_->locate(frame);
}

Result<Location> Locator::locate_reduced(std::span<const float> reduced) {
  const std::size_t pixels = impl_->images.front().size();
  if (reduced.size() != pixels) {
    return invalid("locate_reduced: expected " + std::to_string(pixels) + " pixels as reduce_frame gives them, got " +
                   std::to_string(reduced.size()));
  }
  return impl_->locate(reduced);
}

bool poses_agree(std::span<const Location> frames, const LocatorModel& model) noexcept {
  // Written so that what is not a number agrees with nothing.
  const auto agree = [&model](const Pose& a, const Pose& b) {
    return std::abs(a.dx - b.dx) <= model.apart_px && std::abs(a.dy - b.dy) <= model.apart_px &&
           std::abs(a.turn - b.turn) <= model.apart_turn;
  };
  for (const Location& frame : frames) {
    if (!frame.found) return false;
    const auto fits = [&](const Location& other) { return agree(frame.pose, other.pose); };
    if (!std::all_of(frames.begin(), frames.end(), fits)) return false;
  }
  return true;
}

Status reduce_frame(const FrameView& frame, int scale, int bit_depth, std::span<float> reduced) {
  if (Status status = check_bit_depth(bit_depth); !status.ok()) return status;
  if (Status status = check_scale(frame.width, frame.height, scale); !status.ok()) return status;
  if (Status status = check_frame(frame, frame.width, frame.height, bit_depth); !status.ok()) return status;
  FrameReduction reduction(frame.width, frame.height, scale, bit_depth);
  if (reduced.size() != reduction.size().pixels()) {
    return invalid("reduce_frame: expected room for " + std::to_string(reduction.size().pixels()) + " floats, got " +
                   std::to_string(reduced.size()));
  }
  reduction.apply(frame, reduced);
  return {};
}

}  // namespace vialsight
