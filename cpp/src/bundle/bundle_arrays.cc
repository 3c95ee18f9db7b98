#include "bundle/bundle_arrays.h"

#include <cmath>
#include <utility>

#include "base/messages.h"
#include "base/npy.h"

namespace vialsight {
namespace {

Result<std::vector<float>> values_of(Result<NpyArray> array, const std::string& name, const Shape& shape) {
  if (!array.ok()) return array.status();
  if (array.value().shape != shape) {
    return corrupt(name + ": expected shape " + shape_text(shape) + ", got " + shape_text(array.value().shape));
  }
  for (std::size_t i = 0; i < array.value().values.size(); ++i) {
    if (std::isfinite(array.value().values[i])) continue;
    return corrupt(name + ": expected finite values, got " + std::to_string(array.value().values[i]) + " at index " +
                   std::to_string(i));
  }
  return std::move(array).value().values;
}

}  // namespace

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (const std::size_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + ")";
}

Result<std::vector<float>> parse_array(const std::vector<std::byte>& bytes, const std::string& name,
                                       const Shape& shape) {
  return values_of(parse_npy_f32(bytes, name), name, shape);
}

Result<std::vector<float>> parse_patches(const std::vector<std::byte>& bytes, const std::string& name,
                                         const Shape& shape) {
  return values_of(parse_npy_pixels(bytes, name), name, shape);
}

}  // namespace vialsight
