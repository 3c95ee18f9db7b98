// check_frame and PatchExtractor: any view of a buffer that is as large as the view says is read within the buffer, and
// gives pixels in [0, 1].
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

#include "fuzz_input.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

using vialsight::FrameView;
using vialsight::Layout;
using vialsight::PixelFormat;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;

namespace {

// A small layout with one to three boxes anywhere in the frame.
Layout take_layout(Input& input) {
  Layout layout;
  layout.name = "fuzz";
  layout.frame_width = input.take_in(11, 64);
  layout.frame_height = input.take_in(11, 64);
  layout.bit_depth = input.take_in(8, 16);
  layout.frames = 1;
  layout.patch_size = input.take_in(11, 32);
  layout.regions = {"only"};
  const int vials = input.take_in(1, 3);
  for (int vial = 0; vial < vials; ++vial) {
    vialsight::Box box;
    box.x = input.take_in(0, layout.frame_width - 1);
    box.y = input.take_in(0, layout.frame_height - 1);
    box.width = input.take_in(1, layout.frame_width - box.x);
    box.height = input.take_in(1, layout.frame_height - box.y);
    layout.boxes.push_back({box});
  }
  return layout;
}

struct View {
  std::unique_ptr<std::byte[]> buffer;  // exactly as large as the view says, so that one byte beyond is found
  FrameView frame;
};

// The layout's own view, spoiled in the fields that `changes` names.
View take_view(Input& input, const Layout& layout) {
  const auto changes = input.take<std::uint8_t>();
  View view;
  view.frame.width = (changes & 1U) != 0 ? input.take_in(-2, 66) : layout.frame_width;
  view.frame.height = (changes & 2U) != 0 ? input.take_in(-2, 66) : layout.frame_height;
  const bool wide = (layout.bit_depth > 8) != ((changes & 4U) != 0);
  view.frame.format = wide ? PixelFormat::kGray16 : PixelFormat::kGray8;
  const int row = view.frame.width * (wide ? 2 : 1);
  view.frame.row_stride_bytes = (changes & 8U) != 0 ? input.take_in(-300, 300) : row;
  const std::size_t offset = (changes & 16U) != 0 ? 1 : 0;  // an odd address
  const std::ptrdiff_t last = view.frame.height > 0 ? (view.frame.height - 1) * view.frame.row_stride_bytes : 0;
  if (last < 0 || row < 0) {
    view.frame.data = &view;  // not to be read: check_frame must refuse it
    return view;
  }
  const std::size_t size = offset + static_cast<std::size_t>(last) + static_cast<std::size_t>(row);
  view.buffer = std::make_unique<std::byte[]>(size);
  for (std::size_t i = 0; i < size; ++i) view.buffer[i] = static_cast<std::byte>(input.take<std::uint8_t>());
  view.frame.data = (changes & 32U) != 0 ? nullptr : view.buffer.get() + offset;
  return view;
}

void extract(const vialsight::PatchExtractor& extractor, const Layout& layout, const FrameView& frame) {
  std::vector<float> patches(layout.patches_per_frame() * layout.pixels_per_patch());
  std::vector<float> scratch(extractor.scratch_size());
  const bool fits = vialsight::check_frame(frame, layout).ok();
  const vialsight::Status status = extractor.extract(frame, patches, scratch);
  require(fits || !status.ok(), "no view is extracted that does not fit");
  if (!status.ok()) return;
  // The resampling weights of a row sum to 1 within their rounding.
  constexpr float kRounding = 1e-5F;
  for (const float pixel : patches) require(pixel >= -kRounding && pixel <= 1.0F + kRounding, "pixels are in [0, 1]");
}

// A pose of a few pixels, or one that is none.
vialsight::Pose take_pose(Input& input) {
  if (input.take<std::uint8_t>() % 8 == 0) {
    return {std::bit_cast<double>(input.take<std::uint64_t>()), std::bit_cast<double>(input.take<std::uint64_t>()),
            std::bit_cast<double>(input.take<std::uint64_t>())};
  }
  return {0.125 * input.take_in(-600, 600), 0.125 * input.take_in(-600, 600), 0.001 * input.take_in(-110, 110)};
}

void extract_located(const vialsight::PatchExtractor& extractor, const Layout& layout, const FrameView& frame,
                     const vialsight::Pose& pose) {
  std::vector<float> patches(layout.patches_per_frame() * layout.pixels_per_patch());
  std::vector<float> scratch(extractor.scratch_size());
  const bool fits = vialsight::check_frame(frame, layout).ok() && vialsight::check_pose(pose, layout).ok();
  const vialsight::Status status = extractor.extract(frame, pose, patches, scratch);
  require(fits || !status.ok(), "no view or pose is extracted that does not fit");
  if (!status.ok()) return;
  for (const float pixel : patches) require(pixel >= 0.0F && pixel <= 1.0F, "pixels are in [0, 1]");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Layout layout = take_layout(input);
  const auto extractor = vialsight::PatchExtractor::create(layout);
  require(extractor.ok() == layout.validate().ok(), "what is a layout can be extracted, and nothing else");
  if (!extractor.ok()) return 0;
  const View view = take_view(input, layout);
  extract(extractor.value(), layout, view.frame);
  extract_located(extractor.value(), layout, view.frame, take_pose(input));
  return 0;
}
