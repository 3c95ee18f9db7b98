#include "inspector/inspector_pipeline.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "inspector/locating.h"

namespace vialsight {
namespace {

// A failure whose own text could not be made (memory is exhausted): the short string needs none.
Status fault() noexcept { return {Code::kBackendFault, "exception"}; }

// Ok when each patch, of `pixels` floats, shows something.
Status check_not_flat(std::span<const float> patches, std::size_t pixels) {
  for (std::size_t patch = 0; patch < patches.size() / pixels; ++patch) {
    const auto values = patches.subspan(patch * pixels, pixels);
    if (!std::all_of(values.begin(), values.end(), [&](float value) { return value == values[0]; })) continue;
    return {Code::kInvalidArgument, "frame: expected an image, got one gray value all over patch " +
                                        std::to_string(patch) + "; check light, shutter and camera"};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<FramePipeline>> FramePipeline::create(const Bundle& bundle, std::unique_ptr<Backend> backend,
                                                             std::shared_ptr<TimeSource> time) {
  Result<PatchExtractor> extractor = PatchExtractor::create(bundle.layout());
  if (!extractor.ok()) return extractor.status();
  Result<Score> score = bundle.make_score();
  if (!score.ok()) return score.status();
  Result<std::optional<Locator>> locator = make_locator(bundle);
  if (!locator.ok()) return locator.status();
  Parts parts{std::move(extractor).value(), std::move(score).value(), std::move(locator).value(), std::move(backend),
              std::move(time)};
  return std::unique_ptr<FramePipeline>(new FramePipeline(bundle, std::move(parts)));
}

FramePipeline::FramePipeline(const Bundle& bundle, Parts parts)
    : bundle_(bundle),
      pixels_(bundle.layout().pixels_per_patch()),
      regions_(bundle.layout().region_count()),
      specs_(bundle.outputs()),
      extractor_(std::move(parts.extractor)),
      backend_(std::move(parts.backend)),
      time_(std::move(parts.time)),
      score_(std::move(parts.score)),
      locator_(std::move(parts.locator)),
      extraction_scratch_(extractor_.scratch_size()),
      targets_(specs_.size()),
      outputs_(specs_.size()) {
  const MapSize patch{bundle.layout().patch_size, bundle.layout().patch_size};
  const MapSize own = score_.map_size();
  if (own == patch) return;
  resize_.emplace(own, patch);
  own_map_.resize(own.pixels());
  wide_map_.resize(own.pixels());
  resized_map_.resize(patch.pixels());
}

FrameOutcome FramePipeline::locate(const FrameView& frame, FrameReport& report) {
  if (!locator_) return FrameOutcome::kScored;
  const Clock::time_point started = time_->now();
  const Result<Location> located = locator_->locate(frame);
  report.times.locate_s += seconds(time_->now() - started);
  report.error = located.status();
  if (!located.ok()) return FrameOutcome::kInvalid;
  report.location = located.value();
  if (report.location.found) return FrameOutcome::kScored;
  report.error = not_located(report.location, *bundle_.locator());
  return FrameOutcome::kNotLocated;
}

FrameOutcome FramePipeline::locate_golden(const FrameView& frame, FrameReport& report) {
  if (!locator_) return FrameOutcome::kScored;
  const Clock::time_point started = time_->now();
  const Result<Location> located = locate_rehearsed(bundle_, frame, *locator_);
  report.times.locate_s += seconds(time_->now() - started);
  report.error = located.status();
  if (!located.ok()) return FrameOutcome::kInvalid;
  report.location = located.value();
  return FrameOutcome::kScored;
}

Status FramePipeline::extract(const FrameView& frame, std::span<float> patches, FrameReport& report) {
  const Clock::time_point started = time_->now();
  Status status = locator_ ? extractor_.extract(frame, report.location.pose, patches, extraction_scratch_)
                           : extractor_.extract(frame, patches, extraction_scratch_);
  if (status.ok()) status = check_not_flat(patches, pixels_);
  report.times.extract_s += seconds(time_->now() - started);
  return status;
}

FrameOutcome FramePipeline::extract_and_score(const FrameView& frame, const PatchBuffers& buffers,
                                              FrameReport& report) {
  report.error = extract(frame, buffers.inputs, report);
  if (!report.error.ok()) return FrameOutcome::kInvalid;
  report.error = score_locked(buffers.inputs, {}, buffers.results, report.times);
  return report.error.ok() ? FrameOutcome::kScored : FrameOutcome::kFault;
}

Status FramePipeline::infer(std::span<const float> patches, const PatchResults& results) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const std::span<float> output = results.outputs[i];
    // What the backend leaves out must not be an earlier strip's.
    std::fill(output.begin(), output.end(), std::numeric_limits<float>::quiet_NaN());
    targets_[i] = output.data();
  }
  return backend_->run(patches.data(), results.scores.size(), targets_.data());
}

Status FramePipeline::score_all(std::span<const float> patches, std::span<const std::size_t> regions,
                                const PatchResults& results) {
  const std::size_t components = score_.components().size();
  for (std::size_t i = 0; i < results.scores.size(); ++i) {
    for (std::size_t k = 0; k < specs_.size(); ++k) {
      outputs_[k] = results.outputs[k].subspan(i * specs_[k].pixels(), specs_[k].pixels());
    }
    const std::size_t region = regions.empty() ? i % regions_ : regions[i];
    const PatchData data{patches.subspan(i * pixels_, pixels_), outputs_};
    Status status = score_.run(data, region, results.scores[i], results.components.subspan(i * components, components));
    if (!status.ok()) return status;
  }
  return {};
}

Status FramePipeline::score_locked(std::span<const float> patches, std::span<const std::size_t> regions,
                                   const PatchResults& results, StageTimes& times) {
  const Clock::time_point started = time_->now();
  Status status = infer(patches, results);
  const Clock::time_point inferred = time_->now();
  if (status.ok()) status = score_all(patches, regions, results);
  times.infer_s += seconds(inferred - started);
  times.score_s += seconds(time_->now() - inferred);
  return status;
}

Status FramePipeline::score(std::span<const float> patches, std::span<const std::size_t> regions,
                            const PatchResults& results, StageTimes& times) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    return score_locked(patches, regions, results, times);
  } catch (const std::exception&) {
    return fault();
  }
}

