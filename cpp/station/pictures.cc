#include "station/pictures.h"

#include <cstring>

namespace vialsight::station {

void Pictures::add_frame(int index, const FrameView& view) noexcept {
  if (frames == indices.size()) return;
  std::byte* target = pixels.data() + frames * bytes_of_frame();
  const auto* row = static_cast<const std::byte*>(view.data);
  const std::size_t row_bytes = std::size_t{width} * pixel_bytes;
  for (std::uint32_t y = 0; y < height; ++y, row += view.row_stride_bytes, target += row_bytes) {
    std::memcpy(target, row, row_bytes);
  }
  indices[frames++] = static_cast<std::uint32_t>(index);
}

}  // namespace vialsight::station
