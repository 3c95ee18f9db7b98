// Bundle::load: a folder in which one file was replaced. Sealed, so that every digest is right and the checks behind
// the digests are reached; or not, which must always be found.
#include <cmath>
#include <string>

#include "bundle_writer.h"
#include "fuzz_input.h"
#include "temporary_folder.h"
#include "vialsight/bundle.h"

using vialsight::Bundle;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;
using vialsight::test::BundleWriter;

namespace {

// location/ holds a component's arrays, locator/ what finds the product.
constexpr const char* kFiles[] = {"manifest.json",
                                  "model.pb",
                                  "fingerprints.npz",
                                  "golden/inputs.npy",
                                  "golden/output_spots.npy",
                                  "golden/scores.npy",
                                  "golden/components.npy",
                                  "location/spots.npy",
                                  "locator/template.npy",
                                  "locator/weights.npy",
                                  "locator/golden_frames.npy",
                                  "locator/golden_poses.npy"};

vialsight::Layout located_layout() {
  vialsight::Layout layout = vialsight::test::small_layout();
  layout.locate = vialsight::LocatorKind::kRigid;
  return layout;
}

// Of a product of crossed waves, frames of 40×30 pixels as they are.
vialsight::LocatorModel wave_locator() {
  vialsight::LocatorModel model;
  model.frame_width = 40;
  model.frame_height = 30;
  model.scale = 1;
  model.reach_px = 4.0;
  model.residual_limit = 0.1;
  for (int i = 0; i < 40 * 30; ++i) {
    const double wave = std::sin(0.5 * (i % 40)) + std::cos(0.4 * (i / 40));  // NOLINT(bugprone-integer-division)
    model.template_pixels.push_back(static_cast<float>(0.5 + 0.2 * wave));
  }
  model.weights.assign(model.template_pixels.size(), 1.0F);
  return model;
}

// A good bundle on disk, written once; an input spoils it, and repair() makes it good again.
class Folder {
 public:
  Folder() {
    writer_.add_map("spots", 2, 3);
    writer_.manifest["score"]["components"][1]["per_location"] = true;
    writer_.roles["location_spots"] = kFiles[7];
    writer_.files[kFiles[7]] = vialsight::test::npy({2, 2, 2, 3}, std::vector<float>(24, 1.0F));
    writer_.set_golden_columns(0.0F, {0.0F, 0.0F});
    writer_.add_locator(wave_locator(), std::vector<float>(2 * 40 * 30, 0.5F), std::vector<float>(6, 0.0F));
    writer_.write(path_);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  void spoil(const std::string& file, const std::string& bytes, bool seal) {
    if (file == kFiles[0]) {
      BundleWriter::write_manifest(path_, bytes);
      return;
    }
    if (!seal) {
      BundleWriter::write_file(path_ / file, bytes);
      return;
    }
    BundleWriter other = writer_;
    other.files[file] = bytes;
    other.write(path_);
  }
  void repair() { writer_.write(path_); }
  [[nodiscard]] const std::string& good(const std::string& file) const { return writer_.files.at(file); }

 private:
  vialsight::test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "fuzz.vsb";
  BundleWriter writer_{located_layout()};
};

void check(const Bundle& bundle) {
  const vialsight::Layout& layout = bundle.layout();
  require(layout.validate().ok(), "the layout is one");
  const vialsight::GoldenPatches& golden = bundle.golden();
  const std::size_t patches = layout.region_count() * golden.count_per_region;
  require(golden.count_per_region >= 8, "there are golden patches");
  require(golden.scores.size() == patches, "every golden patch has a score");
  require(golden.inputs.size() == patches * layout.pixels_per_patch(), "golden patches are whole");
  require(golden.outputs.size() == bundle.outputs().size(), "every output has golden arrays");
  const std::size_t seen = golden.outputs_per_region;
  require(seen >= 1 && seen <= golden.count_per_region, "outputs are of some golden patches");
  for (std::size_t i = 0; i < golden.outputs.size(); ++i) {
    require(golden.outputs[i].size() == layout.region_count() * seen * bundle.outputs()[i].pixels(),
            "outputs are whole");
  }
  require(bundle.golden_components(patches - 1).size() == bundle.components().size(),
          "components that decide are there");
  require(bundle.make_score().ok(), "the score is one");
  require((bundle.locator() != nullptr) == (layout.locate != vialsight::LocatorKind::kNone), "what is located can be");
  if (bundle.locator() == nullptr) return;
  require(vialsight::Locator::create(*bundle.locator()).ok(), "the locator is one");
  const std::size_t count = bundle.golden_locations().count;
  require(count >= 2 && bundle.golden_locations().poses.size() == 3 * count, "golden frames have poses");
  require(bundle.golden_locations().frames.size() == count * bundle.locator()->weights.size(), "and are whole");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Folder folder;
  Input input(data, size);
  const std::string file = kFiles[input.take<std::uint8_t>() % std::size(kFiles)];
  const bool seal = input.take<std::uint8_t>() % 4 != 0;
  const std::string bytes(input.text());
  folder.spoil(file, bytes, seal);
  const vialsight::Result<Bundle> bundle = Bundle::load(folder.path());
  const bool changed = file != kFiles[0] && bytes != folder.good(file);
  require(seal || !changed || !bundle.ok(), "a file that is not what the manifest says is found");
  if (bundle.ok()) {
    check(bundle.value());
  } else {
    require(!bundle.status().message().empty(), "an error says what is wrong");
  }
  folder.repair();
  return 0;
}
