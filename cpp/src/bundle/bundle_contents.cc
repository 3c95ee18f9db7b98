#include "bundle/bundle_contents.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/messages.h"
#include "base/npy.h"
#include "base/sha256.h"
#include "bundle/bundle_arrays.h"
#include "bundle/bundle_files.h"
#include "bundle/manifest_fields.h"
#include "scoring/filtered_component.h"

namespace vialsight {
namespace {

// The largest manifest read into memory; a real one has a few kilobytes plus the product names.
constexpr std::uint64_t kMaxManifestSize = std::uint64_t{64} << 20;

std::string_view text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<std::vector<std::byte>> read_file(const BundleFolder& folder, const std::string& name, std::uint64_t max_size) {
  const Result<OpenFile> file = folder.open_file(name);
  if (!file.ok()) return file.status();
  if (file.value().size > max_size) {
    return corrupt(name + ": expected at most " + std::to_string(max_size) + " bytes, got " +
                   std::to_string(file.value().size));
  }
  return read_all(file.value());
}

// The digest file is what `sha256sum manifest.json` prints; returns the digest.
Result<std::string> check_manifest_digest(const BundleFolder& folder, const std::vector<std::byte>& manifest) {
  constexpr std::uint64_t kMaxDigestSize = 1024;
  const Result<std::vector<std::byte>> bytes = read_file(folder, kManifestDigestName, kMaxDigestSize);
  if (!bytes.ok()) return bytes.status();
  const std::string digest = sha256_hex(manifest);
  const std::string_view text = text_of(bytes.value());
  if (text == digest + "  " + kManifestName + "\n") return digest;
  const bool well_formed =
      text.size() > 64 && is_sha256(text.substr(0, 64)) && text.substr(64) == std::string("  ") + kManifestName + "\n";
  if (well_formed) {
    return corrupt(std::string(kManifestName) + ": expected SHA-256 " + std::string(text.substr(0, 64)) + ", got " +
                   digest + "; the bundle was changed or damaged, copy or freeze it again");
  }
  return corrupt(std::string(kManifestDigestName) +
                 ": expected one line \"<64 hexadecimal digits>  manifest.json\", got \"" + printable(text) + "\"");
}

// By role.
using OpenFiles = std::map<std::string, OpenFile>;

// All files opened and their sizes compared before a byte of them is read or hashed.
Result<OpenFiles> open_all(const BundleFolder& folder, const Manifest& manifest) {
  OpenFiles files;
  for (const auto& [role, entry] : manifest.files) {
    Result<OpenFile> file = folder.open_file(entry.name);
    if (!file.ok()) return file.status();
    if (file.value().size != entry.size) {
      return corrupt(entry.name + ": expected " + std::to_string(entry.size) + " bytes, got " +
                     std::to_string(file.value().size) + "; copy or freeze the bundle again");
    }
    files.emplace(role, std::move(file).value());
  }
  return files;
}

Result<std::vector<std::byte>> read_verified(const OpenFile& file, const FileEntry& entry) {
  Result<std::vector<std::byte>> bytes = read_all(file);
  if (!bytes.ok()) return bytes;
  const std::string digest = sha256_hex(bytes.value());
  if (digest == entry.sha256) return bytes;
  return corrupt(entry.name + ": expected SHA-256 " + entry.sha256 + ", got " + digest +
                 "; the file was changed or damaged, copy or freeze the bundle again");
}

std::vector<std::string> names_of(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const auto& [role, entry] : manifest.files) names.push_back(entry.name);
  return names;
}

Result<std::vector<float>> read_array(const FileBytes& bytes, const BundleContents& contents, const std::string& role,
                                      const Shape& shape) {
  return parse_array(bytes.at(role), contents.manifest.files.at(role).name, shape);
}

Shape output_shape(const Manifest& manifest, const OutputSpec& output, std::size_t per_region) {
  return {manifest.layout.region_count(), per_region, static_cast<std::size_t>(output.height),
          static_cast<std::size_t>(output.width)};
}

// How many patches of each region have outputs is found in the file of the first output.
Result<std::size_t> count_outputs(const FileBytes& bytes, const Manifest& manifest) {
  const OutputSpec& output = manifest.outputs.front();
  const std::string role = golden_output_role(output.name);
  const std::string& name = manifest.files.at(role).name;
  const Result<NpyArray> array = parse_npy_f32(bytes.at(role), name);
  if (!array.ok()) return array.status();
  const Shape& shape = array.value().shape;
  if (shape.size() == 4 && shape[1] >= 1 && shape[1] <= manifest.golden_per_region) return shape[1];
  const std::string regions = std::to_string(manifest.layout.region_count());
  const std::string size = std::to_string(output.height) + ", " + std::to_string(output.width);
  return corrupt(name + ": expected shape (" + regions + ", n, " + size + "), n from 1 to " +
                 std::to_string(manifest.golden_per_region) + ", got " + shape_text(shape));
}

Status read_golden_outputs(const FileBytes& bytes, BundleContents& contents) {
  BundleContents::GoldenMemory& golden = contents.golden_memory;
  Status status = take(count_outputs(bytes, contents.manifest), golden.outputs_per_region);
  for (const OutputSpec& output : contents.manifest.outputs) {
    if (!status.ok()) return status;
    const Shape shape = output_shape(contents.manifest, output, golden.outputs_per_region);
    status = take(read_array(bytes, contents, golden_output_role(output.name), shape), golden.outputs.emplace_back());
  }
  return status;
}

Status read_golden(const FileBytes& bytes, BundleContents& contents) {
  const Manifest& manifest = contents.manifest;
  const auto edge = static_cast<std::size_t>(manifest.layout.patch_size);
  const Shape patches = {manifest.layout.region_count(), manifest.golden_per_region};
  const Shape images = {patches[0], patches[1], edge, edge};
  BundleContents::GoldenMemory& golden = contents.golden_memory;
  const std::string& name = manifest.files.at(kGoldenInputsRole).name;
  Status status = take(parse_patches(bytes.at(kGoldenInputsRole), name, images), golden.inputs);
  if (status.ok()) status = read_golden_outputs(bytes, contents);
  if (status.ok()) status = take(read_array(bytes, contents, kGoldenScoresRole, patches), golden.scores);
  if (!status.ok()) return status;
  const Shape components = {patches[0], patches[1], manifest.components.size()};
  return take(read_array(bytes, contents, kGoldenComponentsRole, components), golden.components);
}

void view_golden(BundleContents& contents) {
  const BundleContents::GoldenMemory& memory = contents.golden_memory;
  contents.golden = {contents.manifest.golden_per_region,
                     memory.inputs,
                     memory.outputs_per_region,
                     {memory.outputs.begin(), memory.outputs.end()},
                     memory.scores,
                     memory.components,
                     contents.manifest.tolerance};
}

// The size of a component's map is found in the file; Score knows whether it is the right one.
Status read_location(const FileBytes& bytes, const std::string& component, BundleContents& contents) {
  const std::string role = location_role(component);
  const std::string& name = contents.manifest.files.at(role).name;
  Result<NpyArray> array = parse_npy_f32(bytes.at(role), name);
  if (!array.ok()) return array.status();
  const Shape& shape = array.value().shape;
  const std::size_t regions = contents.manifest.layout.region_count();
  constexpr std::size_t kMaxEdge = 1 << 14;
  const bool fits =
      shape.size() == 4 && shape[0] == 2 && shape[1] == regions && shape[2] <= kMaxEdge && shape[3] <= kMaxEdge;
  if (!fits) {
    return corrupt(name + ": expected shape (2, " + std::to_string(regions) + ", height, width), got " +
                   shape_text(shape));
  }
  const MapSize size{static_cast<int>(shape[2]), static_cast<int>(shape[3])};
  contents.location_memory.push_back({component, size, std::move(array).value().values});
  return {};
}

Status read_locations(const FileBytes& bytes, BundleContents& contents) {
  for (const OfferedComponent& component : contents.manifest.components) {
    if (!component.per_location) continue;
    if (Status status = read_location(bytes, component.name, contents); !status.ok()) return status;
  }
  for (const BundleContents::LocationMemory& memory : contents.location_memory) {
    const std::span<const float> values = memory.values;
    const std::size_t half = values.size() / 2;
    contents.locations.push_back({memory.component, memory.size, values.first(half), values.subspan(half)});
  }
  return {};
}

Status read_locator(const FileBytes& bytes, BundleContents& contents) {
  const Manifest& manifest = contents.manifest;
  if (!manifest.locate.has_value()) return {};
  Result<LocatorMemory> locator = read_locator(bytes, manifest.files, *manifest.locate);
  if (!locator.ok()) return locator.status();
  contents.locator = std::move(locator).value();
  return {};
}

std::vector<std::size_t> positions_of(const std::vector<std::string>& names,
                                      const std::vector<OfferedComponent>& offered) {
  std::vector<std::size_t> positions;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(offered.begin(), offered.end(), [&](const auto& each) { return each.name == name; });
    positions.push_back(static_cast<std::size_t>(found - offered.begin()));
  }
  return positions;
}

