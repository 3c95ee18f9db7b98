#include "vialsight/patches.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "imaging/resampling.h"

namespace vialsight {
namespace {

Status invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

std::size_t bytes_per_pixel(PixelFormat format) noexcept { return format == PixelFormat::kGray16 ? 2 : 1; }

const char* pixel_type(PixelFormat format) noexcept { return format == PixelFormat::kGray16 ? "uint16" : "uint8"; }

std::size_t area(const Box& box) noexcept {
  return static_cast<std::size_t>(box.width) * static_cast<std::size_t>(box.height);
}

// First pixel of the box's row; `Pixel` is the frame's pixel type.
template <typename Pixel>
const Pixel* box_row(const FrameView& frame, const Box& box, int row) noexcept {
  const auto* bytes = static_cast<const std::byte*>(frame.data) + (box.y + row) * frame.row_stride_bytes;
  return static_cast<const Pixel*>(static_cast<const void*>(bytes)) + box.x;
}

// Divides, as training does: multiplying by the reciprocal would round differently.
template <typename Pixel>
void normalise_row(const Pixel* pixels, std::size_t count, float limit, float* out) noexcept {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(pixels[i]) / limit;
}

template <typename Pixel>
Status pixel_above_limit(const Pixel* row, const Box& box, int box_row, int bit_depth, Pixel limit) {
  const Pixel* pixel = std::find_if(row, row + box.width, [limit](Pixel value) { return value > limit; });
  return invalid("frame: pixel (x " + std::to_string(box.x + (pixel - row)) + ", y " + std::to_string(box.y + box_row) +
                 ") is " + std::to_string(*pixel) + ", but bit depth " + std::to_string(bit_depth) + " ends at " +
                 std::to_string(limit) + "; check the camera's pixel format and the layout's bit_depth");
}

// The box's pixels in [0, 1], dense, into `out`.
template <typename Pixel>
Status normalise_box(const FrameView& frame, const Box& box, int bit_depth, float* out) {
  const auto limit = static_cast<Pixel>((1U << static_cast<unsigned>(bit_depth)) - 1U);
  const auto width = static_cast<std::size_t>(box.width);
  for (int y = 0; y < box.height; ++y) {
    const Pixel* row = box_row<Pixel>(frame, box, y);
    if (limit < std::numeric_limits<Pixel>::max()) {
      Pixel largest = 0;
      for (std::size_t i = 0; i < width; ++i) largest = std::max(largest, row[i]);
      if (largest > limit) return pixel_above_limit(row, box, y, bit_depth, limit);
    }
    normalise_row(row, width, static_cast<float>(limit), out);
    out += width;
  }
  return {};
}

// `line` has room for one row of the box.
void resample(const float* box, std::size_t box_width, const Resampling& rows, const Resampling& columns,
              std::size_t patch_size, float* line, float* patch) noexcept {
  for (std::size_t y = 0; y < patch_size; ++y) {
    std::fill_n(line, box_width, 0.0F);
    const std::span<const float> row_weights = rows.weights(y);
    for (std::size_t k = 0; k < row_weights.size(); ++k) {
      const float* source = box + (rows.first(y) + k) * box_width;
      const float weight = row_weights[k];
      for (std::size_t x = 0; x < box_width; ++x) line[x] += weight * source[x];
    }
    for (std::size_t x = 0; x < patch_size; ++x) {
      const std::span<const float> weights = columns.weights(x);
      const float* source = line + columns.first(x);
      float sum = 0.0F;
      for (std::size_t k = 0; k < weights.size(); ++k) sum += weights[k] * source[k];
      *patch++ = sum;
    }
  }
}

}  // namespace

Status check_frame(const FrameView& frame, const Layout& layout) {
  if (frame.data == nullptr) return invalid("frame: expected pixels, got a null pointer");
  if (frame.width != layout.frame_width || frame.height != layout.frame_height) {
    return invalid("frame: expected " + std::to_string(layout.frame_width) + "x" + std::to_string(layout.frame_height) +
                   " pixels (width x height), got " + std::to_string(frame.width) + "x" + std::to_string(frame.height));
  }
  const PixelFormat expected = layout.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8;
  if (frame.format != expected) {
    return invalid(std::string("frame: expected ") + pixel_type(expected) + " pixels for bit depth " +
                   std::to_string(layout.bit_depth) + ", got another pixel format");
  }
  const auto pixel_bytes = static_cast<std::ptrdiff_t>(bytes_per_pixel(expected));
  if (frame.row_stride_bytes < frame.width * pixel_bytes) {
    return invalid("frame: expected a row stride of at least " + std::to_string(frame.width * pixel_bytes) +
                   " bytes, got " + std::to_string(frame.row_stride_bytes));
  }
  if (std::bit_cast<std::uintptr_t>(frame.data) % static_cast<std::uintptr_t>(pixel_bytes) != 0 ||
      frame.row_stride_bytes % pixel_bytes != 0) {
    return invalid("frame: expected data and row stride of uint16 pixels to be even, got an odd address or stride");
  }
  return {};
}

struct PatchExtractor::Impl {
  explicit Impl(const Layout& source) : layout(source) {
    for (const std::vector<Box>& vial : layout.boxes) {
      for (const Box& box : vial) {
        if (is_copied(box)) continue;
        resampling.try_emplace(box.width, box.width, layout.patch_size);
        resampling.try_emplace(box.height, box.height, layout.patch_size);
        largest_box = std::max(largest_box, area(box));
        widest_box = std::max(widest_box, static_cast<std::size_t>(box.width));
      }
    }
  }

