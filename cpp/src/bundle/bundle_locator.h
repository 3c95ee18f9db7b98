// What a bundle says of the place of its products: the manifest's "locate" and the files of role "locator_*".
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bundle/bundle_arrays.h"
#include "bundle/bundle_files.h"
#include "vialsight/layout.h"
#include "vialsight/locator.h"
#include "vialsight/status.h"

namespace vialsight {

inline constexpr const char* kLocatorTemplateRole = "locator_template";
inline constexpr const char* kLocatorWeightsRole = "locator_weights";
inline constexpr const char* kLocatorFramesRole = "locator_golden_frames";
inline constexpr const char* kLocatorPosesRole = "locator_golden_poses";

// What Bundle::locator and Bundle::golden_locations view.
struct LocatorMemory {
  LocatorModel model;
  std::size_t count = 0;
  std::vector<float> frames;  // [n][h][w]
  std::vector<float> poses;   // [n][3]
};

// {"model": "rigid", "scale": 4, "reach": {"shift_px": 32, "turn_rad": 0.0262},
//  "limits": {"residual": 0.02, "apart_px": 1, "apart_turn_rad": 0.001}}; nothing where `value` is null, as it must be
// exactly when `layout` locates nothing. Template and weights are left empty. `status` gets what is wrong.
[[nodiscard]] std::optional<LocatorModel> read_locate(const nlohmann::json* value, const std::string& path,
                                                      const Layout& layout, Status& status);

// The rest of `model`, and the golden frames. kDataCorrupt also for a locator that cannot be made of it.
[[nodiscard]] Result<LocatorMemory> read_locator(const FileBytes& bytes, const std::map<std::string, FileEntry>& files,
                                                 const LocatorModel& model);

}  // namespace vialsight
