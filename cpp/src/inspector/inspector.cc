#include "vialsight/inspector.h"

#include <algorithm>
#include <limits>
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

Status moved_from(const char* call) {
  return {Code::kFailedPrecondition, std::string(call) + ": this Inspector was moved from; use the one it became"};
}

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
  const BackendOptions backend = backend_options(bundle, options);
  if (options.isolation == Isolation::kInProcess) return load_backend(options.backend_module, backend);
  const WorkerRequirements requirements{backend,
                                        options.backend_module,
                                        options.scheduling,
                                        options.worker,
                                        bundle.layout().patches_per_strip(),
                                        bundle.layout().patches_per_frame()};
  Result<std::unique_ptr<WorkerBackend>> worker = WorkerBackend::create(requirements);
  if (!worker.ok()) return worker.status();
  return std::unique_ptr<Backend>(std::move(worker).value());
}

Status check_sizes(const Layout& layout, std::span<const float> patches, std::span<const float> scores,
                   std::span<const float> reconstructions) {
  const std::size_t pixels = layout.pixels_per_patch();
  if (patches.size() % pixels != 0 || patches.size() / pixels != scores.size()) {
    return {Code::kInvalidArgument, "score_patches: expected " + std::to_string(pixels) + " floats per score, got " +
                                        std::to_string(patches.size()) + " floats for " +
                                        std::to_string(scores.size()) + " scores"};
  }
  if (reconstructions.empty() || reconstructions.size() == patches.size()) return {};
  return {Code::kInvalidArgument, "score_patches: expected room for " + std::to_string(patches.size()) +
                                      " floats of reconstructions, or none, got " +
                                      std::to_string(reconstructions.size())};
}

}  // namespace

Result<Inspector> InspectorAccess::create(const Bundle& bundle, const InspectorOptions& options,
                                          std::unique_ptr<Backend> backend, std::shared_ptr<TimeSource> time) {
  return without_exceptions([&]() -> Result<Inspector> {
    if (Status status = check_options(bundle, options); !status.ok()) return status;
    auto* restartable = dynamic_cast<RestartableBackend*>(backend.get());  // the pipeline will own it
    auto pipeline = FramePipeline::create(bundle.layout(), std::move(backend), time);
    if (!pipeline.ok()) return pipeline.status();
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
Inspector& Inspector::operator=(Inspector&&) noexcept = default;
Inspector::~Inspector() = default;

Status Inspector::open(std::uint64_t strip_id, Clock::time_point deadline) {
  return impl_ != nullptr ? impl_->open(strip_id, deadline) : moved_from("open");
}

Status Inspector::submit(int frame_index, const FrameView& frame) {
  return impl_ != nullptr ? impl_->submit(frame_index, frame, nullptr) : moved_from("submit");
}

Status Inspector::submit(int frame_index, const FrameView& frame, const FrameStamp& stamp) {
  return impl_ != nullptr ? impl_->submit(frame_index, frame, &stamp) : moved_from("submit");
}

StripVerdict Inspector::close() { return impl_ != nullptr ? impl_->close() : StripVerdict{}; }

StripVerdict Inspector::inspect(std::uint64_t strip_id, std::span<const FrameView> frames, Clock::time_point deadline) {
  if (impl_ != nullptr) return impl_->inspect(strip_id, frames, deadline);
  StripVerdict verdict;
  verdict.strip_id = strip_id;
  return verdict;
}

Status Inspector::score_patches(std::span<const float> patches, std::size_t batch_size, std::span<float> scores,
                                std::span<float> reconstructions) {
  if (impl_ == nullptr) return moved_from("score_patches");
  return impl_->score_patches(patches, batch_size, scores, reconstructions);
}

std::optional<Inspector::PatchImages> Inspector::images(int frame, int vial, int region) const {
  return impl_ != nullptr ? impl_->images(frame, vial, region) : std::nullopt;
}

const Bundle& Inspector::bundle() const noexcept {
  static const Bundle kNone = BundleAccess::empty();
  return impl_ != nullptr ? impl_->bundle() : kNone;
}

Statistics Inspector::statistics() const noexcept { return impl_ != nullptr ? impl_->statistics() : Statistics{}; }
Health Inspector::health() const { return impl_ != nullptr ? impl_->health() : Health{}; }
bool Inspector::ready() const noexcept { return impl_ != nullptr && impl_->ready(); }
std::uint64_t Inspector::heartbeat() const noexcept { return impl_ != nullptr ? impl_->heartbeat() : 0; }

Status Inspector::Impl::score_patches(std::span<const float> patches, std::size_t batch_size, std::span<float> scores,
                                      std::span<float> reconstructions) {
  if (Status status = check_sizes(bundle_.layout(), patches, scores, reconstructions); !status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    if (slot_.is_open()) return {Code::kFailedPrecondition, "score_patches: a slot is open; close it first"};
  }
  // Scores of a call that fails half-way are not to be taken for scores.
  std::fill(scores.begin(), scores.end(), std::numeric_limits<float>::quiet_NaN());
  const std::size_t pixels = bundle_.layout().pixels_per_patch();
  const std::size_t wanted = batch_size == 0 ? bundle_.layout().patches_per_frame() : batch_size;
  try {
    std::vector<float> own(reconstructions.empty() ? std::min(wanted, scores.size()) * pixels : 0);
    for (std::size_t first = 0; first < scores.size(); first += wanted) {
      const std::size_t count = std::min(wanted, scores.size() - first);
      const std::span<float> target =
          reconstructions.empty() ? std::span(own) : reconstructions.subspan(first * pixels, count * pixels);
      StageTimes times;
      Status status = pipeline_->score(patches.subspan(first * pixels, count * pixels), target.first(count * pixels),
                                       scores.subspan(first, count), times);
      if (!status.ok()) return status;
    }
    return {};
  } catch (const std::bad_alloc&) {
    return {Code::kResourceExhausted, "score_patches: no memory"};
  }
}

}  // namespace vialsight
