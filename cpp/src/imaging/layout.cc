#include "vialsight/layout.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/messages.h"
#include "imaging/layout_json.h"
#include "imaging/layout_limits.h"
#include "vialsight/ssim.h"

namespace vialsight {
namespace {

using nlohmann::json;

// As generous as those in layout_limits.h, and for the same reasons.
constexpr int kMaxPatchSize = 4096;
constexpr std::size_t kMaxVials = 1024;
constexpr std::size_t kMaxRegions = 64;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::uintmax_t kMaxFileBytes = 1U << 20U;
constexpr int kFormatVersion = 1;
constexpr LocatorKind kLocatorKinds[] = {LocatorKind::kNone, LocatorKind::kTranslation, LocatorKind::kRigid};

Status invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

Status check_range(const char* field, int value, int minimum, int maximum) {
  if (value >= minimum && value <= maximum) return {};
  return invalid(std::string(field) + ": expected " + std::to_string(minimum) + " to " + std::to_string(maximum) +
                 ", got " + std::to_string(value));
}

// Names end up in file names, too.
Status check_name(const std::string& field, const std::string& name) {
  const bool slashed = name.find_first_of("/\\") != std::string::npos;
  if (!name.empty() && name.size() <= kMaxNameBytes && !slashed && is_plain_text(name)) return {};
  return invalid(field + ": expected 1 to 64 bytes of UTF-8 without control characters and slashes, got " +
                 in_quotes(name));
}

Status check_regions(const std::vector<std::string>& regions) {
  if (regions.empty() || regions.size() > kMaxRegions) {
    return invalid("regions: expected 1 to 64 names, got " + std::to_string(regions.size()));
  }
  std::set<std::string> seen;
  for (const std::string& region : regions) {
    if (Status status = check_name("regions", region); !status.ok()) return status;
    if (!seen.insert(region).second) return invalid("regions: " + in_quotes(region) + " appears twice");
  }
  return {};
}

Status check_box(const Layout& layout, std::size_t vial, std::size_t region) {
  const Box& box = layout.boxes[vial][region];
  // Written without sums, which could overflow.
  const bool inside = box.x >= 0 && box.y >= 0 && box.width >= 1 && box.height >= 1 &&
                      box.width <= layout.frame_width && box.height <= layout.frame_height &&
                      box.x <= layout.frame_width - box.width && box.y <= layout.frame_height - box.height;
  if (inside) return {};
  const auto number = [](int value) { return std::to_string(value); };
  return invalid("vials[" + std::to_string(vial) + "][" + std::to_string(region) + "]: box x " + number(box.x) +
                 ", y " + number(box.y) + ", width " + number(box.width) + ", height " + number(box.height) +
                 " does not lie inside the frame of " + number(layout.frame_width) + "x" + number(layout.frame_height));
}

Status check_vials(const Layout& layout) {
  if (layout.boxes.empty() || layout.boxes.size() > kMaxVials) {
    return invalid("vials: expected 1 to 1024, got " + std::to_string(layout.boxes.size()));
  }
  for (std::size_t vial = 0; vial < layout.vial_count(); ++vial) {
    if (layout.boxes[vial].size() != layout.region_count()) {
      return invalid("vials[" + std::to_string(vial) + "]: expected one box for each of the " +
                     std::to_string(layout.region_count()) + " regions, got " +
                     std::to_string(layout.boxes[vial].size()));
    }
    for (std::size_t region = 0; region < layout.region_count(); ++region) {
      if (Status status = check_box(layout, vial, region); !status.ok()) return status;
    }
  }
  return {};
}

std::optional<Box> parse_box(const json& value) {
  if (!value.is_array() || value.size() != 4) return std::nullopt;
  int numbers[4] = {};
  for (std::size_t i = 0; i < 4; ++i) {
    if (!value[i].is_number_unsigned()) return std::nullopt;
    const auto number = value[i].get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(kMaxFrameEdge)) return std::nullopt;
    numbers[i] = static_cast<int>(number);
  }
  return Box{numbers[0], numbers[1], numbers[2], numbers[3]};
}

void read_vials(ObjectReader& reader, Layout& layout) {
  for (const json& vial : reader.require_array("vials")) {
    std::vector<Box>& boxes = layout.boxes.emplace_back();
    if (!vial.is_array()) return reader.fail("vials", "an array of boxes per vial", vial.type_name());
    for (const json& value : vial) {
      const std::optional<Box> box = parse_box(value);
      if (!box)
        return reader.fail("vials", "boxes [x, y, width, height], each from 0 to 65535", printable(value.dump()));
      boxes.push_back(*box);
    }
  }
}

Status read_frame(const json& value, const std::string& path, Layout& layout) {
  ObjectReader reader(value, path);
  layout.frame_width = reader.require_int("width", 1, kMaxFrameEdge);
  layout.frame_height = reader.require_int("height", 1, kMaxFrameEdge);
  layout.bit_depth = reader.require_int("bit_depth", 8, 16);
  return reader.finish();
}

// A layout without the key is of products that are not located.
LocatorKind read_locate(ObjectReader& reader, const json& value) {
  if (!value.is_object() || !value.contains("locate")) return LocatorKind::kNone;
  const std::string name = reader.require_string("locate");
  for (const LocatorKind kind : kLocatorKinds) {
    if (name == name_of(kind)) return kind;
  }
  reader.fail("locate", R"("none", "translation" or "rigid")", in_quotes(name));
  return LocatorKind::kNone;
}

// Before the closed schema is applied: a newer layout has keys this build cannot know.
Status check_format_version(const json& value, const std::string& path) {
  if (!value.is_object() || !value.contains("format_version")) return {};
  const json& version = value["format_version"];
  if (!version.is_number_integer() || version == kFormatVersion) return {};
  return {Code::kUnsupported, path + " format_version: this build reads version 1, got " + version.dump() +
                                  "; update VialSight or write the layout anew"};
}

Result<std::string> read_text(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return Status(Code::kNotFound, "layout: no such file: " + path.string());
  }
  if (std::filesystem::file_size(path, error) > kMaxFileBytes || error) {
    return corrupt("layout: expected a file of at most 1 MiB: " + path.string());
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) return Status(Code::kNotFound, "layout: cannot be read, check its permissions: " + path.string());
  return text;
}

