// Locator: finds the pose of the product in a frame (SPEC §1 "Pose"), so that it can be looked at in its own
// coordinates.
//
// frame ── averaged scale×scale, smoothed (σ 1) ──► coarse search ──► Gauss–Newton, coarse to fine ──► Location
//
// The pose minimises Σ w ρ(I(x(u,v)) - c·T(u,v) - b) with Cauchy's ρ at 3 × 1.4826 · MAD of the residual. Contrast c
// and brightness b are solved with the pose, so that neither exposure nor lamp moves the product. Gradients are the
// template's (inverse compositional, Baker & Matthews 2004): computed once.
//
// Invariants: what is not found says so and why; `found` is never true for a pose outside the reach, a residual above
// the limit, a search that did not converge or a number that is not finite. Equal frames give equal bits, on any
// machine. locate() does not allocate. One thread at a time for each Locator.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vialsight/export.h"
#include "vialsight/patches.h"
#include "vialsight/pose.h"
#include "vialsight/status.h"

namespace vialsight {

// Beyond 3° the form of small angles stretches by more than a pixel.
inline constexpr double kMaxReachTurn = 0.0524;
inline constexpr int kMaxLocatorScale = 64;
// A shorter edge of the averaged frame holds too little to find anything by.
inline constexpr int kMinLocatorEdge = 16;
// Of the averaged frame. What takes longer to search than a slot lasts is refused, not found out on the line.
inline constexpr std::int64_t kMaxLocatorPixels = 1 << 20;

// The averaging factor for frames of this size: the smallest that leaves at most 2^17 pixels, which are searched in a
// few milliseconds and still show a hundredth of a pixel (1408×1152: 4).
[[nodiscard]] VIALSIGHT_API int locator_scale(int frame_width, int frame_height) noexcept;

// What a locator is made of; fitted on nominal frames. Images are those of reduce_frame(): frame_height / scale rows of
// frame_width / scale pixels, rounded down, row-major.
struct LocatorModel {
  LocatorKind kind = LocatorKind::kRigid;  // not kNone
  int frame_width = 0;
  int frame_height = 0;
  int bit_depth = 8;                   // pixels are uint8 up to 8 bits, else uint16
  int scale = 4;                       // frame pixels averaged into one, each way
  std::vector<float> template_pixels;  // the product where the boxes are drawn, in [0, 1]
  std::vector<float> weights;          // at least 0, not all of them; 0: does not count. Only ratios matter
  double reach_px = 32.0;              // largest |dx| and |dy|, up to a quarter of the frame's shorter edge
  double reach_turn = 0.0262;          // largest |turn|, radians; 0 for kTranslation
  double residual_limit = 0.0;         // largest residual of a found product, above 0
  // Between the frames of one strip, which the gripper holds throughout: beyond, one of them shows something else.
  double apart_px = 64.0;      // largest difference of dx and of dy, at least 0
  double apart_turn = 0.0524;  // largest difference of turn, radians, at least 0
};

enum class NotFound : std::uint8_t {
  kNone = 0,       // it was found
  kNotFinite,      // a number of the search is not finite
  kContrast,       // nothing like the template, or less than a quarter or more than four times its contrast
  kDegenerate,     // what is seen does not determine a pose
  kOutsideReach,   // the search left the reach
  kNoConvergence,  // it took too many steps
  kResidual,       // above the limit: not this product, or not whole
  kNotSearched,    // nobody looked
};

// Stable lower-case name of a reason, for logs ("outside_reach"); "none" for kNone.
[[nodiscard]] VIALSIGHT_API const char* name_of(NotFound reason) noexcept;

// A zeroed Location is not found.
struct Location {
  bool found = false;
  NotFound reason = NotFound::kNotSearched;
  Pose pose;  // where the search ended, found or not
  // Weighted mean of what pose, brightness and contrast leave unexplained at the last step, 0 before the first. 1 is
  // from black to white.
  double residual = 0.0;
  double contrast = 0.0;  // of the frame, relative to the template's
  int steps = 0;          // of Gauss–Newton, on all levels
};

class VIALSIGHT_API Locator {
 public:
  // Allocates all that locate() needs. kInvalidArgument: a field is out of range, sizes do not fit, a value is not
  // finite, or the template has no structure where its weights are.
  [[nodiscard]] static Result<Locator> create(const LocatorModel& model);
  Locator(Locator&&) noexcept;
  Locator& operator=(Locator&&) noexcept;
  ~Locator();

  // kInvalidArgument only for a frame that is not of the model's size, depth or memory layout; a product that is not
  // there is a Location that says so.
  [[nodiscard]] Result<Location> locate(const FrameView& frame);
  // The same for what reduce_frame() made of a frame. kInvalidArgument only for another number of pixels.
  [[nodiscard]] Result<Location> locate_reduced(std::span<const float> reduced);

 private:
  struct Impl;
  explicit Locator(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

// Whether these are the frames of one strip: each found, and none farther from another than the model's apart_px and
// apart_turn.
[[nodiscard]] VIALSIGHT_API bool poses_agree(std::span<const Location> frames, const LocatorModel& model) noexcept;

// The frame as locate() sees it: averaged scale×scale and smoothed (Gaussian, σ 1, reflected borders), in [0, 1].
// Writes (height / scale)·(width / scale) floats. kInvalidArgument: the frame, the scale or the size of `reduced`.
[[nodiscard]] VIALSIGHT_API Status reduce_frame(const FrameView& frame, int scale, int bit_depth,
                                                std::span<float> reduced);

}  // namespace vialsight
