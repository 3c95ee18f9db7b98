// Pictures of one strip: the frames that came, and the maps of what was rejected. Preallocated; filled by the control
// thread after the verdict, written by the spool writer, then filled again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "station/snapshot_layout.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

namespace vialsight::station {

struct Pictures {
  explicit Pictures(const Layout& layout)
      : width(static_cast<std::uint32_t>(layout.frame_width)),
        height(static_cast<std::uint32_t>(layout.frame_height)),
        pixel_bytes(static_cast<std::uint32_t>(bytes_per_pixel(layout))),
        patch_size(static_cast<std::uint32_t>(layout.patch_size)),
        pixels(static_cast<std::size_t>(layout.frames) * frame_bytes(layout)),
        indices(static_cast<std::size_t>(layout.frames)),
        map_pixels(kMaxMaps * layout.pixels_per_patch()) {}

  void clear() noexcept { frames = maps = 0; }
  // Copies a frame that fits the layout; at most as many as it has.
  void add_frame(int index, const FrameView& view) noexcept;

  [[nodiscard]] std::size_t bytes_of_frame() const noexcept { return std::size_t{width} * height * pixel_bytes; }
  [[nodiscard]] const std::byte* frame(std::size_t position) const noexcept {
    return pixels.data() + position * bytes_of_frame();
  }
  [[nodiscard]] std::size_t bytes_of_map() const noexcept { return std::size_t{patch_size} * patch_size; }
  [[nodiscard]] std::uint8_t* map(std::size_t position) noexcept {
    return map_pixels.data() + position * bytes_of_map();
  }
  [[nodiscard]] const std::uint8_t* map(std::size_t position) const noexcept {
    return map_pixels.data() + position * bytes_of_map();
  }

  std::uint32_t width, height, pixel_bytes, patch_size;
  std::size_t frames = 0;  // that are there
  std::size_t maps = 0;
  std::vector<std::byte> pixels;
  std::vector<std::uint32_t> indices;  // of the frames
  std::array<MapHead, kMaxMaps> map_heads = {};
  std::vector<std::uint8_t> map_pixels;
};

}  // namespace vialsight::station
