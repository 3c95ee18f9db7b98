// Inspects one strip from PGM files and prints what a machine would act on.
//
// usage: inspect_strip NAME.vsb BUDGET_MS FRAME.pgm…      exit 0: accepted, 1: rejected, 2: could not inspect
//
// Build outside this repository: find_package(vialsight CONFIG REQUIRED), link vialsight::vialsight.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "vialsight/inspector.h"

namespace {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<unsigned char> pixels;
};

// Reads a binary 8-bit PGM ("P5") without comments.
std::optional<Image> read_pgm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  Image image;
  int maximum = 0;
  file >> magic >> image.width >> image.height >> maximum;
  file.get();
  constexpr int kLargestEdge = 1 << 15;
  if (!file || magic != "P5" || maximum != 255 || image.width < 1 || image.height < 1 || image.width > kLargestEdge ||
      image.height > kLargestEdge) {
    return std::nullopt;
  }
  image.pixels.resize(static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height));
  file.read(reinterpret_cast<char*>(image.pixels.data()), static_cast<std::streamsize>(image.pixels.size()));
  if (!file) return std::nullopt;
  return image;
}

void print(const vialsight::StripVerdict& result, const vialsight::Layout& layout) {
  std::printf("%s reason=%s total_ms=%.1f slack_ms=%.1f\n", name_of(result.verdict), name_of(result.reason),
              result.times.total_s * 1e3, result.slack_s * 1e3);
  for (std::size_t i = 0; i < result.scores.size(); ++i) {
    const std::size_t region = i % layout.region_count();
    const std::size_t vial = i / layout.region_count() % layout.vial_count();
    std::printf("frame %zu vial %zu %s score=%.9g threshold=%.9g\n", i / layout.patches_per_frame(), vial,
                layout.regions[region].c_str(), static_cast<double>(result.scores[i]), result.thresholds[region]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: inspect_strip NAME.vsb BUDGET_MS FRAME.pgm...\n");
    return 2;
  }
  const auto bundle = vialsight::Bundle::load(argv[1]);
  if (!bundle.ok()) {
    std::fprintf(stderr, "%s\n", bundle.status().message().c_str());
    return 2;
  }
  auto inspector = vialsight::Inspector::create(bundle.value());  // slow: loads TensorFlow, warms up, proves itself
  if (!inspector.ok()) {
    std::fprintf(stderr, "%s\n", inspector.status().message().c_str());
    return 2;
  }
  std::vector<Image> images;
  std::vector<vialsight::FrameView> frames;
  for (int i = 3; i < argc; ++i) images.push_back(read_pgm(argv[i]).value_or(Image{}));
  for (const Image& image : images) {
    frames.push_back({image.pixels.data(), image.width, image.height, image.width, vialsight::PixelFormat::kGray8});
  }
  const auto budget = std::chrono::milliseconds(std::strtol(argv[2], nullptr, 10));
  const vialsight::StripVerdict result =
      inspector.value().inspect(/*strip_id=*/1, frames, vialsight::Clock::now() + budget);
  print(result, bundle.value().layout());
  return result.verdict == vialsight::Verdict::kAccept ? 0 : 1;
}
