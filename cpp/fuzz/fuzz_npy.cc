// parse_npy_f32 and parse_npy_pixels: what they accept has as many values as its shape says.
#include "base/npy.h"
#include "fuzz_input.h"

using vialsight::NpyArray;
using vialsight::Result;
using vialsight::fuzz::require;

namespace {

void check(const Result<NpyArray>& array, std::size_t largest_count) {
  if (!array.ok()) {
    require(!array.status().message().empty(), "an error says what is wrong");
    return;
  }
  std::size_t count = 1;
  for (const std::size_t dimension : array.value().shape) count *= dimension;
  require(count == array.value().values.size(), "the shape is that of the values");
  require(count <= largest_count, "no value is made up");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const Result<NpyArray> floats = vialsight::parse_npy_f32(bytes, "fuzz.npy");
  const Result<NpyArray> pixels = vialsight::parse_npy_pixels(bytes, "fuzz.npy");
  check(floats, size / sizeof(float));
  check(pixels, size);
  require(pixels.ok() || !floats.ok(), "pixels may be float32, too");
  return 0;
}
