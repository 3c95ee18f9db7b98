#include "inspector/inspector_pipeline.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "base/cores.h"
#include "inspector/locating.h"

namespace vialsight {
namespace {

// A failure whose own text could not be made (memory is exhausted): the short string needs none.
Status fault() noexcept { return {Code::kBackendFault, "exception"}; }

Status check_not_flat(std::span<const float> patch, std::size_t index) {
  if (!std::all_of(patch.begin(), patch.end(), [&](float value) { return value == patch[0]; })) return {};
  return {Code::kInvalidArgument, "frame: expected an image, got one gray value all over patch " +
                                      std::to_string(index) + "; check light, shutter and camera"};
}

// Threads that a frame's patches can be shared by.
std::size_t members_of(int threads, const Layout& layout) {
  return std::min(static_cast<std::size_t>(threads_or_cores(threads)), layout.patches_per_frame());
}

// Calls work(index, member) for every index, shared by the team; returns what is wrong at the lowest index where
// anything is. Only the text of that is made, so that nothing is allocated where all is well.
template <typename Work>
Status share(Team& team, std::size_t count, const Work& work) {
  std::atomic<std::size_t> lowest{count};
  team.run(count, [&](std::size_t index, std::size_t member) {
    if (work(index, member).ok()) return;
    std::size_t known = lowest;
    while (index < known && !lowest.compare_exchange_weak(known, index)) {
    }
  });
  return lowest == count ? Status() : work(lowest, 0);
}

}  // namespace

Result<std::unique_ptr<FramePipeline>> FramePipeline::create(const Bundle& bundle, std::unique_ptr<Backend> backend,
                                                             std::shared_ptr<TimeSource> time, int threads) {
  Result<PatchExtractor> extractor = PatchExtractor::create(bundle.layout());
  if (!extractor.ok()) return extractor.status();
  std::vector<Score> scores;
  for (std::size_t member = 0; member < members_of(threads, bundle.layout()); ++member) {
    Result<Score> score = bundle.make_score();
    if (!score.ok()) return score.status();
    scores.push_back(std::move(score).value());
  }
  Result<std::optional<Locator>> locator = make_locator(bundle);
  if (!locator.ok()) return locator.status();
  Parts parts{std::move(extractor).value(), std::move(scores), std::move(locator).value(), std::move(backend),
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
      team_(parts.scores.size()),
      locator_(std::move(parts.locator)),
      portion_(bundle.layout().patches_per_frame()),
      targets_(specs_.size()) {
  for (Score& score : parts.scores) {
    desks_.push_back({std::move(score), std::vector<float>(extractor_.scratch_size()),
                      std::vector<std::span<const float>>(specs_.size())});
  }
  const MapSize patch{bundle.layout().patch_size, bundle.layout().patch_size};
  const MapSize own = desks_[0].score.map_size();
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

Status FramePipeline::extract_patch(const FrameView& frame, const Pose* pose, std::size_t index, std::span<float> patch,
                                    std::size_t member) {
  Status status = extractor_.extract_patch(frame, pose, index, patch, desks_[member].extraction_scratch);
  return status.ok() ? check_not_flat(patch, index) : status;
}

Status FramePipeline::extract(const FrameView& frame, std::span<float> patches, FrameReport& report) {
  const Clock::time_point started = time_->now();
  const Pose* pose = locator_ ? &report.location.pose : nullptr;
  Status status = share(team_, patches.size() / pixels_, [&](std::size_t index, std::size_t member) {
    return extract_patch(frame, pose, index, patches.subspan(index * pixels_, pixels_), member);
  });
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

Status FramePipeline::run_portion(std::span<const float> patches, std::size_t first, std::size_t count,
                                  const PatchResults& results) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    targets_[i] = results.outputs[i].data() + first * specs_[i].pixels();
  }
  return backend_->run(patches.data() + first * pixels_, count, targets_.data());
}

Status FramePipeline::infer(std::span<const float> patches, const PatchResults& results) {
  // What the backend leaves out must not be an earlier strip's.
  for (const std::span<float> output : results.outputs) {
    std::fill(output.begin(), output.end(), std::numeric_limits<float>::quiet_NaN());
  }
  const std::size_t count = results.scores.size();
  const std::size_t portion = count == bundle_.layout().patches_per_frame() ? portion_ : count;
  for (std::size_t first = 0; first < count; first += portion) {
    if (Status status = run_portion(patches, first, portion, results); !status.ok()) return status;
  }
  return {};
}

Status FramePipeline::score_patch(std::size_t index, std::span<const float> patches,
                                  std::span<const std::size_t> regions, const PatchResults& results,
                                  std::size_t member) {
  Desk& desk = desks_[member];
  const std::size_t components = desk.score.components().size();
  for (std::size_t k = 0; k < specs_.size(); ++k) {
    desk.outputs[k] = results.outputs[k].subspan(index * specs_[k].pixels(), specs_[k].pixels());
  }
  const std::size_t region = regions.empty() ? index % regions_ : regions[index];
  return desk.score.run({patches.subspan(index * pixels_, pixels_), desk.outputs}, region, results.scores[index],
                        results.components.subspan(index * components, components));
}

Status FramePipeline::score_all(std::span<const float> patches, std::span<const std::size_t> regions,
                                const PatchResults& results) {
  return share(team_, results.scores.size(), [&](std::size_t index, std::size_t member) {
    return score_patch(index, patches, regions, results, member);
  });
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
  Score& score = desks_[0].score;
  if (!resize_) return score.map(data, region, result);
  if (Status status = score.map(data, region, own_map_); !status.ok()) return status;
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
