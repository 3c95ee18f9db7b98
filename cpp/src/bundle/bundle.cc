#include "vialsight/bundle.h"

#include <cmath>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "base/messages.h"
#include "base/npy.h"
#include "base/sha256.h"
#include "bundle/bundle_access.h"
#include "bundle/bundle_files.h"
#include "bundle/bundle_manifest.h"

namespace vialsight {

struct Bundle::Contents {
  std::filesystem::path path;
  Manifest manifest;
  std::string manifest_json;
  std::string sha256;
  std::vector<std::byte> model;
  std::vector<std::byte> fingerprints;
  std::vector<float> golden_inputs;
  std::vector<float> golden_reconstructions;
  std::vector<float> golden_scores;
  GoldenPatches golden;  // views of the three arrays above
};

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
                 ": expected one line \"<64 hexadecimal digits>  manifest.json\", got " + in_quotes(text));
}

// All files opened and their sizes compared before a byte of them is read or hashed.
Result<std::vector<OpenFile>> open_all(const BundleFolder& folder, const Manifest& manifest) {
  std::vector<OpenFile> files;
  for (const FileEntry& entry : manifest.files) {
    Result<OpenFile> file = folder.open_file(entry.name);
    if (!file.ok()) return file.status();
    if (file.value().size != entry.size) {
      return corrupt(entry.name + ": expected " + std::to_string(entry.size) + " bytes, got " +
                     std::to_string(file.value().size) + "; copy or freeze the bundle again");
    }
    files.push_back(std::move(file).value());
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

std::string text_of(const std::vector<std::size_t>& shape) {
  std::string text = "(";
  for (const std::size_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + ")";
}

Result<std::vector<float>> parse_golden(const std::vector<std::byte>& bytes, const std::string& name,
                                        const std::vector<std::size_t>& shape) {
  Result<NpyArray> array = parse_npy_f32(bytes, name);
  if (!array.ok()) return array.status();
  if (array.value().shape != shape) {
    return corrupt(name + ": expected shape " + text_of(shape) + ", got " + text_of(array.value().shape));
  }
  for (std::size_t i = 0; i < array.value().values.size(); ++i) {
    if (std::isfinite(array.value().values[i])) continue;
    return corrupt(name + ": expected finite values, got " + std::to_string(array.value().values[i]) + " at index " +
                   std::to_string(i));
  }
  return std::move(array).value().values;
}

// Assigns the value of `result` to `target`, or returns what is wrong.
template <typename T>
Status take(Result<T> result, T& target) {
  if (!result.ok()) return result.status();
  target = std::move(result).value();
  return {};
}

}  // namespace

// Reads what the manifest names into a Contents.
struct BundleAccess::Loader {
  static Status read_arrays(const std::array<std::vector<std::byte>, 5>& bytes, Bundle::Contents& contents) {
    const Manifest& manifest = contents.manifest;
    const auto edge = static_cast<std::size_t>(manifest.layout.patch_size);
    const std::vector<std::size_t> flat = {manifest.layout.region_count(), manifest.golden_per_region};
    const std::vector<std::size_t> full = {flat[0], flat[1], edge, edge};
    Status status = take(parse_golden(bytes[1], kGoldenInputsName, full), contents.golden_inputs);
    if (!status.ok()) return status;
    status = take(parse_golden(bytes[2], kGoldenReconstructionsName, full), contents.golden_reconstructions);
    if (!status.ok()) return status;
    status = take(parse_golden(bytes[3], kGoldenScoresName, flat), contents.golden_scores);
    contents.golden = {manifest.golden_per_region, contents.golden_inputs, contents.golden_reconstructions,
                       contents.golden_scores, manifest.tolerance};
    return status;
  }

  static Status read_files(const BundleFolder& folder, Bundle::Contents& contents) {
    const Result<std::vector<OpenFile>> files = open_all(folder, contents.manifest);
    if (!files.ok()) return files.status();
    std::array<std::vector<std::byte>, 5> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      Status status = take(read_verified(files.value()[i], contents.manifest.files[i]), bytes[i]);
      if (!status.ok()) return status;
    }
    contents.model = std::move(bytes[0]);
    contents.fingerprints = std::move(bytes[4]);
    return read_arrays(bytes, contents);
  }

  static Status read_manifest(const BundleFolder& folder, Bundle::Contents& contents) {
    const Result<std::vector<std::byte>> bytes = read_file(folder, kManifestName, kMaxManifestSize);
    if (!bytes.ok()) return bytes.status();
    Status status = take(check_manifest_digest(folder, bytes.value()), contents.sha256);
    if (!status.ok()) return status;
    contents.manifest_json = std::string(text_of(bytes.value()));
    return take(parse_manifest(contents.manifest_json), contents.manifest);
  }

  static Status read(const std::filesystem::path& path, Bundle::Contents& contents) {
    contents.path = path;
    const Result<BundleFolder> folder = BundleFolder::open(path);
    if (!folder.ok()) return folder.status();
    Status status = read_manifest(folder.value(), contents);
    return status.ok() ? read_files(folder.value(), contents) : status;
  }
};

Bundle BundleAccess::empty() { return Bundle(std::make_shared<const Bundle::Contents>()); }

Result<Bundle> Bundle::load(const std::filesystem::path& folder) {
  try {
    auto contents = std::make_shared<Contents>();
    Status status = BundleAccess::Loader::read(folder, *contents);
    if (!status.ok()) return Status(status.code(), "bundle " + folder.string() + ": " + status.message());
    return Bundle(std::move(contents));
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "bundle: not enough memory to load it");
  }
}

Bundle::Bundle(std::shared_ptr<const Contents> contents) noexcept : contents_(std::move(contents)) {}

const std::filesystem::path& Bundle::path() const noexcept { return contents_->path; }
const std::string& Bundle::name() const noexcept { return contents_->manifest.name; }
const Layout& Bundle::layout() const noexcept { return contents_->manifest.layout; }
const std::string& Bundle::manifest_json() const noexcept { return contents_->manifest_json; }
const std::string& Bundle::sha256() const noexcept { return contents_->sha256; }
const std::string& Bundle::input_name() const noexcept { return contents_->manifest.input_name; }
const std::string& Bundle::output_name() const noexcept { return contents_->manifest.output_name; }
std::span<const std::byte> Bundle::model() const noexcept { return contents_->model; }
std::span<const std::byte> Bundle::fingerprints() const noexcept { return contents_->fingerprints; }
const GoldenPatches& Bundle::golden() const noexcept { return contents_->golden; }

std::span<const double> Bundle::thresholds(Level level) const noexcept {
  const auto index = static_cast<std::size_t>(level);
  if (index >= contents_->manifest.thresholds.size()) return {};
  return contents_->manifest.thresholds[index];
}

std::optional<HeatmapScale> Bundle::heatmap_scale(std::size_t region) const noexcept {
  if (region >= contents_->manifest.heatmap.size()) return std::nullopt;
  return contents_->manifest.heatmap[region];
}

}  // namespace vialsight
