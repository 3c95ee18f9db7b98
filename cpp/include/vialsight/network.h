// Network: what a bundle computes between patch and score, by itself. For measuring runtimes and comparing them, before
// a bundle is written for another one; a line inspects with an Inspector, which trusts no network it has not proven.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "vialsight/bundle.h"
#include "vialsight/export.h"
#include "vialsight/runtime.h"
#include "vialsight/status.h"

namespace vialsight {

struct NetworkOptions {
  std::string runtime;                 // "tensorflow", "openvino"; empty: the bundle's
  std::optional<Precision> precision;  // nothing: the bundle's
  int threads = 0;                     // inside one batch; 0: one per core
  // Module with the backend; empty: vialsight_RUNTIME.so beside libvialsight.so.
  std::filesystem::path backend_module;
  // A serialised GraphDef of the same input and outputs, in the place of the bundle's; borrowed for create(). Empty:
  // the bundle's.
  std::span<const std::byte> model = {};
};

// One thread at a time, and only in the process that made it.
class VIALSIGHT_API Network {
 public:
  // kNotFound: the runtime is not installed; kUnsupported: a runtime nobody knows, a precision this machine has not, an
  // operation outside the allow-list; kInvalidArgument: threads; else what the runtime reports.
  [[nodiscard]] static Result<Network> create(const Bundle& bundle, const NetworkOptions& options = {});
  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;
  ~Network();

  // Runs n patches (P·P floats in [0, 1] each) as one batch; outputs[i] gets n·h·w floats of Bundle::outputs()[i]. The
  // first call with a new n is slow. kInvalidArgument: sizes; kFailedPrecondition: after a fork.
  [[nodiscard]] Status run(std::span<const float> patches, std::span<const std::span<float>> outputs);
  // Of the inference library, "2026.4.1-…".
  [[nodiscard]] const std::string& runtime_version() const noexcept;

 private:
  struct Impl;
  explicit Network(std::unique_ptr<Impl> impl) noexcept;
  void leave() noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
