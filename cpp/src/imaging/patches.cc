#include "vialsight/patches.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/unit_pixels.h"
#include "imaging/cubic_resampling.h"
#include "imaging/frame_check.h"
#include "imaging/resampling.h"

namespace vialsight {
namespace {

Status invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

std::size_t bytes_per_pixel(PixelFormat format) noexcept { return format == PixelFormat::kGray16 ? 2 : 1; }

const char* pixel_type(PixelFormat format) noexcept { return format == PixelFormat::kGray16 ? "uint16" : "uint8"; }

std::size_t area(const Box& box) noexcept {
  return static_cast<std::size_t>(box.width) * static_cast<std::size_t>(box.height);
}

// First pixel of a row of the frame; `Pixel` is the frame's pixel type.
template <typename Pixel>
const Pixel* frame_row(const FrameView& frame, int y) noexcept {
  const auto* bytes = static_cast<const std::byte*>(frame.data) + y * frame.row_stride_bytes;
  return static_cast<const Pixel*>(static_cast<const void*>(bytes));
}

template <typename Pixel>
Pixel limit_of(int bit_depth) noexcept {
  return static_cast<Pixel>((1U << static_cast<unsigned>(bit_depth)) - 1U);
}

// Part of a row of a frame.
struct Span {
  int x = 0;
  int y = 0;
  int width = 0;
};

template <typename Pixel>
Status pixel_above_limit(const Pixel* row, const Span& span, int bit_depth) {
  const auto limit = limit_of<Pixel>(bit_depth);
  const Pixel* pixel = std::find_if(row, row + span.width, [limit](Pixel value) { return value > limit; });
  return invalid("frame: pixel (x " + std::to_string(span.x + (pixel - row)) + ", y " + std::to_string(span.y) +
                 ") is " + std::to_string(*pixel) + ", but bit depth " + std::to_string(bit_depth) + " ends at " +
                 std::to_string(limit) + "; check the camera's pixel format and the layout's bit_depth");
}

// `row` points to the span's first pixel.
template <typename Pixel>
Status check_pixels(const Pixel* row, const Span& span, int bit_depth) {
  const auto limit = limit_of<Pixel>(bit_depth);
  if (limit == std::numeric_limits<Pixel>::max()) return {};
  Pixel largest = 0;
  for (int i = 0; i < span.width; ++i) largest = std::max(largest, row[i]);
  return largest > limit ? pixel_above_limit(row, span, bit_depth) : Status{};
}

// The box's pixels in [0, 1], dense, into `out`.
template <typename Pixel>
Status normalise_box(const FrameView& frame, const Box& box, int bit_depth, float* out) {
  const auto limit = static_cast<float>(limit_of<Pixel>(bit_depth));
  const auto width = static_cast<std::size_t>(box.width);
  for (int y = box.y; y < box.y + box.height; ++y) {
    const Pixel* row = frame_row<Pixel>(frame, y) + box.x;
    if (Status status = check_pixels(row, {box.x, y, box.width}, bit_depth); !status.ok()) return status;
    to_unit(std::span(row, width), limit, out);
    out += width;
  }
  return {};
}

// The pixels of a window as they are, dense, into `out`; beyond the frame's edge its pixels are repeated.
template <typename Pixel>
Status read_window(const FrameView& frame, const Window& window, int bit_depth, float* out) {
  const int first = std::clamp(window.x, 0, frame.width - 1);
  const int count = std::clamp(window.x + window.width - 1, 0, frame.width - 1) - first + 1;
  const int before = std::clamp(first - window.x, 0, window.width - count);
  for (int i = 0; i < window.height; ++i) {
    const int y = std::clamp(window.y + i, 0, frame.height - 1);
    const Pixel* row = frame_row<Pixel>(frame, y) + first;
    if (Status status = check_pixels(row, {first, y, count}, bit_depth); !status.ok()) return status;
    float* const inside = std::fill_n(out, before, static_cast<float>(row[0]));
    float* const behind =
        std::transform(row, row + count, inside, [](Pixel pixel) { return static_cast<float>(pixel); });
    out = std::fill_n(behind, window.width - count - before, static_cast<float>(row[count - 1]));
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

Status check_frame(const FrameView& frame, int width, int height, int bit_depth) {
  if (frame.data == nullptr) return invalid("frame: expected pixels, got a null pointer");
  if (frame.width != width || frame.height != height) {
    return invalid("frame: expected " + std::to_string(width) + "x" + std::to_string(height) +
                   " pixels (width x height), got " + std::to_string(frame.width) + "x" + std::to_string(frame.height));
  }
  const PixelFormat expected = bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8;
  if (frame.format != expected) {
    return invalid(std::string("frame: expected ") + pixel_type(expected) + " pixels for bit depth " +
                   std::to_string(bit_depth) + ", got another pixel format");
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

Status check_frame(const FrameView& frame, const Layout& layout) {
  return check_frame(frame, layout.frame_width, layout.frame_height, layout.bit_depth);
}

struct PatchExtractor::Impl {
  explicit Impl(const Layout& source) : layout(source) {
    for (const std::vector<Box>& vial : layout.boxes) {
      for (const Box& box : vial) {
        plan_located(box);
        if (is_copied(box)) continue;
        resampling.try_emplace(box.width, box.width, layout.patch_size);
        resampling.try_emplace(box.height, box.height, layout.patch_size);
        largest_box = std::max(largest_box, area(box));
        widest_box = std::max(widest_box, static_cast<std::size_t>(box.width));
      }
    }
    scratch_size = std::max(largest_box + widest_box, largest_window + most_taps);
  }

  [[nodiscard]] bool is_copied(const Box& box) const noexcept {
    return box.width == layout.patch_size && box.height == layout.patch_size;
  }

  [[nodiscard]] double step_of(int edge) const noexcept { return static_cast<double>(edge) / layout.patch_size; }

  void plan_located(const Box& box) {
    const CubicWeights& columns = cubic.try_emplace(box.width, step_of(box.width)).first->second;
    const CubicWeights& rows = cubic.try_emplace(box.height, step_of(box.height)).first->second;
    // What the largest turn makes of the box, and one pixel for rounding.
    const auto edge = [](int along, int across, const CubicWeights& weights) {
      return static_cast<std::size_t>(std::ceil(along + kMaxTurn * across)) + weights.taps() + 1;
    };
    largest_window = std::max(largest_window, edge(box.width, box.height, columns) * edge(box.height, box.width, rows));
    most_taps = std::max(most_taps, columns.taps() + rows.taps());
  }

  // The middle of a patch's first pixel lies half a step inside the box; indices count from the middles of pixels.
  [[nodiscard]] SampleGrid grid_of(const Box& box, const Pose& pose) const noexcept {
    const Point centre{(layout.frame_width - 1) / 2.0, (layout.frame_height - 1) / 2.0};
    const double step_x = step_of(box.width);
    const double step_y = step_of(box.height);
    const Point first{box.x + (step_x - 1.0) / 2.0 - centre.x, box.y + (step_y - 1.0) / 2.0 - centre.y};
    const Point seen = seen_at(pose, first);
    return {seen.x + centre.x, seen.y + centre.y, step_x, step_y, pose.turn, layout.patch_size};
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

  Status extract_located(const FrameView& frame, const Box& box, const Pose& pose, float* patch, float* scratch) const {
    const CubicWeights& columns = cubic.at(box.width);
    const CubicWeights& rows = cubic.at(box.height);
    const SampleGrid grid = grid_of(box, pose);
    const Window window = window_of(grid, columns, rows);
    const auto read = frame.format == PixelFormat::kGray16 ? &read_window<std::uint16_t> : &read_window<std::uint8_t>;
    if (Status status = read(frame, window, layout.bit_depth, scratch); !status.ok()) return status;
    const WindowPixels pixels{window, scratch, static_cast<float>(limit_of<std::uint16_t>(layout.bit_depth))};
    if (is_copied(box)) {
      resample_equal(pixels, grid, patch);
    } else {
      resample(pixels, grid, columns, rows, scratch + largest_window, patch);
    }
    return {};
  }

  // Of a box whose sizes are checked; `pose` may be null.
  Status extract_one(const FrameView& frame, const Pose* pose, std::size_t index, float* patch, float* scratch) const {
    const Box& box = layout.boxes[index / layout.region_count()][index % layout.region_count()];
    return pose == nullptr ? extract_box(frame, box, patch, scratch)
                           : extract_located(frame, box, *pose, patch, scratch);
  }

  // `patches` of the size of `count` patches.
  [[nodiscard]] Status check(const FrameView& frame, const Pose* pose, std::size_t count, std::span<float> patches,
                             std::span<float> scratch) const {
    if (pose != nullptr) {
      if (Status status = check_pose(*pose, layout); !status.ok()) return status;
    }
    if (Status status = check_frame(frame, layout); !status.ok()) return status;
    const std::size_t expected = count * layout.pixels_per_patch();
    if (patches.size() == expected && scratch.size() >= scratch_size) return {};
    return invalid("extract: expected room for " + std::to_string(expected) + " floats and scratch of " +
                   std::to_string(scratch_size) + ", got " + std::to_string(patches.size()) + " and " +
                   std::to_string(scratch.size()));
  }

  Status extract_all(const FrameView& frame, const Pose* pose, std::span<float> patches,
                     std::span<float> scratch) const {
    const std::size_t count = layout.patches_per_frame();
    if (Status status = check(frame, pose, count, patches, scratch); !status.ok()) return status;
    for (std::size_t index = 0; index < count; ++index) {
      float* patch = patches.data() + index * layout.pixels_per_patch();
      if (Status status = extract_one(frame, pose, index, patch, scratch.data()); !status.ok()) return status;
    }
    return {};
  }

  Layout layout;
  std::map<int, Resampling> resampling;  // to the patch's size, by the box's
  std::map<int, CubicWeights> cubic;     // the same, of boxes that are located
  std::size_t largest_box = 0;           // pixels, of the boxes that are resampled
  std::size_t widest_box = 0;
  std::size_t largest_window = 0;  // pixels, of the boxes that are located
  std::size_t most_taps = 0;       // of both axes of a box
  std::size_t scratch_size = 0;
};

Result<PatchExtractor> PatchExtractor::create(const Layout& layout) {
  if (Status status = layout.validate(); !status.ok()) return status;
  return PatchExtractor(std::make_unique<const Impl>(layout));
}

PatchExtractor::PatchExtractor(std::unique_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
PatchExtractor::PatchExtractor(PatchExtractor&&) noexcept = default;
PatchExtractor& PatchExtractor::operator=(PatchExtractor&&) noexcept = default;
PatchExtractor::~PatchExtractor() = default;

std::size_t PatchExtractor::scratch_size() const noexcept { return impl_->scratch_size; }

Status PatchExtractor::extract(const FrameView& frame, std::span<float> patches, std::span<float> scratch) const {
  return impl_->extract_all(frame, nullptr, patches, scratch);
}

Status PatchExtractor::extract(const FrameView& frame, const Pose& pose, std::span<float> patches,
                               std::span<float> scratch) const {
  return impl_->extract_all(frame, &pose, patches, scratch);
}

Status PatchExtractor::extract_patch(const FrameView& frame, const Pose* pose, std::size_t index,
                                     std::span<float> patch, std::span<float> scratch) const {
  const std::size_t count = impl_->layout.patches_per_frame();
  if (index >= count) {
    return invalid("extract: expected a patch below " + std::to_string(count) + ", got " + std::to_string(index));
  }
  if (Status status = impl_->check(frame, pose, 1, patch, scratch); !status.ok()) return status;
  return impl_->extract_one(frame, pose, index, patch.data(), scratch.data());
}

}  // namespace vialsight