// The score's definition, and that the golden scores are what it makes of the golden components.
Status check_score(BundleContents& contents) {
  constexpr double kRounding = 1e-6;  // of float32, relative
  const std::string path = std::string(kManifestName) + ": score";
  const Result<Score> score =
      score_from_json_value(contents.manifest.score, path, contents.score_inputs(), contents.locations);
  if (!score.ok()) return corrupt(score.status().message());
  contents.components = score.value().components();
  contents.deciding = positions_of(contents.components, contents.manifest.components);
  for (std::size_t i = 0; i < contents.golden.scores.size(); ++i) {
    const std::vector<float> components = contents.golden_components(i);
    const float expected = score.value().combine(components, i / contents.golden.count_per_region);
    const float came = contents.golden.scores[i];
    if (std::abs(came - expected) <= kRounding * std::max(1.0F, std::abs(expected))) continue;
    return corrupt(contents.manifest.files.at(kGoldenScoresRole).name + ": expected " + std::to_string(expected) +
                   " as the golden components give, got " + std::to_string(came) + " at index " + std::to_string(i) +
                   "; freeze and calibrate the bundle again");
  }
  return {};
}

Status read_files(const BundleFolder& folder, BundleContents& contents) {
  const Result<OpenFiles> files = open_all(folder, contents.manifest);
  if (!files.ok()) return files.status();
  FileBytes bytes;
  for (const auto& [role, file] : files.value()) {
    Status status = take(read_verified(file, contents.manifest.files.at(role)), bytes[role]);
    if (!status.ok()) return status;
  }
  contents.model = std::move(bytes.at(kModelRole));
  contents.fingerprints = std::move(bytes.at(kFingerprintsRole));
  if (Status status = read_golden(bytes, contents); !status.ok()) return status;
  view_golden(contents);
  if (Status status = read_locations(bytes, contents); !status.ok()) return status;
  if (Status status = read_locator(bytes, contents); !status.ok()) return status;
  return check_score(contents);
}

