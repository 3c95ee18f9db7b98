// Reader of NumPy's .npy format for the arrays of a bundle: little-endian float32, or uint8 where pixels are stored, in
// C order, versions 1.0 and 2.0.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "vialsight/status.h"

namespace vialsight {

struct NpyArray {
  std::vector<std::size_t> shape;  // empty: a scalar
  std::vector<float> values;       // row-major
};

// `file_name` names the bytes in messages. kDataCorrupt: any departure from the format, also bytes after the data;
// kUnsupported: another version, dtype or order. Allocates only after the shape is known to fit the bytes present.
[[nodiscard]] Result<NpyArray> parse_npy_f32(std::span<const std::byte> bytes, const std::string& file_name);
// The same of float32 or of uint8, which becomes value / 255 as the pixels of frames do.
[[nodiscard]] Result<NpyArray> parse_npy_pixels(std::span<const std::byte> bytes, const std::string& file_name);

}  // namespace vialsight
