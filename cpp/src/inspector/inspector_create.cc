#include "inspector/inspector_create.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "base/messages.h"
#include "base/scheduling.h"
#include "inspector/inspector_buffers.h"
#include "inspector/locating.h"

namespace vialsight {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::chrono::seconds kMaxMargin{10};  // twenty slots; more is a mistake in the unit

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

// The golden score that is furthest from what the bundle says, in parts of what is allowed.
struct Difference {
  double largest = 0.0;
  std::size_t patch = 0;
  std::size_t component = 0;
  float came = 0.0F;
  float expected = 0.0F;
  double allowed = 0.0;

  void add(const Difference& other) noexcept {
    if (other.largest > largest) *this = other;
  }
};

Difference difference_of(std::size_t patch, std::size_t component, float came, float expected,
                         double allowed) noexcept {
  const double share = std::abs(static_cast<double>(came) - static_cast<double>(expected)) / allowed;
  return {
      std::isnan(share) ? std::numeric_limits<double>::infinity() : share, patch, component, came, expected, allowed};
}

// Of one batch: `components` [n][K] of the golden patches from `first` on, starting over at the end.
Difference largest_difference(const Bundle& bundle, std::size_t first, std::span<const float> components) {
  const GoldenPatches& golden = bundle.golden();
  const std::size_t count = bundle.components().size();
  Difference difference;
  for (std::size_t i = 0; i < components.size() / count; ++i) {
    const std::size_t patch = (first + i) % golden.scores.size();
    const std::vector<float> expected = bundle.golden_components(patch);
    const std::vector<double> scales = bundle.golden_scales(patch);
    for (std::size_t k = 0; k < count; ++k) {
      difference.add(difference_of(patch, k, components[i * count + k], expected[k], golden.tolerance * scales[k]));
    }
  }
  return difference;
}

Status check_difference(const Bundle& bundle, const Difference& difference) {
  if (difference.largest <= 1.0) return {};
  const GoldenPatches& golden = bundle.golden();
  const std::size_t region = difference.patch / golden.count_per_region;
  const double apart = std::abs(static_cast<double>(difference.came) - static_cast<double>(difference.expected));
  return {Code::kDataCorrupt,
          "golden patches: expected scores within " + text_of(difference.allowed) + " of the bundle's, got " +
              text_of(difference.came) + " where it says " + text_of(difference.expected) + " (component \"" +
              bundle.components()[difference.component] + "\", patch " +
              std::to_string(difference.patch % golden.count_per_region) + " of region \"" +
              bundle.layout().regions[region] + "\", difference " + text_of(apart) +
              "); this machine does not compute what was trained: check the inference library's version, or freeze " +
              "again"};
}

PatchShape one_frame_of(const Bundle& bundle) {
  PatchShape shape = PatchShape::of(bundle);
  shape.layout.frames = 1;
  return shape;
}

// Fills a batch with the golden patches from `first` on, starting over at the end.
void fill_batch(std::span<const float> patches, std::size_t pixels, std::size_t first, std::span<float> batch) {
  const std::size_t total = patches.size() / pixels;
  for (std::size_t i = 0; i < batch.size() / pixels; ++i) {
    const std::span<const float> patch = patches.subspan((first + i) % total * pixels, pixels);
    std::copy(patch.begin(), patch.end(), batch.begin() + static_cast<std::ptrdiff_t>(i * pixels));
  }
}

// Costs of a drawn frame, run after run.
Result<std::vector<Clock::duration>> rehearse(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time,
                                              int runs) {
  StripBuffers buffers(one_frame_of(bundle));
  buffers.draw_pattern(0);
  std::vector<Clock::duration> costs;
  for (int run = 0; run < runs; ++run) {
    FrameReport report;
    const Clock::time_point started = time.now();
    if (pipeline.rehearse(buffers.view(0), buffers.patches(0), report) != FrameOutcome::kScored) {
      return Status(Code::kBackendFault, "warm-up: " + report.error.message());
    }
    costs.push_back(time.now() - started);
  }
  return costs;
}

// Of a frame whose patches the network gets so many at a time.
Result<Clock::duration> cost_in_portions(std::size_t patches, const Bundle& bundle, FramePipeline& pipeline,
                                         TimeSource& time) {
  pipeline.set_portion(patches);
  const Result<std::vector<Clock::duration>> costs = rehearse(bundle, pipeline, time, 3);
  if (!costs.ok()) return costs.status();
  return *std::min_element(costs.value().begin() + 1, costs.value().end());  // the first prepares
}

Status check_device(const std::string& device) {
  const bool gpu = device.size() > 4 && device.size() <= 6 && device.compare(0, 4, "gpu:") == 0 &&
                   device.find_first_not_of("0123456789", 4) == std::string::npos;
  if (device.empty() || device == "cpu" || gpu) return {};
  return {Code::kInvalidArgument,
          "InspectorOptions::device: expected \"cpu\", \"gpu:0\" or another number, or nothing, "
          "got " +
              in_quotes(device)};
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

Status check_threads(const char* option, int threads) {
  if (threads >= 0 && threads <= kMaxThreads) return {};
  return {Code::kInvalidArgument, std::string(option) + ": expected 0 (one per core) to " +
                                      std::to_string(kMaxThreads) + ", got " + std::to_string(threads)};
}

Status check_options(const Bundle& bundle, const InspectorOptions& options) {
  if (Status status = check_threads("InspectorOptions::threads", options.threads); !status.ok()) return status;
  if (options.margin < options.margin.zero() || options.margin > kMaxMargin) {
    return {Code::kInvalidArgument,
            "InspectorOptions::margin: expected 0 to 10 s, got " + std::to_string(options.margin.count()) + " us"};
  }
  if (Status status = check_device(options.device); !status.ok()) return status;
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

BackendOptions backend_options(const Bundle& bundle, int threads) {
  BackendOptions result;
  result.model = bundle.model().data();
  result.model_size = bundle.model().size();
  result.input_name = bundle.input_name();
  result.outputs = bundle.outputs();
  result.patch_size = bundle.layout().patch_size;
  result.threads = threads;
  result.precision = bundle.precision();
  result.batches = {bundle.layout().patches_per_frame(), bundle.layout().region_count()};
  return result;
}

Status choose_portion(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time) {
  const std::size_t whole = bundle.layout().patches_per_frame();
  const std::size_t vial = bundle.layout().region_count();
  if (vial == whole) return {};
  const Result<Clock::duration> whole_cost = cost_in_portions(whole, bundle, pipeline, time);
  if (!whole_cost.ok()) return whole_cost.status();
  const Result<Clock::duration> vial_cost = cost_in_portions(vial, bundle, pipeline, time);
  if (!vial_cost.ok()) return vial_cost.status();
  // A fiftieth is less than such a measurement can tell, and whole frames are simpler.
  const bool faster = vial_cost.value() < whole_cost.value() - whole_cost.value() / 50;
  pipeline.set_portion(faster ? vial : whole);
  return {};
}

Result<BatchCost> warm_up(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time) {
  const Result<std::vector<Clock::duration>> costs = rehearse(bundle, pipeline, time, 2);
  if (!costs.ok()) return costs.status();
  return BatchCost(costs.value().back());
}

Status check_golden_patches(const Bundle& bundle, FramePipeline& pipeline, BatchCost& cost) {
  const GoldenPatches& golden = bundle.golden();
  const std::size_t total = golden.scores.size();
  StripBuffers buffers(one_frame_of(bundle));
  const PatchBuffers batch = buffers.patches(0);
  std::vector<std::size_t> regions(batch.results.scores.size());
  Difference difference;
  for (std::size_t first = 0; first < total; first += regions.size()) {
    fill_batch(golden.inputs, bundle.layout().pixels_per_patch(), first, batch.inputs);
    for (std::size_t i = 0; i < regions.size(); ++i) regions[i] = (first + i) % total / golden.count_per_region;
    StageTimes times;
    Status status = pipeline.score(batch.inputs, regions, batch.results, times);
    if (!status.ok()) return Status(Code::kBackendFault, "golden patches: " + status.message());
    cost.measured(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(times.infer_s + times.score_s)));
    difference.add(largest_difference(bundle, first, batch.results.components));
  }
  return check_difference(bundle, difference);
}

Result<BatchCost> prove(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time) {
  if (Status status = check_golden_locations(bundle, pipeline); !status.ok()) return status;
  Result<BatchCost> cost = warm_up(bundle, pipeline, time);
  if (!cost.ok()) return cost;
  if (Status status = check_golden_patches(bundle, pipeline, cost.value()); !status.ok()) return status;
  return cost;
}

}  // namespace vialsight
