// Scores the golden patches of a bundle through the installed library: prints "φ here, φ at freezing", one line a patch.
#include <cstdio>
#include <vector>

#include "vialsight/inspector.h"
#include "vialsight/version.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const vialsight::Bundle bundle = vialsight::Bundle::load(argv[1]).value();
  vialsight::InspectorOptions options;
  options.require_thresholds = false;
  vialsight::Inspector inspector = vialsight::Inspector::create(bundle, options).value();
  const vialsight::GoldenPatches& golden = bundle.golden();
  std::vector<float> scores(golden.scores.size());
  std::vector<std::size_t> regions;
  for (std::size_t i = 0; i < scores.size(); ++i) regions.push_back(i / golden.count_per_region);
  const vialsight::Status status = inspector.score_patches(golden.inputs, regions, 0, {scores, {}, {}});
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  std::fprintf(stderr, "vialsight %s\n", VIALSIGHT_VERSION);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::printf("%.9g %.9g\n", static_cast<double>(scores[i]), static_cast<double>(golden.scores[i]));
  }
}
