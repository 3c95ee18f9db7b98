// The files of a bundle folder, each opened once and never through a symbolic link.
//
// What is checked is what is used: sizes and digests are taken from the open file, not from its name, so that nobody
// can swap a file between the check and the reading. The path of the folder itself may lead through symbolic links.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_descriptor.h"
#include "vialsight/status.h"

namespace vialsight {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kManifestDigestName = "manifest.json.sha256";

// One file as the manifest names it.
struct FileEntry {
  std::string name;        // is_bundle_file_name
  std::string sha256;      // 64 lower-case hexadecimal digits
  std::uint64_t size = 0;  // bytes
};

// A file of a bundle as a manifest may name it: NAME or FOLDER/NAME of letters, digits, '.', '_' and '-', no part
// beginning with a dot, other than the manifest and its digest.
[[nodiscard]] bool is_bundle_file_name(std::string_view name) noexcept;

// A regular file, open for its one reading.
struct OpenFile {
  FileDescriptor descriptor;
  std::string name;
  std::uint64_t size = 0;  // bytes
};

class BundleFolder {
 public:
  // kNotFound: no such folder; kDataCorrupt: a file in its place.
  [[nodiscard]] static Result<BundleFolder> open(const std::filesystem::path& path);
  // kDataCorrupt: the folder holds a file that is neither the manifest, nor its digest, nor one of `names`; a symbolic
  // link; or something that is neither file nor folder.
  [[nodiscard]] Status check_contents(const std::vector<std::string>& names) const;
  // `name`: one of the constants above, or a name that is_bundle_file_name. kNotFound: missing; kDataCorrupt: no
  // regular file.
  [[nodiscard]] Result<OpenFile> open_file(const std::string& name) const;

 private:
  explicit BundleFolder(FileDescriptor root) noexcept : root_(std::move(root)) {}

  FileDescriptor root_;
};

// All `file.size` bytes; kDataCorrupt when the file has grown or shrunk since it was opened.
[[nodiscard]] Result<std::vector<std::byte>> read_all(const OpenFile& file);

}  // namespace vialsight
