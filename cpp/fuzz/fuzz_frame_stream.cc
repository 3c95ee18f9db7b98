// FrameStream: any bytes give whole frames in order, then the end or an error that stays.
#include <sstream>
#include <string>

#include "fuzz_input.h"
#include "vialsight/frame_stream.h"

using vialsight::FrameStream;
using vialsight::StreamFrame;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;

namespace {

// Reads every pixel, so that AddressSanitizer sees a view that reaches too far.
bool can_be_read(const vialsight::FrameView& view) {
  const std::size_t row_bytes =
      static_cast<std::size_t>(view.width) * (view.format == vialsight::PixelFormat::kGray16 ? 2U : 1U);
  std::size_t sum = 0;
  for (int y = 0; y < view.height; ++y) {
    const auto* row = static_cast<const std::uint8_t*>(view.data) + y * view.row_stride_bytes;
    for (std::size_t i = 0; i < row_bytes; ++i) sum += row[i];
  }
  return sum <= 255 * row_bytes * static_cast<std::size_t>(view.height);
}

void check_frame(const StreamFrame& frame, const vialsight::StreamFormat& format, int expected_index) {
  require(frame.frame_index == expected_index, "frames come in order");
  require(frame.pixels.width == format.width && frame.pixels.height == format.height, "frames are of the format");
  require(!frame.product.empty() && frame.run >= 1, "a frame has a product and a run");
  require(can_be_read(frame.pixels), "the pixels are bytes");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream input{std::string(Input(data, size).text())};
  vialsight::Result<FrameStream> stream = FrameStream::open(input);
  if (!stream.ok()) return 0;
  const vialsight::StreamFormat format = stream.value().format();
  for (int count = 0;; ++count) {
    const auto frame = stream.value().next_frame();
    if (!frame.ok()) {
      require(!stream.value().next_frame().ok(), "an error stays");
      return 0;
    }
    if (!frame.value().has_value()) {
      require(count % format.frames == 0, "a stream ends between strips");
      return 0;
    }
    check_frame(*frame.value(), format, count % format.frames);
  }
}
