// Patch extraction: the one implementation used by training, calibration and inspection.
//
// A box is resampled to P×P exactly as tf.image.resize(method="bilinear", antialias=True) does (within 1e-5); a box
// that is already P×P is copied. With a pose the box is cut where the product is seen, in one resampling from frame to
// patch: Keys' cubic (a = −1/2), widened by the scale where the patch shrinks the box. Pixels become float32 in [0, 1]:
// uint8 / 255, uint16 / (2^bit_depth - 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "vialsight/export.h"
#include "vialsight/layout.h"
#include "vialsight/pose.h"
#include "vialsight/status.h"

namespace vialsight {

enum class PixelFormat : std::uint8_t { kGray8 = 0, kGray16 = 1 };  // kGray16: native-endian uint16

// One grayscale image, borrowed: the caller keeps `data` alive for the duration of the call.
struct FrameView {
  const void* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t row_stride_bytes = 0;  // from one row to the next, at least width × bytes per pixel
  PixelFormat format = PixelFormat::kGray8;
};

// Ok when `frame` fits `layout` (size, format for the bit depth, stride, alignment, not null); else kInvalidArgument.
// Pixel values above 2^bit_depth - 1 are found by extraction, not here.
[[nodiscard]] VIALSIGHT_API Status check_frame(const FrameView& frame, const Layout& layout);

// Extracts all V·R patches of one frame. Precomputes the resampling weights of a layout once.
// Thread-safe after construction: extract() is const; `scratch` belongs to the caller.
class VIALSIGHT_API PatchExtractor {
 public:
  [[nodiscard]] static Result<PatchExtractor> create(const Layout& layout);
  PatchExtractor(PatchExtractor&&) noexcept;
  PatchExtractor& operator=(PatchExtractor&&) noexcept;
  ~PatchExtractor();

  // Number of floats of the scratch buffer `extract` needs.
  [[nodiscard]] std::size_t scratch_size() const noexcept;

  // Writes V·R·P·P floats, ordered [vial][region][row][column]. Does not allocate.
  // kInvalidArgument: frame does not fit the layout, wrong buffer sizes, or a pixel inside a box above the declared bit
  // depth (its value, position and the depth are named; `patches` is then partly written).
  [[nodiscard]] Status extract(const FrameView& frame, std::span<float> patches, std::span<float> scratch) const;

  // The same of a product that lies at `pose`; values are clipped to [0, 1], and beyond the frame's edge its pixels are
  // repeated. The zero pose copies boxes of P×P pixels, too, but resamples others by the cubic.
  // kInvalidArgument: also a pose that check_pose refuses. Pixels around a turned box count as inside it.
  [[nodiscard]] Status extract(const FrameView& frame, const Pose& pose, std::span<float> patches,
                               std::span<float> scratch) const;

  // Patch `index`, vial · R + region, of the two above: P·P floats. `pose` null: of a product that always lies at one
  // place. kInvalidArgument: also an index that is none. Several threads may share a frame, each with its own scratch.
  [[nodiscard]] Status extract_patch(const FrameView& frame, const Pose* pose, std::size_t index,
                                     std::span<float> patch, std::span<float> scratch) const;

 private:
  struct Impl;
  explicit PatchExtractor(std::unique_ptr<const Impl> impl) noexcept;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace vialsight
