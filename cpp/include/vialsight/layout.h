// Layout: where the regions of every vial lie in a frame, and how many frames make a strip.
//
// The closed JSON schema (`layout.json`, also inside a bundle's manifest); "locate" may be left out:
//   {"format_version": 1, "name": "bfs-5", "frame": {"width": 1408, "height": 1152, "bit_depth": 8}, "frames": 3,
//    "patch_size": 256, "regions": ["flag", ...], "vials": [[[x, y, width, height], ... one per region], ... per vial],
//    "locate": "none" or "translation" or "rigid"}
// An unknown, missing or duplicate key, a box outside the frame, or a size of zero is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "vialsight/export.h"
#include "vialsight/status.h"

namespace vialsight {

// A region's rectangle in frame pixels; (x, y) is its top left pixel.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  friend bool operator==(const Box&, const Box&) = default;
};

// How the product may lie in a frame, against the place for which the boxes are drawn; see pose.h.
enum class LocatorKind : std::uint8_t {
  kNone = 0,         // it always lies there: boxes are cut where they are drawn
  kTranslation = 1,  // shifted
  kRigid = 2,        // shifted and turned a little
};
// "none", "translation", "rigid", as in the schema.
[[nodiscard]] VIALSIGHT_API const char* name_of(LocatorKind kind) noexcept;

// Plain data; `validate()` says whether it is a layout. Indices: vial v in [0, V), region r in [0, R), frame f in [0,
// F).
struct VIALSIGHT_API Layout {
  std::string name;
  int frame_width = 0;                  // pixels
  int frame_height = 0;                 // pixels
  int bit_depth = 8;                    // 8: uint8 pixels; 9 to 16: uint16 pixels with this many significant bits
  int frames = 0;                       // F, frames inspected per strip
  int patch_size = 0;                   // P, edge of a square patch in pixels; at least 11, the SSIM window
  std::vector<std::string> regions;     // R names, unique
  std::vector<std::vector<Box>> boxes;  // [V][R]
  LocatorKind locate = LocatorKind::kNone;

  [[nodiscard]] std::size_t vial_count() const noexcept { return boxes.size(); }
  [[nodiscard]] std::size_t region_count() const noexcept { return regions.size(); }
  [[nodiscard]] std::size_t patches_per_frame() const noexcept { return vial_count() * region_count(); }
  // N = F·V·R (paper eq. 13).
  [[nodiscard]] std::size_t patches_per_strip() const noexcept {
    return static_cast<std::size_t>(frames) * patches_per_frame();
  }
  [[nodiscard]] std::size_t pixels_per_patch() const noexcept {
    return static_cast<std::size_t>(patch_size) * static_cast<std::size_t>(patch_size);
  }

  // Ok, or kInvalidArgument naming the first field that is wrong.
  [[nodiscard]] Status validate() const;
  // The schema above on one line; from_json reads back an equal layout.
  [[nodiscard]] std::string to_json() const;

  // kDataCorrupt naming the field that is wrong; kUnsupported: another format_version; load also kNotFound.
  [[nodiscard]] static Result<Layout> from_json(std::string_view json);
  [[nodiscard]] static Result<Layout> load(const std::filesystem::path& path);

  friend bool operator==(const Layout&, const Layout&) = default;
};

}  // namespace vialsight
