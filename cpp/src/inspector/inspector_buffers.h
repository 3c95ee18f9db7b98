// StripBuffers: the memory of one strip, allocated once. The Inspector has two, see inspector_impl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "inspector/inspector_pipeline.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

namespace vialsight {

// Where the patches of one strip and their reconstructions lie.
struct StripMemory {
  std::span<float> inputs;
  std::span<float> reconstructions;
};

class StripBuffers {
 public:
  // `memory` empty: allocates its own; else it holds the layout's N patches, twice, and outlives this.
  explicit StripBuffers(const Layout& layout, StripMemory memory = {})
      : frames_(static_cast<std::size_t>(layout.frames)),
        width_(layout.frame_width),
        height_(layout.frame_height),
        format_(layout.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8),
        row_bytes_(static_cast<std::size_t>(layout.frame_width) * (layout.bit_depth > 8 ? 2U : 1U)),
        patches_(layout.patches_per_frame()),
        pixels_per_patch_(layout.pixels_per_patch()),
        pixels_(frames_ * frame_bytes()),
        owned_(memory.inputs.empty() ? 2 * floats_per_strip() : 0),
        inputs_(memory.inputs.empty() ? std::span(owned_).first(floats_per_strip()) : memory.inputs),
        reconstructions_(memory.inputs.empty() ? std::span(owned_).last(floats_per_strip()) : memory.reconstructions),
        scores_(frames_ * patches_) {}
  StripBuffers(const StripBuffers&) = delete;  // the spans point into owned_
  StripBuffers& operator=(const StripBuffers&) = delete;

  // Copies a frame that check_frame has found good; returns the digest of its pixels.
  std::uint64_t copy(std::size_t frame, const FrameView& source) noexcept;
  // Something to see in every patch, for the warm-up.
  void draw_pattern(std::size_t frame) noexcept;
  [[nodiscard]] FrameView view(std::size_t frame) const noexcept;
  [[nodiscard]] PatchBuffers patches(std::size_t frame) noexcept;
  // Input and reconstruction of one patch; `patch` counts within the frame.
  [[nodiscard]] Inspector::PatchImages images(std::size_t frame, std::size_t patch) const noexcept;
  // φ [V][R] of one frame.
  [[nodiscard]] std::span<const float> scores(std::size_t frame) const noexcept {
    return std::span(scores_).subspan(frame * patches_, patches_);
  }

 private:
  [[nodiscard]] std::size_t frame_bytes() const noexcept { return row_bytes_ * static_cast<std::size_t>(height_); }
  [[nodiscard]] std::size_t floats_per_strip() const noexcept { return frames_ * patches_ * pixels_per_patch_; }

  std::size_t frames_;
  int width_;
  int height_;
  PixelFormat format_;
  std::size_t row_bytes_;  // dense rows
  std::size_t patches_;    // V·R
  std::size_t pixels_per_patch_;
  std::vector<std::byte> pixels_;  // [F][height][row_bytes]
  std::vector<float> owned_;
  std::span<float> inputs_;           // [F][V][R][P][P]
  std::span<float> reconstructions_;  // the same
  std::vector<float> scores_;         // [F][V][R]
};

}  // namespace vialsight
