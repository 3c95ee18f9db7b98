#include "vialsight/network.h"

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend_loader.h"
#include "base/home_process.h"
#include "inspector/inspector_create.h"

namespace vialsight {
namespace {

Status wrong_size(const std::string& what, std::size_t expected, std::size_t came) {
  return {Code::kInvalidArgument,
          "Network: expected " + std::to_string(expected) + " " + what + ", got " + std::to_string(came)};
}

Status check_runtime(const std::string& name) {
  if (is_known_runtime(name)) return {};
  return {Code::kUnsupported, "runtime: expected one of " + known_runtimes() + ", got \"" + name + "\""};
}

}  // namespace

struct Network::Impl {
  Bundle bundle;
  std::unique_ptr<Backend> backend;
  std::string runtime_version;
  HomeProcess home = {};

  [[nodiscard]] Status check(std::span<const float> patches, std::span<const std::span<float>> outputs) const {
    const std::size_t pixels = bundle.layout().pixels_per_patch();
    const std::vector<OutputSpec>& specs = bundle.outputs();
    if (patches.empty() || patches.size() % pixels != 0) {
      return {Code::kInvalidArgument, "Network: expected patches of " + std::to_string(pixels) + " floats, got " +
                                          std::to_string(patches.size()) + " floats"};
    }
    if (outputs.size() != specs.size()) return wrong_size("outputs", specs.size(), outputs.size());
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const std::size_t expected = patches.size() / pixels * specs[i].pixels();
      if (outputs[i].size() != expected) {
        return wrong_size("floats for output \"" + specs[i].name + "\"", expected, outputs[i].size());
      }
    }
    return {};
  }
};

Result<Network> Network::create(const Bundle& bundle, const NetworkOptions& options) {
  try {
    if (Status status = check_threads("NetworkOptions::threads", options.threads); !status.ok()) return status;
    const std::string runtime = options.runtime.empty() ? bundle.runtime() : options.runtime;
    if (Status status = check_runtime(runtime); !status.ok()) return status;
    const Result<std::filesystem::path> module = find_module(options.backend_module, runtime);
    if (!module.ok()) return module.status();
    BackendOptions backend_options = vialsight::backend_options(bundle, options.threads);
    backend_options.batches.clear();
    if (!options.model.empty()) {
      backend_options.model = options.model.data();
      backend_options.model_size = options.model.size();
    }
    backend_options.precision = options.precision.value_or(bundle.precision());
    Result<std::unique_ptr<Backend>> backend = load_backend(module.value(), backend_options);
    if (!backend.ok()) return backend.status();
    Result<std::string> version = vialsight::runtime_version(module.value());
    if (!version.ok()) return version.status();
    return Network(std::make_unique<Impl>(Impl{bundle, std::move(backend).value(), std::move(version).value()}));
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "Network: not enough memory");
  }
}

Network::Network(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&& other) noexcept {
  leave();
  impl_ = std::move(other.impl_);
  return *this;
}
Network::~Network() { leave(); }

// In a forked process nothing is destroyed: the backend's threads are not there to be joined.
void Network::leave() noexcept {
  if (impl_ != nullptr && !impl_->home.is_here()) (void)impl_.release();
}

Status Network::run(std::span<const float> patches, std::span<const std::span<float>> outputs) {
  if (impl_ == nullptr) return {Code::kFailedPrecondition, "this Network was moved from"};
  if (Status status = impl_->home.check("Network"); !status.ok()) return status;
  if (Status status = impl_->check(patches, outputs); !status.ok()) return status;
  std::vector<float*> targets;
  for (const std::span<float> output : outputs) targets.push_back(output.data());
  return impl_->backend->run(patches.data(), patches.size() / impl_->bundle.layout().pixels_per_patch(),
                             targets.data());
}

const std::string& Network::runtime_version() const noexcept {
  static const std::string kNone;
  return impl_ == nullptr ? kNone : impl_->runtime_version;
}

}  // namespace vialsight
