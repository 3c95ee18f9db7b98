// The files of a bundle folder, each opened once and never through a symbolic link.
//
// What is checked is what is used: sizes and digests are taken from the open file, not from its name, so that nobody
// can swap a file between the check and the reading. The path of the folder itself may lead through symbolic links.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "vialsight/status.h"

namespace vialsight {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kManifestDigestName = "manifest.json.sha256";
inline constexpr const char* kModelName = "model.pb";
inline constexpr const char* kFingerprintsName = "fingerprints.npz";
inline constexpr const char* kGoldenInputsName = "golden/inputs.npy";
inline constexpr const char* kGoldenReconstructionsName = "golden/reconstructions.npy";
inline constexpr const char* kGoldenScoresName = "golden/scores.npy";

// A regular file, open for its one reading.
struct OpenFile {
  FileDescriptor descriptor;
  std::string name;
  std::uint64_t size = 0;  // bytes
};

class BundleFolder {
 public:
  // kNotFound: no such folder, or one of its files is missing; kDataCorrupt: it holds a file that a bundle does not
  // have, a symbolic link, or something that is neither file nor folder.
  [[nodiscard]] static Result<BundleFolder> open(const std::filesystem::path& path);
  // `name` is one of the constants above.
  [[nodiscard]] Result<OpenFile> open_file(const std::string& name) const;

 private:
  BundleFolder(FileDescriptor root, FileDescriptor golden) noexcept
      : root_(std::move(root)), golden_(std::move(golden)) {}

  FileDescriptor root_;
  FileDescriptor golden_;
};

// All `file.size` bytes; kDataCorrupt when the file has grown or shrunk since it was opened.
[[nodiscard]] Result<std::vector<std::byte>> read_all(const OpenFile& file);

}  // namespace vialsight
