// Writes bundle folders for tests: a good one, which a test then spoils in one place.
//
// The line of these tests: 2 frames of 40×30 pixels, 2 vials, 2 regions, patches of 12×12, copied out of the frame. The
// golden patches are their own reconstructions, so that their scores are 0 by the definition of SSIM, the one
// component.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vialsight/layout.h"
#include "vialsight/locator.h"

namespace vialsight::test {

inline constexpr std::size_t kGoldenPerRegion = 8;
inline const std::string kDigestA = std::string(64, 'a');

Layout small_layout();

// The .npy format, version 1.0, as numpy.save writes it; of float32, or of data that `descr` describes.
std::string npy(const std::vector<std::size_t>& shape, const std::vector<float>& values);
std::string npy_of(const std::string& descr, const std::vector<std::size_t>& shape, const std::string& data);

// Everything a bundle holds, open to changes; write() makes sizes and digests right again.
class BundleWriter {
 public:
  explicit BundleWriter(Layout bundle_layout = small_layout());

  // Writes the bundle to `folder`. The digests of what the manifest names are set here, unless `seal` is false.
  void write(const std::filesystem::path& folder, bool seal = true);

  static void write_manifest(const std::filesystem::path& folder, const std::string& text);
  static void write_file(const std::filesystem::path& path, const std::string& bytes);

  void remove_calibration();
  // φ [R][K], and the one component that gives them.
  void set_golden_scores(const std::vector<float>& scores);
  // A second output, of role map, and a component of that name which is its largest value.
  void add_map(const std::string& name, int height, int width);
  // Of the layout's kind; golden frames [n][h][w] and their poses [n][3].
  void add_locator(const LocatorModel& model, const std::vector<float>& frames, const std::vector<float>& poses);
  // Golden φ and components [R][K][C], all the same number in each column.
  void set_golden_columns(float score, const std::vector<float>& components);

  Layout layout;
  nlohmann::json manifest;
  std::map<std::string, std::string> files;  // by name
  std::map<std::string, std::string> roles;  // their names by role

 private:
  [[nodiscard]] std::size_t patches() const { return layout.region_count() * kGoldenPerRegion; }
  void add_file(const std::string& role, const std::string& name, const std::string& bytes);
  void make_manifest();
};

}  // namespace vialsight::test
