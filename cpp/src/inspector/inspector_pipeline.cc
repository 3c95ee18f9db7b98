#include "inspector/inspector_pipeline.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "vialsight/ssim.h"

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

Result<std::unique_ptr<FramePipeline>> FramePipeline::create(const Layout& layout, std::unique_ptr<Backend> backend,
                                                             std::shared_ptr<TimeSource> time) {
  Result<PatchExtractor> extractor = PatchExtractor::create(layout);
  if (!extractor.ok()) return extractor.status();
  return std::unique_ptr<FramePipeline>(
      new FramePipeline(layout, std::move(extractor).value(), std::move(backend), std::move(time)));
}

FramePipeline::FramePipeline(const Layout& layout, PatchExtractor extractor, std::unique_ptr<Backend> backend,
                             std::shared_ptr<TimeSource> time)
    : patch_size_(layout.patch_size),
      extractor_(std::move(extractor)),
      backend_(std::move(backend)),
      time_(std::move(time)),
      extraction_scratch_(extractor_.scratch_size()),
      ssim_scratch_(ssim_scratch_size(layout.patch_size, layout.patch_size)) {}

Status FramePipeline::extract(const FrameView& frame, std::span<float> patches, StageTimes& times) {
  const Clock::time_point started = time_->now();
  Status status = extractor_.extract(frame, patches, extraction_scratch_);
  const auto pixels = static_cast<std::size_t>(patch_size_) * static_cast<std::size_t>(patch_size_);
  if (status.ok()) status = check_not_flat(patches, pixels);
  times.extract_s += seconds(time_->now() - started);
  return status;
}

Status FramePipeline::score_patch(std::span<const float> patch, std::span<const float> reconstruction, float& score) {
  double similarity = 0.0;
  Status status = ssim(patch, reconstruction, patch_size_, patch_size_, ssim_scratch_, similarity);
  if (status.ok()) score = static_cast<float>(1.0 - similarity);
  return status;
}

Status FramePipeline::score_locked(std::span<const float> patches, std::span<float> reconstructions,
                                   std::span<float> scores, StageTimes& times) {
  // What the backend leaves out must not be an earlier strip's.
  std::fill(reconstructions.begin(), reconstructions.end(), std::numeric_limits<float>::quiet_NaN());
  const Clock::time_point started = time_->now();
  float* const outputs[] = {reconstructions.data()};
  Status status = backend_->run(patches.data(), scores.size(), outputs);
  const Clock::time_point inferred = time_->now();
  const std::size_t pixels = patches.size() / scores.size();
  for (std::size_t i = 0; i < scores.size() && status.ok(); ++i) {
    status = score_patch(patches.subspan(i * pixels, pixels), reconstructions.subspan(i * pixels, pixels), scores[i]);
  }
  times.infer_s += seconds(inferred - started);
  times.score_s += seconds(time_->now() - inferred);
  return status;
}

Status FramePipeline::score(std::span<const float> patches, std::span<float> reconstructions, std::span<float> scores,
                            StageTimes& times) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    return score_locked(patches, reconstructions, scores, times);
  } catch (const std::exception&) {
    return fault();
  }
}

FrameOutcome FramePipeline::process(const FrameView& frame, const PatchBuffers& buffers, StageTimes& times,
                                    Status* error) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    Status status = extract(frame, buffers.inputs, times);
    const FrameOutcome failure = status.ok() ? FrameOutcome::kFault : FrameOutcome::kInvalid;
    if (status.ok()) status = score_locked(buffers.inputs, buffers.reconstructions, buffers.scores, times);
    if (status.ok()) return FrameOutcome::kScored;
    if (error != nullptr) *error = std::move(status);
    return failure;
  } catch (const std::exception&) {
    if (error != nullptr) *error = fault();
    return FrameOutcome::kFault;
  }
}

}  // namespace vialsight
