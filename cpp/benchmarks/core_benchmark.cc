// Cost of the core's own stages for one strip of SPEC §1: 5 vials, 4 regions, 3 frames, patches of 256x256.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "vialsight/locator.h"
#include "vialsight/patches.h"
#include "vialsight/score.h"
#include "vialsight/ssim.h"

namespace {

using vialsight::Layout;

constexpr int kPatch = 256;
constexpr std::size_t kPixels = kPatch * kPatch;
constexpr std::size_t kPatchesPerStrip = 60;

std::vector<float> random_pixels(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
  std::vector<float> pixels(count);
  for (float& pixel : pixels) pixel = uniform(generator);
  return pixels;
}

void score_strip(benchmark::State& state) {
  const std::vector<float> x = random_pixels(kPatchesPerStrip * kPixels, 1);
  const std::vector<float> y = random_pixels(kPatchesPerStrip * kPixels, 2);
  std::vector<double> scratch(vialsight::ssim_scratch_size(kPatch, kPatch));
  for (auto _ : state) {
    for (std::size_t i = 0; i < kPatchesPerStrip; ++i) {
      double score = 0.0;
      const auto patch = [i](const std::vector<float>& all) { return std::span(all).subspan(i * kPixels, kPixels); };
      if (!vialsight::ssim(patch(x), patch(y), kPatch, kPatch, scratch, score).ok()) state.SkipWithError("ssim failed");
      benchmark::DoNotOptimize(score);
    }
  }
}
BENCHMARK(score_strip)->Unit(benchmark::kMillisecond);

// Definitions of scores, by the names of their components.
std::string definition_of(const std::vector<std::string>& names) {
  const std::string ssim =
      R"("window":"gaussian","window_size":11,"sigma":1.5,"padding":"valid","covariance":"population",)"
      R"("k1":0.01,"k2":0.03,"dynamic_range":1.0)";
  const auto entry = [&](const std::string& name) -> std::string {
    if (name == "ssim") return ssim + R"(,"reduction":"mean")";
    if (name == "msgms") return R"("c":0.0026,"scales":4,"window_size":21)";
    const std::string pooling = name == "residual" ? R"({"top":0.01})" : R"("max")";
    const std::string own = name == "ssim_local" ? ssim + "," : name == "map" ? R"("output":"map",)" : "";
    return own + R"("smoothing":1.5,"per_location":false,"pooling":)" + pooling;
  };
  std::string components;
  std::string decide;
  for (const std::string& name : names) {
    const std::string comma = decide.empty() ? "" : ",";
    components += comma + R"({"name":")" + name + R"(","component":")" + name + "\"," + entry(name) + "}";
    decide += comma + '"' + name + '"';
  }
  return R"({"components":[)" + components + R"(],"decide":[)" + decide + R"(],"combine":)" +
         (names.size() == 1 ? "null" : "\"sum\"") + R"(,"normalisation":null})";
}

