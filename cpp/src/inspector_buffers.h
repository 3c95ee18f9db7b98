// StripBuffers: the memory of one strip, allocated once. The Inspector has two, see inspector_impl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "inspector_pipeline.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

namespace vialsight {

enum class FrameState : std::uint8_t {
  kMissing,    // not submitted
  kSubmitted,  // copied, waiting for the worker
  kRunning,    // the worker is at it
  kScored,     // in time
  kLate,       // not started, or not ended, in time
  kInvalid,    // its pixels do not fit the layout
  kFault,      // the backend failed
};

class StripBuffers {
 public:
  explicit StripBuffers(const Layout& layout)
      : states(static_cast<std::size_t>(layout.frames), FrameState::kMissing),
        width_(layout.frame_width),
        height_(layout.frame_height),
        format_(layout.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8),
        row_bytes_(static_cast<std::size_t>(layout.frame_width) * (layout.bit_depth > 8 ? 2U : 1U)),
        patches_(layout.patches_per_frame()),
        pixels_per_patch_(layout.pixels_per_patch()),
        pixels_(states.size() * frame_bytes()),
        inputs_(states.size() * patches_ * pixels_per_patch_),
        reconstructions_(inputs_.size()),
        scores_(states.size() * patches_) {}

  // Copies a frame that check_frame has found good.
  void copy(std::size_t frame, const FrameView& source) noexcept;
  [[nodiscard]] FrameView view(std::size_t frame) const noexcept;
  [[nodiscard]] PatchBuffers patches(std::size_t frame) noexcept;
  // Input and reconstruction of one patch; `patch` counts within the frame.
  [[nodiscard]] Inspector::PatchImages images(std::size_t frame, std::size_t patch) const noexcept;
  // φ [V][R] of one frame.
  [[nodiscard]] std::span<const float> scores(std::size_t frame) const noexcept {
    return std::span(scores_).subspan(frame * patches_, patches_);
  }

  std::vector<FrameState> states;  // guarded by the Inspector's mutex

 private:
  [[nodiscard]] std::size_t frame_bytes() const noexcept { return row_bytes_ * static_cast<std::size_t>(height_); }

  int width_;
  int height_;
  PixelFormat format_;
  std::size_t row_bytes_;  // dense rows
  std::size_t patches_;    // V·R
  std::size_t pixels_per_patch_;
  std::vector<std::byte> pixels_;       // [F][height][row_bytes]
  std::vector<float> inputs_;           // [F][V][R][P][P]
  std::vector<float> reconstructions_;  // the same
  std::vector<float> scores_;           // [F][V][R]
};

}  // namespace vialsight