Status read_manifest(const BundleFolder& folder, BundleContents& contents) {
  const Result<std::vector<std::byte>> bytes = read_file(folder, kManifestName, kMaxManifestSize);
  if (!bytes.ok()) return bytes.status();
  Status status = take(check_manifest_digest(folder, bytes.value()), contents.sha256);
  if (!status.ok()) return status;
  contents.manifest_json = std::string(text_of(bytes.value()));
  return take(parse_manifest(contents.manifest_json), contents.manifest);
}

}  // namespace

Status read_contents(const std::filesystem::path& path, BundleContents& contents) {
  contents.path = path;
  const Result<BundleFolder> folder = BundleFolder::open(path);
  if (!folder.ok()) return folder.status();
  if (Status status = read_manifest(folder.value(), contents); !status.ok()) return status;
  if (Status status = folder.value().check_contents(names_of(contents.manifest)); !status.ok()) return status;
  return read_files(folder.value(), contents);
}

ScoreInputs BundleContents::score_inputs() const {
  return {manifest.outputs, manifest.layout.patch_size, manifest.layout.region_count()};
}

std::vector<float> BundleContents::golden_components(std::size_t patch) const {
  const std::size_t first = patch * manifest.components.size();
  std::vector<float> values;
  if (patch >= golden.scores.size()) return values;
  for (const std::size_t position : deciding) values.push_back(golden.components[first + position]);
  return values;
}

double BundleContents::sensitivity(const std::string& component, std::size_t region) const {
  const auto is_of = [&](const LocationArrays& each) { return each.component == component; };
  const auto found = std::find_if(locations.begin(), locations.end(), is_of);
  if (found == locations.end()) return 1.0;
  const std::size_t pixels = found->size.pixels();
  const std::span<const float> spread = found->spread.subspan(region * pixels, pixels);
  const auto least = static_cast<double>(*std::min_element(spread.begin(), spread.end()));
  return 1.0 / std::max(least, kSmallestSpread);
}

std::vector<double> BundleContents::golden_scales(std::size_t patch) const {
  const std::vector<float> expected = golden_components(patch);
  std::vector<double> scales;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    const double own = std::max(1.0, std::abs(static_cast<double>(expected[k])));
    scales.push_back(std::max(own, sensitivity(components[k], patch / golden.count_per_region)));
  }
  return scales;
}

}  // namespace vialsight
