// What a worker process costs a strip: hand-over and nothing else, because the backend is one that copies.
//
// A strip of the paper (3 frames, 5 vials, 4 regions, 60 patches of 256×256) is inspected in this process and in a
// vialsight-worker. Both share extraction, scores and decision; the difference of the two is the price of isolation.
// Run with
//   isolation_benchmark --benchmark_repetitions=15 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/inspector.h"

namespace vialsight {
namespace {

constexpr int kEdge = 256;

Layout paper_layout() {
  Layout layout;
  layout.name = "paper";
  layout.frame_width = 1408;
  layout.frame_height = 1152;
  layout.frames = 3;
  layout.patch_size = kEdge;
  layout.regions = {"flag", "top_body", "liquid_body", "bottom"};
  for (int vial = 0; vial < 5; ++vial) {
    std::vector<Box>& boxes = layout.boxes.emplace_back();
    for (int region = 0; region < 4; ++region) boxes.push_back({32 + 272 * vial, 64 + 256 * region, kEdge, kEdge});
  }
  return layout;
}

void inspect_strips(benchmark::State& state, Isolation isolation) {
  const test::TemporaryFolder folder;
  test::BundleWriter(paper_layout()).write(folder.path() / "paper.vsb");
  const Bundle bundle = Bundle::load(folder.path() / "paper.vsb").value();
  InspectorOptions options;
  options.isolation = isolation;
  options.backend_module = FAKE_BACKEND;
  options.worker.program = WORKER_PROGRAM;
  options.require_fresh_frames = false;
  Inspector inspector = Inspector::create(bundle, options).value();
  std::vector<std::uint8_t> pixels(1408 * 1152);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i % 251);
  const std::vector<FrameView> frames(3, FrameView{pixels.data(), 1408, 1152, 1408, PixelFormat::kGray8});
  for (auto iteration : state) {
    static_cast<void>(iteration);
    const StripVerdict verdict = inspector.inspect(1, frames, Clock::time_point::max());
    if (verdict.verdict != Verdict::kAccept) state.SkipWithError(name_of(verdict.reason));
  }
}

void in_process(benchmark::State& state) { inspect_strips(state, Isolation::kInProcess); }
void in_worker(benchmark::State& state) { inspect_strips(state, Isolation::kWorker); }

BENCHMARK(in_process)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(in_worker)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace vialsight