  [[nodiscard]] bool is_copied(const Box& box) const noexcept {
    return box.width == layout.patch_size && box.height == layout.patch_size;
  }

  Status extract_box(const FrameView& frame, const Box& box, float* patch, float* scratch) const {
    const auto normalise =
        frame.format == PixelFormat::kGray16 ? &normalise_box<std::uint16_t> : &normalise_box<std::uint8_t>;
    if (is_copied(box)) return normalise(frame, box, layout.bit_depth, patch);
    if (Status status = normalise(frame, box, layout.bit_depth, scratch); !status.ok()) return status;
    resample(scratch, static_cast<std::size_t>(box.width), resampling.at(box.height), resampling.at(box.width),
             static_cast<std::size_t>(layout.patch_size), scratch + largest_box, patch);
    return {};
  }

  Layout layout;
  std::map<int, Resampling> resampling;  // to the patch's size, by the box's
  std::size_t largest_box = 0;           // pixels, of the boxes that are resampled
  std::size_t widest_box = 0;
};

Result<PatchExtractor> PatchExtractor::create(const Layout& layout) {
  if (Status status = layout.validate(); !status.ok()) return status;
  return PatchExtractor(std::make_unique<const Impl>(layout));
}

PatchExtractor::PatchExtractor(std::unique_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
PatchExtractor::PatchExtractor(PatchExtractor&&) noexcept = default;
PatchExtractor& PatchExtractor::operator=(PatchExtractor&&) noexcept = default;
PatchExtractor::~PatchExtractor() = default;

std::size_t PatchExtractor::scratch_size() const noexcept { return impl_->largest_box + impl_->widest_box; }

Status PatchExtractor::extract(const FrameView& frame, std::span<float> patches, std::span<float> scratch) const {
  const Layout& layout = impl_->layout;
  if (Status status = check_frame(frame, layout); !status.ok()) return status;
  const std::size_t expected = layout.patches_per_frame() * layout.pixels_per_patch();
  if (patches.size() != expected || scratch.size() < scratch_size()) {
    return invalid("extract: expected room for " + std::to_string(expected) + " floats and scratch of " +
                   std::to_string(scratch_size()) + ", got " + std::to_string(patches.size()) + " and " +
                   std::to_string(scratch.size()));
  }
  float* patch = patches.data();
  for (const std::vector<Box>& vial : layout.boxes) {
    for (const Box& box : vial) {
      if (Status status = impl_->extract_box(frame, box, patch, scratch.data()); !status.ok()) return status;
      patch += layout.pixels_per_patch();
    }
  }
  return {};
}

}  // namespace vialsight
