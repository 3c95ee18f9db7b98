#include "inspector_buffers.h"

#include <cstring>

namespace vialsight {

void StripBuffers::copy(std::size_t frame, const FrameView& source) noexcept {
  std::byte* target = pixels_.data() + frame * frame_bytes();
  const auto* first = static_cast<const std::byte*>(source.data);
  for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y) {
    std::memcpy(target + y * row_bytes_, first + static_cast<std::ptrdiff_t>(y) * source.row_stride_bytes, row_bytes_);
  }
}

FrameView StripBuffers::view(std::size_t frame) const noexcept {
  return {pixels_.data() + frame * frame_bytes(), width_, height_, static_cast<std::ptrdiff_t>(row_bytes_), format_};
}

PatchBuffers StripBuffers::patches(std::size_t frame) noexcept {
  const std::size_t size = patches_ * pixels_per_patch_;
  return {std::span(inputs_).subspan(frame * size, size), std::span(reconstructions_).subspan(frame * size, size),
          std::span(scores_).subspan(frame * patches_, patches_)};
}

Inspector::PatchImages StripBuffers::images(std::size_t frame, std::size_t patch) const noexcept {
  const std::size_t first = (frame * patches_ + patch) * pixels_per_patch_;
  return {std::span(inputs_).subspan(first, pixels_per_patch_),
          std::span(reconstructions_).subspan(first, pixels_per_patch_)};
}

}  // namespace vialsight
