// check_operations and check_quantisation: no bytes crash them, and a graph that has one operation outside the list is
// never taken, wherever that stands among what the fuzzer wrote.
#include <string>

#include "backend/graph_operations.h"
#include "backend/quantisation.h"
#include "fuzz_input.h"

using vialsight::check_operations;
using vialsight::check_quantisation;
using vialsight::fuzz::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // node { op: "ReadFile" }
  const std::string forbidden("\x0a\x0a\x12\x08ReadFile", 12);
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const bool taken = check_operations(bytes.data(), bytes.size()).ok();
  const std::string before = forbidden + bytes;
  const std::string after = bytes + forbidden;  // which bytes that break off may swallow
  require(!check_operations(before.data(), before.size()).ok(), "a forbidden operation before any graph is refused");
  require(!taken || !check_operations(after.data(), after.size()).ok(),
          "a forbidden operation after a graph is refused");
  std::size_t roundings = 0;
  (void)check_quantisation(bytes.data(), bytes.size(), roundings);
  require(roundings <= size, "no more nodes that round than bytes");
  return 0;
}
