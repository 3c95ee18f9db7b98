#include "inspector/inspector_buffers.h"

#include <cstring>
#include <utility>

#include "inspector/frame_digest.h"

namespace vialsight {

PatchShape PatchShape::of(const Bundle& bundle) {
  return {bundle.layout(), bundle.outputs(), bundle.components().size()};
}

std::size_t PatchShape::floats_per_patch() const noexcept {
  std::size_t floats = layout.pixels_per_patch();
  for (const OutputSpec& output : outputs) floats += output.pixels();
  return floats;
}

StripBuffers::StripBuffers(const PatchShape& shape, StripMemory memory)
    : frames_(static_cast<std::size_t>(shape.layout.frames)),
      width_(shape.layout.frame_width),
      height_(shape.layout.frame_height),
      format_(shape.layout.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8),
      row_bytes_(static_cast<std::size_t>(shape.layout.frame_width) * (shape.layout.bit_depth > 8 ? 2U : 1U)),
      patches_(shape.layout.patches_per_frame()),
      pixels_per_patch_(shape.layout.pixels_per_patch()),
      components_(shape.components),
      pixels_(frames_ * frame_bytes()),
      memory_(std::move(memory)),
      specs_(shape.outputs),
      scores_(frames_ * patches_),
      component_scores_(scores_.size() * components_) {
  if (memory_.inputs.empty()) own(shape);
  divide();
}

void StripBuffers::own(const PatchShape& shape) {
  const std::size_t patches = frames_ * patches_;
  owned_.resize(patches * shape.floats_per_patch());
  std::span<float> left = owned_;
  const auto take = [&left, patches](std::size_t floats) {
    const std::span<float> block = left.first(patches * floats);
    left = left.subspan(block.size());
    return block;
  };
  memory_.inputs = take(pixels_per_patch_);
  for (const OutputSpec& spec : specs_) memory_.outputs.push_back(take(spec.pixels()));
}

void StripBuffers::divide() {
  for (std::size_t frame = 0; frame < frames_; ++frame) {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      const std::size_t size = patches_ * specs_[i].pixels();
      frame_outputs_.push_back(memory_.outputs[i].subspan(frame * size, size));
    }
  }
}

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
  return {memory_.inputs.subspan(frame * size, size),
          {std::span(scores_).subspan(frame * patches_, patches_),
           std::span(component_scores_).subspan(frame * patches_ * components_, patches_ * components_),
           std::span<const std::span<float>>(frame_outputs_).subspan(frame * specs_.size(), specs_.size())}};
}

std::span<const float> StripBuffers::input(std::size_t frame, std::size_t patch) const noexcept {
  return memory_.inputs.subspan((frame * patches_ + patch) * pixels_per_patch_, pixels_per_patch_);
}

std::span<const float> StripBuffers::output(std::size_t index, std::size_t frame, std::size_t patch) const noexcept {
  const std::size_t size = specs_[index].pixels();
  return memory_.outputs[index].subspan((frame * patches_ + patch) * size, size);
}

}  // namespace vialsight
