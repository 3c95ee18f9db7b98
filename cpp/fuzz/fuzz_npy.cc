// parse_npy_f32: what it accepts has as many values as its shape says.
#include "base/npy.h"
#include "fuzz_input.h"

using vialsight::fuzz::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto array = vialsight::parse_npy_f32(std::as_bytes(std::span(data, size)), "fuzz.npy");
  if (!array.ok()) {
    require(!array.status().message().empty(), "an error says what is wrong");
    return 0;
  }
  std::size_t count = 1;
  for (const std::size_t dimension : array.value().shape) count *= dimension;
  require(count == array.value().values.size(), "the shape is that of the values");
  require(count * sizeof(float) <= size, "no value is made up");
  return 0;
}
