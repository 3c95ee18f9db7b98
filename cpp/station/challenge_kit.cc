#include "station/challenge_kit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "station/file_descriptor.h"
#include "station/strip_entry.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMostBytes = std::size_t{1} << 20U;  // of kit.json
constexpr std::size_t kMostStrips = 1000;

Status wrong(const std::string& what) { return {Code::kDataCorrupt, "challenge kit: " + what}; }

// All bytes of a regular file; `size` of them are expected, and no other number.
Status read_exactly(const fs::path& path, std::span<std::byte> bytes) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat about = {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0) {
    return system_error("challenge kit: cannot open '" + path.string() + "'", errno);
  }
  if (!S_ISREG(about.st_mode) || static_cast<std::size_t>(about.st_size) != bytes.size()) {
    return wrong("'" + path.string() + "': expected a file of " + std::to_string(bytes.size()) + " bytes, got " +
                 std::to_string(about.st_size));
  }
  while (!bytes.empty()) {
    const ssize_t count = ::read(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("challenge kit: cannot read '" + path.string() + "'", count < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Result<std::string> read_text(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return system_error("challenge kit: cannot read '" + path.string() + "'", error.value());
  if (size > kMostBytes) return wrong("kit.json: expected at most 1 MiB, got " + std::to_string(size) + " bytes");
  std::string text(static_cast<std::size_t>(size), '\0');
  if (Status status = read_exactly(path, std::as_writable_bytes(std::span(text))); !status.ok()) return status;
  return text;
}

bool stays_inside(const std::string& file) {
  const fs::path path(file);
  return !file.empty() && file.find('\0') == std::string::npos && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

bool is_name(const json& value) {
  if (!value.is_string()) return false;
  const auto& name = value.get_ref<const std::string&>();
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::none_of(name.begin(), name.end(), [](unsigned char letter) { return letter < 0x20; });
}

Status read_strip(const json& value, std::size_t frames, ChallengeStrip& strip) {
  if (!value.is_object() || value.size() != 4 || !value.contains("expected") || !value.contains("expected_reason")) {
    return wrong("strips: expected objects of name, frames, expected and expected_reason");
  }
  const auto name = value.find("name");
  if (name == value.end() || !is_name(*name)) return wrong("name: expected 1 to 64 bytes of text");
  strip.name = name->get<std::string>();
  const auto list = value.find("frames");
  if (list == value.end() || !list->is_array() || list->size() != frames) {
    return wrong("strip '" + strip.name + "': frames: expected " + std::to_string(frames) + " files or nulls");
  }
  for (const json& frame : *list) {
    if (frame.is_null()) {
      strip.frames.emplace_back();
    } else if (frame.is_string() && stays_inside(frame.get<std::string>())) {
      strip.frames.emplace_back(frame.get<std::string>());
    } else {
      return wrong("strip '" + strip.name + "': frames: expected files within the kit's folder");
    }
  }
  return {};
}

Status check_kit(const json& kit, const Bundle& bundle) {
  if (!kit.is_object() || kit.size() != 3 || !kit.contains("format") || kit["format"] != 1) {
    return wrong("kit.json: expected an object of format 1, bundle_sha256 and strips");
  }
  if (!kit.contains("bundle_sha256") || kit["bundle_sha256"] != bundle.sha256()) {
    return {Code::kFailedPrecondition, "challenge kit: expected one of bundle " + bundle.sha256() +
                                           ", it is of another; make a kit of this bundle"};
  }
  const bool listed = kit.contains("strips") && kit["strips"].is_array() && !kit["strips"].empty() &&
                      kit["strips"].size() <= kMostStrips;
  return listed ? Status() : wrong("kit.json: strips: expected 1 to 1000 of them");
}

}  // namespace

Result<ChallengeKit> ChallengeKit::load(const fs::path& folder, const Bundle& bundle) {
  const Result<std::string> text = read_text(folder / "kit.json");
  if (!text.ok()) return text.status();
  const json value = json::parse(text.value(), nullptr, false);
  if (value.is_discarded()) return wrong("kit.json is no JSON");
  if (Status status = check_kit(value, bundle); !status.ok()) return status;
  ChallengeKit kit(folder);
  for (const json& strip : value["strips"]) {
    const auto frames = static_cast<std::size_t>(bundle.layout().frames);
    if (Status status = read_strip(strip, frames, kit.strips_.emplace_back()); !status.ok()) return status;
  }
  return kit;
}

Status ChallengeKit::read_frame(const std::string& file, std::span<std::byte> pixels) const {
  return read_exactly(folder_ / file, pixels);
}

}  // namespace vialsight::station