// The first field that is wrong, named as in the JSON.
Status first_problem(const Layout& layout) {
  if (Status status = check_name("name", layout.name); !status.ok()) return status;
  if (Status status = check_range("frame.width", layout.frame_width, 1, kMaxFrameEdge); !status.ok()) return status;
  if (Status status = check_range("frame.height", layout.frame_height, 1, kMaxFrameEdge); !status.ok()) return status;
  if (Status status = check_range("frame.bit_depth", layout.bit_depth, 8, 16); !status.ok()) return status;
  if (Status status = check_range("frames", layout.frames, 1, kMaxFrames); !status.ok()) return status;
  if (Status status = check_range("patch_size", layout.patch_size, kSsimWindow, kMaxPatchSize); !status.ok()) {
    return status;
  }
  if (Status status = check_regions(layout.regions); !status.ok()) return status;
  if (layout.locate > LocatorKind::kRigid) {
    return invalid("locate: expected none (0), translation (1) or rigid (2), got " +
                   std::to_string(static_cast<int>(layout.locate)));
  }
  return check_vials(layout);
}

Result<Layout> parse_layout(std::string_view text, const std::string& what) {
  const Result<json> value = parse_strict_json(text, what);
  if (!value.ok()) return value.status();
  return layout_from_json_value(value.value(), what + ":");
}

}  // namespace

const char* name_of(LocatorKind kind) noexcept {
  switch (kind) {
    case LocatorKind::kNone:
      return "none";
    case LocatorKind::kTranslation:
      return "translation";
    case LocatorKind::kRigid:
      return "rigid";
  }
  return "unknown";
}

Status Layout::validate() const {
  const Status status = first_problem(*this);
  return status.ok() ? status : Status(status.code(), "layout: " + status.message());
}

std::string Layout::to_json() const {
  using nlohmann::ordered_json;
  ordered_json vials = ordered_json::array();
  for (const std::vector<Box>& vial : boxes) {
    ordered_json row = ordered_json::array();
    for (const Box& box : vial) row.push_back({box.x, box.y, box.width, box.height});
    vials.push_back(std::move(row));
  }
  ordered_json object;
  object["format_version"] = kFormatVersion;
  object["name"] = name;
  object["frame"]["width"] = frame_width;
  object["frame"]["height"] = frame_height;
  object["frame"]["bit_depth"] = bit_depth;
  object["frames"] = frames;
  object["patch_size"] = patch_size;
  object["regions"] = regions;
  object["vials"] = std::move(vials);
  // Left out where nothing is located, so that the text of such a layout is what it was before there was a locator.
  if (locate != LocatorKind::kNone) object["locate"] = name_of(locate);
  // Names of a layout nobody validated may be no UTF-8; dump would throw.
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

Result<Layout> layout_from_json_value(const json& value, const std::string& path) {
  if (Status status = check_format_version(value, path); !status.ok()) return status;
  Layout layout;
  ObjectReader reader(value, path);
  reader.require_constant("format_version", kFormatVersion);
  layout.name = reader.require_string("name");
  reader.merge(read_frame(reader.require_object("frame"), reader.path_of("frame"), layout));
  layout.frames = reader.require_int("frames", 1, kMaxFrames);
  layout.patch_size = reader.require_int("patch_size", kSsimWindow, kMaxPatchSize);
  layout.regions = reader.require_strings("regions");
  read_vials(reader, layout);
  layout.locate = read_locate(reader, value);
  if (Status status = reader.finish(); !status.ok()) return status;
  if (const Status status = first_problem(layout); !status.ok()) {
    return corrupt(reader.path_of("") + status.message());
  }
  return layout;
}

Result<Layout> Layout::from_json(std::string_view json_text) { return parse_layout(json_text, "layout.json"); }

Result<Layout> Layout::load(const std::filesystem::path& path) {
  const Result<std::string> text = read_text(path);
  if (!text.ok()) return text.status();
  return parse_layout(text.value(), path.string());
}

}  // namespace vialsight
