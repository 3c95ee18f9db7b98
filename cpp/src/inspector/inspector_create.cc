#include "inspector/inspector_create.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "base/scheduling.h"
#include "inspector/inspector_buffers.h"

namespace vialsight {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::chrono::seconds kMaxMargin{10};  // twenty slots; more is a mistake in the unit

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

// The golden patch that is furthest from what the bundle says.
struct Difference {
  double largest = 0.0;
  std::size_t index = 0;
  float score = 0.0F;

  void add(std::size_t patch, float came, float expected) noexcept {
    const double difference = std::abs(static_cast<double>(came) - static_cast<double>(expected));
    const double counted = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
    if (counted > largest) *this = {counted, patch, came};
  }
};

Status check_difference(const Bundle& bundle, const Difference& difference) {
  const GoldenPatches& golden = bundle.golden();
  if (difference.largest <= golden.tolerance) return {};
  const std::size_t region = difference.index / golden.count_per_region;
  return {Code::kDataCorrupt,
          "golden patches: expected scores within " + text_of(golden.tolerance) + " of the bundle's, got " +
              text_of(difference.score) + " where it says " + text_of(golden.scores[difference.index]) + " (patch " +
              std::to_string(difference.index % golden.count_per_region) + " of region \"" +
              bundle.layout().regions[region] + "\", difference " + text_of(difference.largest) +
              "); this machine does not compute what was trained: check the TensorFlow version, or freeze again"};
}

// Fills a batch with the golden patches from `first` on, starting over at the end.
void fill_batch(std::span<const float> patches, std::size_t pixels, std::size_t first, std::span<float> batch) {
  const std::size_t total = patches.size() / pixels;
  for (std::size_t i = 0; i < batch.size() / pixels; ++i) {
    const std::span<const float> patch = patches.subspan((first + i) % total * pixels, pixels);
    std::copy(patch.begin(), patch.end(), batch.begin() + static_cast<std::ptrdiff_t>(i * pixels));
  }
}

Status check_timeout(const char* name, std::chrono::milliseconds timeout) {
  constexpr std::chrono::hours kLongest{1};
  if (timeout > timeout.zero() && timeout <= kLongest) return {};
  return {Code::kInvalidArgument, std::string("WorkerOptions::") + name + ": expected 1 ms to 1 h, got " +
                                      std::to_string(timeout.count()) + " ms"};
}

Status check_isolation(const InspectorOptions& options) {
  if (options.isolation > Isolation::kWorker) {
    return {Code::kInvalidArgument, "InspectorOptions::isolation: expected kInProcess or kWorker, got " +
                                        std::to_string(static_cast<int>(options.isolation))};
  }
  if (Status status = check_timeout("batch_timeout", options.worker.batch_timeout); !status.ok()) return status;
  return check_timeout("start_timeout", options.worker.start_timeout);
}

}  // namespace

Status check_options(const Bundle& bundle, const InspectorOptions& options) {
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return {Code::kInvalidArgument, "InspectorOptions::threads: expected 0 (one per core) to " +
                                        std::to_string(kMaxThreads) + ", got " + std::to_string(options.threads)};
  }
  if (options.margin < options.margin.zero() || options.margin > kMaxMargin) {
    return {Code::kInvalidArgument,
            "InspectorOptions::margin: expected 0 to 10 s, got " + std::to_string(options.margin.count()) + " us"};
  }
  if (Status status = check_scheduling(options.scheduling); !status.ok()) return status;
  if (Status status = check_isolation(options); !status.ok()) return status;
  if (options.level > Level::kRun) {
    return {Code::kInvalidArgument, "InspectorOptions::level: expected kPatch, kStrip or kRun, got " +
                                        std::to_string(static_cast<int>(options.level))};
  }
  if (options.require_thresholds && bundle.thresholds(options.level).empty()) {
    return {Code::kFailedPrecondition, "bundle \"" + bundle.name() + "\" has no thresholds for level " +
                                           name_of(options.level) + "; run: vialsight calibrate"};
  }
  return {};
}

BackendOptions backend_options(const Bundle& bundle, const InspectorOptions& options) {
  BackendOptions result;
  result.model = bundle.model().data();
  result.model_size = bundle.model().size();
  result.input_name = bundle.input_name();
  const int edge = bundle.layout().patch_size;
  result.outputs = {{bundle.output_name(), OutputRole::kReconstruction, edge, edge}};
  result.patch_size = edge;
  result.threads = options.threads;
  return result;
}

Result<BatchCost> warm_up(const Layout& layout, FramePipeline& pipeline, TimeSource& time) {
  Layout one_frame = layout;
  one_frame.frames = 1;
  StripBuffers buffers(one_frame);
  buffers.draw_pattern(0);
  Clock::duration cost{};
  for (int run = 0; run < 2; ++run) {
    StageTimes times;
    Status error;
    const Clock::time_point started = time.now();
    if (pipeline.process(buffers.view(0), buffers.patches(0), times, &error) != FrameOutcome::kScored) {
      return Status(Code::kBackendFault, "warm-up: " + error.message());
    }
    cost = time.now() - started;
  }
  return BatchCost(cost);
}

Status check_golden_patches(const Bundle& bundle, FramePipeline& pipeline, BatchCost& cost) {
  const GoldenPatches& golden = bundle.golden();
  const std::size_t pixels = bundle.layout().pixels_per_patch();
  const std::size_t batch = bundle.layout().patches_per_frame();
  std::vector<float> inputs(batch * pixels);
  std::vector<float> reconstructions(inputs.size());
  std::vector<float> scores(batch);
  Difference difference;
  for (std::size_t first = 0; first < golden.scores.size(); first += batch) {
    fill_batch(golden.inputs, pixels, first, inputs);
    StageTimes times;
    Status status = pipeline.score(inputs, reconstructions, scores, times);
    if (!status.ok()) return Status(Code::kBackendFault, "golden patches: " + status.message());
    cost.measured(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(times.infer_s + times.score_s)));
    for (std::size_t i = 0; i < batch; ++i) {
      const std::size_t patch = (first + i) % golden.scores.size();
      difference.add(patch, scores[i], golden.scores[patch]);
    }
  }
  return check_difference(bundle, difference);
}

Result<BatchCost> prove(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time) {
  Result<BatchCost> cost = warm_up(bundle.layout(), pipeline, time);
  if (!cost.ok()) return cost;
  if (Status status = check_golden_patches(bundle, pipeline, cost.value()); !status.ok()) return status;
  return cost;
}

}  // namespace vialsight
