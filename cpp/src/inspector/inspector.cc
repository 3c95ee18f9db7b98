#include "vialsight/inspector.h"

#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "backend/backend_loader.h"
#include "backend/restartable_backend.h"
#include "backend/worker_backend.h"
#include "base/scheduling.h"
#include "bundle/bundle_access.h"
#include "inspector/inspector_access.h"
#include "inspector/inspector_create.h"
#include "inspector/inspector_impl.h"

namespace vialsight {
namespace {

// Runs `make`; what it throws becomes a Status.
template <typename Make>
Result<Inspector> without_exceptions(Make make) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "Inspector: not enough memory for the layout's patches");
  } catch (const std::system_error& error) {
    return Status(Code::kResourceExhausted, std::string("Inspector: no worker thread: ") + error.what());
  }
}

// Runs `make` in a thread scheduled so: all threads made there inherit it, the Inspector's and the backend's, and the
// caller's own stays as it is.
template <typename Make>
Result<Inspector> with_scheduling(const Scheduling& scheduling, Make make) {
  if (!is_wanted(scheduling)) return make();
  Result<Inspector> result = Status(Code::kBackendFault, "Inspector: the thread that makes it ended early");
  std::thread thread([&] {
    const Status status = apply_scheduling(scheduling);
    result = status.ok() ? without_exceptions(make) : Result<Inspector>(status);
  });
  thread.join();
  return result;
}

Result<std::unique_ptr<Backend>> make_backend(const Bundle& bundle, const InspectorOptions& options) {
  BackendOptions backend = backend_options(bundle, options.threads);
  backend.device = options.device;
  const Result<std::filesystem::path> module = find_module(options.backend_module, bundle.runtime());
  if (!module.ok()) return module.status();
  if (options.isolation == Isolation::kInProcess) return load_backend(module.value(), backend);
  const WorkerRequirements requirements{backend,
                                        module.value(),
                                        options.scheduling,
                                        options.worker,
                                        bundle.layout().patches_per_strip(),
                                        bundle.layout().patches_per_frame()};
  Result<std::unique_ptr<WorkerBackend>> worker = WorkerBackend::create(requirements);
  if (!worker.ok()) return worker.status();
  return std::unique_ptr<Backend>(std::move(worker).value());
}

}  // namespace

Result<Inspector> InspectorAccess::create(const Bundle& bundle, const InspectorOptions& options,
                                          std::unique_ptr<Backend> backend, std::shared_ptr<TimeSource> time) {
  return without_exceptions([&]() -> Result<Inspector> {
    if (Status status = check_options(bundle, options); !status.ok()) return status;
    auto* restartable = dynamic_cast<RestartableBackend*>(backend.get());  // the pipeline will own it
    auto pipeline = FramePipeline::create(bundle, std::move(backend), time, options.threads);
    if (!pipeline.ok()) return pipeline.status();
    if (Status status = choose_portion(bundle, *pipeline.value(), *time); !status.ok()) return status;
    const Result<BatchCost> cost = prove(bundle, *pipeline.value(), *time);
    if (!cost.ok()) return cost.status();
    return Inspector(std::make_unique<Inspector::Impl>(
        Inspector::Impl::Parts{bundle, options, time, std::move(pipeline).value(), restartable, cost.value()}));
  });
}

Result<Inspector> Inspector::create(const Bundle& bundle, const InspectorOptions& options) {
  return without_exceptions([&]() -> Result<Inspector> {
    if (Status status = check_options(bundle, options); !status.ok()) return status;
    return with_scheduling(options.scheduling, [&]() -> Result<Inspector> {
      Result<std::unique_ptr<Backend>> backend = make_backend(bundle, options);
      if (!backend.ok()) return backend.status();
      return InspectorAccess::create(bundle, options, std::move(backend).value(), std::make_shared<SteadyTimeSource>());
    });
  });
}