FrameOutcome FramePipeline::process(const FrameView& frame, const PatchBuffers& buffers, FrameReport& report) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    const FrameOutcome located = locate(frame, report);
    return located == FrameOutcome::kScored ? extract_and_score(frame, buffers, report) : located;
  } catch (const std::exception&) {
    report.error = fault();
    return FrameOutcome::kFault;
  }
}

FrameOutcome FramePipeline::rehearse(const FrameView& frame, const PatchBuffers& buffers,
                                     FrameReport& report) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    const FrameOutcome located = locate_golden(frame, report);
    return located == FrameOutcome::kScored ? extract_and_score(frame, buffers, report) : located;
  } catch (const std::exception&) {
    report.error = fault();
    return FrameOutcome::kFault;
  }
}

Result<Location> FramePipeline::locate_reduced(std::span<const float> reduced) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (locator_) return locator_->locate_reduced(reduced);
    return Status(Code::kFailedPrecondition, "this bundle does not locate");
  } catch (const std::exception&) {
    return fault();
  }
}

Status FramePipeline::map_locked(const PatchData& data, std::size_t region, std::span<float> result) {
  if (!resize_) return score_.map(data, region, result);
  if (Status status = score_.map(data, region, own_map_); !status.ok()) return status;
  std::copy(own_map_.begin(), own_map_.end(), wide_map_.begin());
  std::fill(resized_map_.begin(), resized_map_.end(), 0.0);
  resize_->add(wide_map_, resized_map_);
  std::transform(resized_map_.begin(), resized_map_.end(), result.begin(),
                 [](double value) { return static_cast<float>(value); });
  return {};
}

Status FramePipeline::map(const PatchData& data, std::size_t region, std::span<float> result) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    return map_locked(data, region, result);
  } catch (const std::exception&) {
    return fault();
  }
}

}  // namespace vialsight
