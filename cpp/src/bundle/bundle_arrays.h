// Arrays of a bundle, read from its files.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vialsight/status.h"

namespace vialsight {

using Shape = std::vector<std::size_t>;
// The bytes of a bundle's files, by role.
using FileBytes = std::map<std::string, std::vector<std::byte>>;

// "(2, 3)".
[[nodiscard]] std::string shape_text(const Shape& shape);

// The values of a .npy file of float32; `name` is the file's. kDataCorrupt: no such array, another shape, or a value
// that is not finite; kUnsupported: another type.
[[nodiscard]] Result<std::vector<float>> parse_array(const std::vector<std::byte>& bytes, const std::string& name,
                                                     const Shape& shape);
// The same of patches, which may be stored as pixels, too: uint8, value / 255.
[[nodiscard]] Result<std::vector<float>> parse_patches(const std::vector<std::byte>& bytes, const std::string& name,
                                                       const Shape& shape);

// Assigns the value of `result` to `target`, or returns what is wrong.
template <typename T>
Status take(Result<T> result, T& target) {
  if (!result.ok()) return result.status();
  target = std::move(result).value();
  return {};
}

}  // namespace vialsight
