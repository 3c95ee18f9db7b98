// Frames of random pixels, and layouts of one vial, for the tests of extraction.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "vialsight/layout.h"
#include "vialsight/patches.h"

namespace vialsight::test {

// One vial; a region per box.
inline Layout layout_of(const std::vector<Box>& boxes, int patch_size, int bit_depth = 8, int width = 64,
                        int height = 48) {
  Layout layout;
  layout.name = "test";
  layout.frame_width = width;
  layout.frame_height = height;
  layout.bit_depth = bit_depth;
  layout.frames = 1;
  layout.patch_size = patch_size;
  for (std::size_t i = 0; i < boxes.size(); ++i) layout.regions.push_back("r" + std::to_string(i));
  layout.boxes = {boxes};
  return layout;
}

// Rows lie `row_elements` apart; what is between them is noise that must not be read.
template <typename Pixel>
struct Frame {
  Frame(int width_, int height_, unsigned largest, int padding = 0, unsigned seed = 1)
      : width(width_), height(height_), row_elements(width_ + padding) {
    std::mt19937 generator(seed);
    std::uniform_int_distribution<unsigned> uniform(0, largest);
    for (int i = 0; i < row_elements * height; ++i) {
      const bool inside = i % row_elements < width;
      pixels.push_back(inside ? static_cast<Pixel>(uniform(generator)) : static_cast<Pixel>(~0U));
    }
  }

  [[nodiscard]] Pixel& at(int x, int y) { return pixels[static_cast<std::size_t>(y * row_elements + x)]; }
  [[nodiscard]] FrameView view() const {
    return {pixels.data(), width, height, row_elements * static_cast<std::ptrdiff_t>(sizeof(Pixel)),
            sizeof(Pixel) == 1 ? PixelFormat::kGray8 : PixelFormat::kGray16};
  }

  int width;
  int height;
  int row_elements;
  std::vector<Pixel> pixels;
};

}  // namespace vialsight::test
