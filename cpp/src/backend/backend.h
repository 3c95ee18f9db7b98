// Backend: runs one batch of patches through the network. The only door to an inference library.
//
// Valid C++17 and free of TensorFlow, because it is compiled into both sides of a dlopen: libvialsight.so, which loads
// a backend module, and the module itself. Both must come from one build; kBackendAbi guards that. Narrow enough for a
// worker process to stand behind it: one call, plain floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vialsight/outputs.h"
#include "vialsight/runtime.h"
#include "vialsight/status.h"

namespace vialsight {

struct BackendOptions {
  const void* model = nullptr;      // serialised GraphDef; borrowed for the call that creates the backend
  std::size_t model_size = 0;       // bytes
  std::string input_name;           // a node's, without ":0"
  std::vector<OutputSpec> outputs;  // nodes too; at least one
  int patch_size = 0;               // P
  int threads = 0;                  // inside one batch; 0: one per core
  Precision precision = Precision::kFloat32;
  std::string device;                // "cpu", "gpu:N"; empty: the runtime's choice
  std::vector<std::size_t> batches;  // of so many patches are the line's, to be prepared for at once; may be empty
};

// Not thread-safe: one thread at a time.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // Runs `count` ≥ 1 patches of P·P floats; outputs[i] gets count·h·w floats of options.outputs[i]. The first call with
  // a new count is slow (graph optimisation).
  [[nodiscard]] virtual Status run(const float* patches, std::size_t count, float* const* outputs) noexcept = 0;
};

inline constexpr std::uint32_t kBackendAbi = 3;

// What the function that a backend module exports under the C name kBackendEntryName returns; never unloaded.
struct BackendEntry {
  std::uint32_t abi;    // kBackendAbi
  const char* name;     // "tensorflow", "openvino"
  const char* version;  // of the inference library it runs on
  Status (*create)(const BackendOptions& options, Backend** backend) noexcept;
};

using BackendEntryFunction = const BackendEntry* (*)() noexcept;
inline constexpr const char* kBackendEntryName = "vialsight_backend_entry";

}  // namespace vialsight
