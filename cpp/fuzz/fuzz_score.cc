// Score::create: a definition that it takes scores a patch, without a fault of memory or arithmetic.
#include <vector>

#include "fuzz_input.h"
#include "vialsight/score.h"

using vialsight::OutputRole;
using vialsight::Score;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;

namespace {

constexpr int kPatch = 16;
constexpr std::size_t kPixels = 256;
constexpr std::size_t kRegions = 2;

void run(Score& score) {
  const std::vector<float> patch(kPixels, 0.5F);
  const std::vector<float> map = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
  const std::span<const float> outputs[] = {patch, map};
  std::vector<float> components(score.components().size());
  std::vector<float> shown(score.map_size().pixels());
  for (std::size_t region = 0; region < kRegions; ++region) {
    float number = 0.0F;
    require(score.run({patch, outputs}, region, number, components).ok(), "a score that was made runs");
    require(score.map({patch, outputs}, region, shown).ok(), "a score that was made has a map");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vialsight::ScoreInputs inputs{
      {{"reconstruction", OutputRole::kReconstruction, kPatch, kPatch}, {"defect", OutputRole::kMap, 2, 3}},
      kPatch,
      kRegions};
  const std::vector<float> locations(kRegions * 6, 0.5F);
  const vialsight::LocationArrays arrays[] = {{"located", {2, 3}, locations, locations}};
  for (const bool located : {false, true}) {
    const auto given =
        located ? std::span<const vialsight::LocationArrays>(arrays) : std::span<const vialsight::LocationArrays>();
    vialsight::Result<Score> score = Score::create(Input(data, size).text(), inputs, given);
    if (score.ok()) {
      run(score.value());
    } else {
      require(!score.status().message().empty(), "an error says what is wrong");
    }
  }
  return 0;
}
