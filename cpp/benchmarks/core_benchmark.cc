// Cost of the core's own stages for one strip of SPEC §1: 5 vials, 4 regions, 3 frames, patches of 256x256.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "vialsight/patches.h"
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

// Arguments: edge of a box, bit depth. 256 is copied, the others are resampled.
void extract_frame(benchmark::State& state) {
  const Layout layout = strip_layout(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  const auto extractor = vialsight::PatchExtractor::create(layout);
  const int pixel_bytes = layout.bit_depth > 8 ? 2 : 1;
  const std::vector<std::uint16_t> pixels(static_cast<std::size_t>(layout.frame_width * layout.frame_height), 200);
  const vialsight::FrameView frame{pixels.data(), layout.frame_width, layout.frame_height,
                                   layout.frame_width * pixel_bytes,
                                   pixel_bytes == 2 ? vialsight::PixelFormat::kGray16 : vialsight::PixelFormat::kGray8};
  std::vector<float> patches(layout.patches_per_frame() * layout.pixels_per_patch());
  std::vector<float> scratch(extractor.value().scratch_size());
  for (auto _ : state) {
    if (!extractor.value().extract(frame, patches, scratch).ok()) state.SkipWithError("extract failed");
    benchmark::DoNotOptimize(patches.data());
  }
}
BENCHMARK(extract_frame)
    ->ArgsProduct({{256, 200, 320, 512}, {8, 12}})
    ->ArgNames({"box", "bits"})
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
