#include "inspector/inspector_buffers.h"

#include <cstring>

#include "inspector/frame_digest.h"

namespace vialsight {

std::uint64_t StripBuffers::copy(std::size_t frame, const FrameView& source) noexcept {
  std::byte* target = pixels_.data() + frame * frame_bytes();
  const auto* first = static_cast<const std::byte*>(source.data);
  FrameDigest digest;
  for (std::size_t y = 0; y < static_cast<std::size_t>(height_); ++y) {
    std::byte* row = target + y * row_bytes_;
    std::memcpy(row, first + static_cast<std::ptrdiff_t>(y) * source.row_stride_bytes, row_bytes_);
    digest.add(row, row_bytes_);
  }
  return digest.value();
}

void StripBuffers::draw_pattern(std::size_t frame) noexcept {
  constexpr std::size_t kValues = 251;  // within every bit depth
  const std::size_t bytes = format_ == PixelFormat::kGray16 ? 2 : 1;
  std::byte* target = pixels_.data() + frame * frame_bytes();
  for (std::size_t i = 0; i < frame_bytes() / bytes; ++i) {
    const auto value = static_cast<std::uint16_t>(i % kValues);
    const auto narrow = static_cast<std::uint8_t>(value);
    std::memcpy(target + i * bytes, bytes == 2 ? static_cast<const void*>(&value) : &narrow, bytes);
  }
}

FrameView StripBuffers::view(std::size_t frame) const noexcept {
  return {pixels_.data() + frame * frame_bytes(), width_, height_, static_cast<std::ptrdiff_t>(row_bytes_), format_};
}

PatchBuffers StripBuffers::patches(std::size_t frame) noexcept {
  const std::size_t size = patches_ * pixels_per_patch_;
  return {inputs_.subspan(frame * size, size), reconstructions_.subspan(frame * size, size),
          std::span(scores_).subspan(frame * patches_, patches_)};
}

Inspector::PatchImages StripBuffers::images(std::size_t frame, std::size_t patch) const noexcept {
  const std::size_t first = (frame * patches_ + patch) * pixels_per_patch_;
  return {inputs_.subspan(first, pixels_per_patch_), reconstructions_.subspan(first, pixels_per_patch_)};
}

}  // namespace vialsight