// Any score, for one strip: the numbers, without the maps that only a screen shows.
void score_components(benchmark::State& state, const std::vector<std::string>& names) {
  using vialsight::OutputRole;
  const std::vector<float> x = random_pixels(kPatchesPerStrip * kPixels, 1);
  const std::vector<float> y = random_pixels(kPatchesPerStrip * kPixels, 2);
  const vialsight::ScoreInputs inputs{
      {{"reconstruction", OutputRole::kReconstruction, kPatch, kPatch}, {"map", OutputRole::kMap, kPatch, kPatch}},
      kPatch,
      1};
  auto score = vialsight::Score::create(definition_of(names), inputs, {});
  if (!score.ok()) return state.SkipWithError(score.status().message().c_str());
  std::vector<float> components(names.size());
  for (auto _ : state) {
    for (std::size_t i = 0; i < kPatchesPerStrip; ++i) {
      const std::span<const float> reconstruction = std::span(y).subspan(i * kPixels, kPixels);
      const std::span<const float> outputs[] = {reconstruction, reconstruction};
      float value = 0.0F;
      const auto status =
          score.value().run({std::span(x).subspan(i * kPixels, kPixels), outputs}, 0, value, components);
      if (!status.ok()) state.SkipWithError("score failed");
      benchmark::DoNotOptimize(value);
    }
  }
}
BENCHMARK_CAPTURE(score_components, ssim, {"ssim"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_components, ssim_local, {"ssim_local"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_components, residual, {"residual"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_components, msgms, {"msgms"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_components, map, {"map"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(score_components, heaviest, {"ssim", "ssim_local", "residual", "msgms"})
    ->Unit(benchmark::kMillisecond);

// 5 vials of 4 boxes, `edge` pixels wide and high.
Layout strip_layout(int edge, int bit_depth) {
  Layout layout;
  layout.name = "benchmark";
  layout.frame_width = 5 * edge;
  layout.frame_height = 4 * edge;
  layout.bit_depth = bit_depth;
  layout.frames = 3;
  layout.patch_size = kPatch;
  layout.regions = {"flag", "top_body", "liquid_body", "bottom"};
  for (int vial = 0; vial < 5; ++vial) {
    std::vector<vialsight::Box>& boxes = layout.boxes.emplace_back();
    for (int region = 0; region < 4; ++region) boxes.push_back({vial * edge, region * edge, edge, edge});
  }
  return layout;
}

// Memory for one frame of a layout, and what extraction makes of it.
struct Extraction {
  explicit Extraction(const Layout& layout)
      : extractor(vialsight::PatchExtractor::create(layout).value()),
        pixels(static_cast<std::size_t>(layout.frame_width * layout.frame_height), 200),
        patches(layout.patches_per_frame() * layout.pixels_per_patch()),
        scratch(extractor.scratch_size()),
        frame{pixels.data(), layout.frame_width, layout.frame_height,
              layout.frame_width * (layout.bit_depth > 8 ? 2 : 1),
              layout.bit_depth > 8 ? vialsight::PixelFormat::kGray16 : vialsight::PixelFormat::kGray8} {}

  vialsight::PatchExtractor extractor;
  std::vector<std::uint16_t> pixels;
  std::vector<float> patches;
  std::vector<float> scratch;
  vialsight::FrameView frame;
};

// Arguments: edge of a box, bit depth. 256 is copied, the others are resampled.
void extract_frame(benchmark::State& state) {
  Extraction one(strip_layout(static_cast<int>(state.range(0)), static_cast<int>(state.range(1))));
  for (auto _ : state) {
    if (!one.extractor.extract(one.frame, one.patches, one.scratch).ok()) state.SkipWithError("extract failed");
    benchmark::DoNotOptimize(one.patches.data());
  }
}
BENCHMARK(extract_frame)
    ->ArgsProduct({{256, 200, 320, 512}, {8, 12}})
    ->ArgNames({"box", "bits"})
    ->Unit(benchmark::kMillisecond);

// The same of a located strip. Arguments: edge of a box, bit depth, turn in milliradians.
void extract_located_frame(benchmark::State& state) {
  Extraction one(strip_layout(static_cast<int>(state.range(0)), static_cast<int>(state.range(1))));
  const vialsight::Pose pose{3.3, -2.6, static_cast<double>(state.range(2)) / 1000.0};
  for (auto _ : state) {
    if (!one.extractor.extract(one.frame, pose, one.patches, one.scratch).ok()) state.SkipWithError("extract failed");
    benchmark::DoNotOptimize(one.patches.data());
  }
}
BENCHMARK(extract_located_frame)
    ->ArgsProduct({{256, 200, 320, 512}, {8, 12}, {3}})
    ->Args({256, 8, 0})
    ->Args({256, 8, 24})
    ->Args({256, 8, 100})
    ->ArgNames({"box", "bits", "turn"})
    ->Unit(benchmark::kMillisecond);

constexpr int kFrameWidth = 1408;
constexpr int kFrameHeight = 1152;

// Blots of all sizes, as a product has: uint8, moved by whole pixels.
std::vector<std::uint8_t> blots(int dx, int dy) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kFrameWidth) * kFrameHeight);
  for (int y = 0; y < kFrameHeight; ++y) {
    for (int x = 0; x < kFrameWidth; ++x) {
      double value = 128.0;
      for (int k = 1; k <= 16; k *= 2)
        value += 20.0 * std::sin(0.011 * k * (x - dx) + 2.0 * std::cos(0.007 * k * (y - dy)));
      pixels[static_cast<std::size_t>(y) * kFrameWidth + static_cast<std::size_t>(x)] =
          static_cast<std::uint8_t>(value);
    }
  }
  return pixels;
}

vialsight::FrameView frame_of(const std::vector<std::uint8_t>& pixels) {
  return {pixels.data(), kFrameWidth, kFrameHeight, kFrameWidth, vialsight::PixelFormat::kGray8};
}

// Argument: by how many pixels the product lies aside.
void locate_frame(benchmark::State& state) {
  vialsight::LocatorModel model;
  model.frame_width = kFrameWidth;
  model.frame_height = kFrameHeight;
  model.scale = vialsight::locator_scale(kFrameWidth, kFrameHeight);
  model.residual_limit = 0.05;
  model.template_pixels.resize(static_cast<std::size_t>(kFrameWidth / model.scale) *
                               static_cast<std::size_t>(kFrameHeight / model.scale));
  model.weights.assign(model.template_pixels.size(), 1.0F);
  const std::vector<std::uint8_t> nominal = blots(0, 0);
  if (!vialsight::reduce_frame(frame_of(nominal), model.scale, 8, model.template_pixels).ok()) return;
  auto locator = vialsight::Locator::create(model);
  if (!locator.ok()) return state.SkipWithError(locator.status().message().c_str());
  const int aside = static_cast<int>(state.range(0));
  const std::vector<std::uint8_t> moved = blots(aside, -aside);
  for (auto _ : state) {
    const auto location = locator.value().locate(frame_of(moved));
    if (!location.ok() || !location.value().found) state.SkipWithError("not found");
    state.counters["steps"] = location.value().steps;
  }
}
BENCHMARK(locate_frame)->Arg(0)->Arg(5)->Arg(30)->ArgName("aside")->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