Inspector::Inspector(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Inspector::Inspector(Inspector&&) noexcept = default;
Inspector& Inspector::operator=(Inspector&& other) noexcept {
  leave();
  impl_ = std::move(other.impl_);
  return *this;
}
Inspector::~Inspector() { leave(); }

// In a forked process nothing is destroyed: to join a thread that is not there would take for ever, and to stop the
// worker would stop the parent's. The copy of the memory ends with the process.
void Inspector::leave() noexcept {
  if (impl_ != nullptr && !impl_->home().is_here()) (void)impl_.release();
}

Inspector::Impl* Inspector::reach() const noexcept {
  return impl_ != nullptr && impl_->home().is_here() ? impl_.get() : nullptr;
}

Status Inspector::usable() const {
  if (impl_ != nullptr) return impl_->home().check("Inspector");
  return {Code::kFailedPrecondition, "this Inspector was moved from; use the one it became"};
}

Status Inspector::refusal(const char* call) const {
  const Status status = usable();
  return {status.code(), std::string(call) + ": " + status.message()};
}

Status Inspector::open(std::uint64_t strip_id, Clock::time_point deadline) {
  Impl* impl = reach();
  return impl != nullptr ? impl->open(strip_id, deadline) : refusal("open");
}

Status Inspector::submit(int frame_index, const FrameView& frame) {
  Impl* impl = reach();
  return impl != nullptr ? impl->submit(frame_index, frame, nullptr) : refusal("submit");
}

Status Inspector::submit(int frame_index, const FrameView& frame, const FrameStamp& stamp) {
  Impl* impl = reach();
  return impl != nullptr ? impl->submit(frame_index, frame, &stamp) : refusal("submit");
}

StripVerdict Inspector::close() {
  Impl* impl = reach();
  return impl != nullptr ? impl->close() : StripVerdict{};
}

StripVerdict Inspector::inspect(std::uint64_t strip_id, std::span<const FrameView> frames, Clock::time_point deadline) {
  if (Impl* impl = reach()) return impl->inspect(strip_id, frames, deadline);
  StripVerdict verdict;
  verdict.strip_id = strip_id;
  return verdict;
}

Status Inspector::score_patches(std::span<const float> patches, std::span<const std::size_t> regions,
                                std::size_t batch_size, const PatchResults& results) {
  Impl* impl = reach();
  return impl != nullptr ? impl->score_patches(patches, regions, batch_size, results) : refusal("score_patches");
}

Status Inspector::map(int frame, int vial, int region, std::span<float> result) const {
  const Impl* impl = reach();
  return impl != nullptr ? impl->map(frame, vial, region, result) : refusal("map");
}

std::optional<Inspector::PatchImages> Inspector::images(int frame, int vial, int region) const {
  const Impl* impl = reach();
  return impl != nullptr ? impl->images(frame, vial, region) : std::nullopt;
}

// Constant, and a copy after a fork: it needs neither thread nor lock.
const Bundle& Inspector::bundle() const noexcept {
  static const Bundle kNone = BundleAccess::empty();
  return impl_ != nullptr ? impl_->bundle() : kNone;
}

std::size_t Inspector::batch_size() const noexcept {
  const Impl* impl = reach();
  return impl == nullptr ? 0 : impl->batch_size();
}

Statistics Inspector::statistics() const noexcept {
  const Impl* impl = reach();
  return impl != nullptr ? impl->statistics() : Statistics{};
}

Health Inspector::health() const {
  if (const Impl* impl = reach()) return impl->health();
  Health health;
  health.last_fault = usable().message();
  return health;
}

bool Inspector::ready() const noexcept {
  const Impl* impl = reach();
  return impl != nullptr && impl->ready();
}

std::uint64_t Inspector::heartbeat() const noexcept {
  const Impl* impl = reach();
  return impl != nullptr ? impl->heartbeat() : 0;
}

}  // namespace vialsight
