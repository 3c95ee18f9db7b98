// StripBuffers: the memory of one strip, allocated once. The Inspector has two, see inspector_impl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inspector/inspector_pipeline.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

namespace vialsight {

// What the patches of a bundle are, and what comes of them.
struct PatchShape {
  Layout layout;
  std::vector<OutputSpec> outputs;
  std::size_t components = 0;  // that decide

  [[nodiscard]] static PatchShape of(const Bundle& bundle);
  // Of one patch and all its outputs.
  [[nodiscard]] std::size_t floats_per_patch() const noexcept;
};

// Where the N patches of one strip and their outputs lie.
struct StripMemory {
  std::span<float> inputs;
  std::vector<std::span<float>> outputs;
};

class StripBuffers {
 public:
  // `memory` empty: allocates its own; else it holds the layout's N patches and their outputs, and outlives this.
  explicit StripBuffers(const PatchShape& shape, StripMemory memory = {});
  StripBuffers(const StripBuffers&) = delete;  // the spans point into owned_
  StripBuffers& operator=(const StripBuffers&) = delete;

  // Copies a frame that check_frame has found good; returns the digest of its pixels.
  std::uint64_t copy(std::size_t frame, const FrameView& source) noexcept;
  // Something to see in every patch, for the warm-up.
  void draw_pattern(std::size_t frame) noexcept;
  [[nodiscard]] FrameView view(std::size_t frame) const noexcept;
  [[nodiscard]] PatchBuffers patches(std::size_t frame) noexcept;
  // φ [V][R] of one frame, and [V][R][K].
  [[nodiscard]] std::span<const float> scores(std::size_t frame) const noexcept {
    return std::span(scores_).subspan(frame * patches_, patches_);
  }
  [[nodiscard]] std::span<const float> components(std::size_t frame) const noexcept {
    return std::span(component_scores_).subspan(frame * patches_ * components_, patches_ * components_);
  }
  // Of one patch; `patch` counts within the frame.
  [[nodiscard]] std::span<const float> input(std::size_t frame, std::size_t patch) const noexcept;
  [[nodiscard]] std::span<const float> output(std::size_t index, std::size_t frame, std::size_t patch) const noexcept;

 private:
  [[nodiscard]] std::size_t frame_bytes() const noexcept { return row_bytes_ * static_cast<std::size_t>(height_); }
  void own(const PatchShape& shape);
  void divide();

  std::size_t frames_;
  int width_;
  int height_;
  PixelFormat format_;
  std::size_t row_bytes_;  // dense rows
  std::size_t patches_;    // V·R
  std::size_t pixels_per_patch_;
  std::size_t components_;         // K
  std::vector<std::byte> pixels_;  // [F][height][row_bytes]
  std::vector<float> owned_;
  StripMemory memory_;  // [F][V][R][P][P] and [F][V][R][h][w]
  std::vector<OutputSpec> specs_;
  std::vector<std::span<float>> frame_outputs_;  // [F][outputs], each [V][R][h][w]
  std::vector<float> scores_;                    // [F][V][R]
  std::vector<float> component_scores_;          // [F][V][R][K]
};

}  // namespace vialsight
