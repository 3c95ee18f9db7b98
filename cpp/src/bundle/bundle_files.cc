#include "bundle/bundle_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include "base/messages.h"

namespace vialsight {
namespace {

// O_NONBLOCK: opening a FIFO that somebody put in the place of a file must not hang.
constexpr int kFileFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
constexpr int kFolderFlags = O_RDONLY | O_CLOEXEC | O_DIRECTORY;
constexpr std::string_view kGoldenFolder = "golden";
constexpr std::string_view kGoldenPrefix = "golden/";

std::string reason_of(int error) { return std::generic_category().message(error); }

Status open_error(const std::string& name, int error) {
  if (error == ENOENT) return {Code::kNotFound, name + ": missing; copy or freeze the bundle again"};
  if (error == ELOOP) {
    return corrupt(name + ": expected a regular file, got a symbolic link; copy the file itself into the bundle");
  }
  if (error == ENOTDIR) return corrupt(name + ": expected a folder, got something else");
  return {Code::kNotFound, name + ": cannot be opened: " + reason_of(error)};
}

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using FolderStream = std::unique_ptr<DIR, CloseFolder>;

// A stream of its own descriptor, since closedir closes what it was given.
FolderStream stream_of(const FileDescriptor& folder) {
  const int descriptor = ::openat(folder.get(), ".", kFolderFlags);
  if (descriptor < 0) return nullptr;
  FolderStream stream(::fdopendir(descriptor));
  if (stream == nullptr) ::close(descriptor);
  return stream;
}

Status check_entry(const FileDescriptor& folder, const std::string& prefix, const std::string& entry,
                   std::span<const std::string_view> expected) {
  const std::string shown = prefix + printable(entry);
  struct stat information = {};
  if (::fstatat(folder.get(), entry.c_str(), &information, AT_SYMLINK_NOFOLLOW) != 0) {
    return corrupt(shown + ": cannot be examined: " + reason_of(errno));
  }
  if (S_ISLNK(information.st_mode)) {
    return corrupt(shown + ": expected a regular file, got a symbolic link; copy the file itself into the bundle");
  }
  if (std::find(expected.begin(), expected.end(), entry) == expected.end()) {
    return corrupt(shown + ": not a file of a bundle; remove it");
  }
  const bool is_folder = prefix.empty() && entry == kGoldenFolder;
  if (is_folder ? S_ISDIR(information.st_mode) : S_ISREG(information.st_mode)) return {};
  return corrupt(shown + ": expected a " + (is_folder ? "folder" : "regular file") + ", got something else");
}

Status check_entries(const FileDescriptor& folder, const std::string& prefix,
                     std::span<const std::string_view> expected) {
  const FolderStream stream = stream_of(folder);
  if (stream == nullptr) return {Code::kNotFound, prefix + ".: cannot be listed: " + reason_of(errno)};
  while (const dirent* entry = ::readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe): the stream is ours alone
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (Status status = check_entry(folder, prefix, name, expected); !status.ok()) return status;
  }
  return {};
}

Status check_root(const FileDescriptor& root) {
  static constexpr std::array<std::string_view, 5> kExpected = {kManifestName, kManifestDigestName, kModelName,
                                                                kFingerprintsName, kGoldenFolder};
  return check_entries(root, "", kExpected);
}

Status check_golden(const FileDescriptor& golden) {
  static constexpr std::array<std::string_view, 3> kExpected = {"inputs.npy", "reconstructions.npy", "scores.npy"};
  return check_entries(golden, std::string(kGoldenPrefix), kExpected);
}

}  // namespace

Result<BundleFolder> BundleFolder::open(const std::filesystem::path& path) {
  FileDescriptor root(::open(path.c_str(), kFolderFlags));
  if (!root.valid() && errno == ENOTDIR) return corrupt("expected a bundle folder, got a file");
  if (!root.valid()) return Status(Code::kNotFound, "no bundle folder here: " + reason_of(errno));
  if (Status status = check_root(root); !status.ok()) return status;

  FileDescriptor golden(::openat(root.get(), "golden", kFolderFlags | O_NOFOLLOW));
  if (!golden.valid()) return open_error("golden", errno);
  if (Status status = check_golden(golden); !status.ok()) return status;
  return BundleFolder(std::move(root), std::move(golden));
}

Result<OpenFile> BundleFolder::open_file(const std::string& name) const {
  const bool in_golden = name.starts_with(kGoldenPrefix);
  const std::string leaf = in_golden ? name.substr(kGoldenPrefix.size()) : name;
  OpenFile file{FileDescriptor(::openat((in_golden ? golden_ : root_).get(), leaf.c_str(), kFileFlags)), name, 0};
  if (!file.descriptor.valid()) return open_error(name, errno);
  struct stat information = {};
  if (::fstat(file.descriptor.get(), &information) != 0) return open_error(name, errno);
  if (!S_ISREG(information.st_mode)) return corrupt(name + ": expected a regular file, got something else");
  file.size = static_cast<std::uint64_t>(information.st_size);
  return file;
}

Result<std::vector<std::byte>> read_all(const OpenFile& file) {
  std::vector<std::byte> bytes(file.size);
  std::size_t done = 0;
  // One byte more than the file has: a file that grew is noticed, too.
  std::byte beyond{};
  while (true) {
    const bool filled = done == bytes.size();
    const ssize_t count = ::read(file.descriptor.get(), filled ? &beyond : bytes.data() + done,
                                 filled ? std::size_t{1} : bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return corrupt(file.name + ": cannot be read: " + reason_of(errno));
    if (filled && count == 0) return bytes;
    if (filled || count == 0) return corrupt(file.name + ": changed while it was read; load the bundle again");
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace vialsight
