#include "bundle/bundle_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>

#include "base/messages.h"

namespace vialsight {
namespace {

// O_NONBLOCK: opening a FIFO that somebody put in the place of a file must not hang.
constexpr int kFileFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
constexpr int kFolderFlags = O_RDONLY | O_CLOEXEC | O_DIRECTORY;

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

// A bundle's names, and the folders that they lie in.
struct Names {
  std::set<std::string, std::less<>> files;
  std::set<std::string, std::less<>> folders;
};

Names names_of(const std::vector<std::string>& files) {
  Names names{{files.begin(), files.end()}, {}};
  names.files.insert({kManifestName, kManifestDigestName});
  for (const std::string& file : files) {
    if (const std::size_t slash = file.find('/'); slash != std::string::npos)
      names.folders.insert(file.substr(0, slash));
  }
  return names;
}

Status check_entry(const FileDescriptor& folder, const std::string& prefix, const std::string& entry,
                   const Names& names) {
  const std::string shown = prefix + printable(entry);
  struct stat information = {};
  if (::fstatat(folder.get(), entry.c_str(), &information, AT_SYMLINK_NOFOLLOW) != 0) {
    return corrupt(shown + ": cannot be examined: " + reason_of(errno));
  }
  if (S_ISLNK(information.st_mode)) {
    return corrupt(shown + ": expected a regular file, got a symbolic link; copy the file itself into the bundle");
  }
  const bool is_folder = prefix.empty() && names.folders.contains(entry);
  if (!is_folder && !names.files.contains(prefix + entry)) {
    return corrupt(shown + ": not a file of this bundle; remove it");
  }
  if (is_folder ? S_ISDIR(information.st_mode) : S_ISREG(information.st_mode)) return {};
  return corrupt(shown + ": expected a " + (is_folder ? "folder" : "regular file") + ", got something else");
}

Status check_entries(const FileDescriptor& folder, const std::string& prefix, const Names& names) {
  const FolderStream stream = stream_of(folder);
  if (stream == nullptr) return {Code::kNotFound, prefix + ".: cannot be listed: " + reason_of(errno)};
  while (const dirent* entry = ::readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe): the stream is ours alone
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (Status status = check_entry(folder, prefix, name, names); !status.ok()) return status;
  }
  return {};
}

// Letters, digits, '.', '_' and '-', none of them a dot in front.
bool is_part(std::string_view text) noexcept {
  constexpr std::size_t kLongest = 128;
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !text.empty() && text.size() <= kLongest && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

}  // namespace

bool is_bundle_file_name(std::string_view name) noexcept {
  if (name == kManifestName || name == kManifestDigestName) return false;
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return is_part(name);
  return is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

Result<BundleFolder> BundleFolder::open(const std::filesystem::path& path) {
  FileDescriptor root(::open(path.c_str(), kFolderFlags));
  if (root.valid()) return BundleFolder(std::move(root));
  if (errno == ENOTDIR) return corrupt("expected a bundle folder, got a file");
  return Status(Code::kNotFound, "no bundle folder here: " + reason_of(errno));
}

Status BundleFolder::check_contents(const std::vector<std::string>& names) const {
  const Names known = names_of(names);
  if (Status status = check_entries(root_, "", known); !status.ok()) return status;
  for (const std::string& name : known.folders) {
    const FileDescriptor folder(::openat(root_.get(), name.c_str(), kFolderFlags | O_NOFOLLOW));
    if (!folder.valid()) return open_error(name, errno);
    if (Status status = check_entries(folder, name + "/", known); !status.ok()) return status;
  }
  return {};
}

Result<OpenFile> BundleFolder::open_file(const std::string& name) const {
  const std::size_t slash = name.find('/');
  FileDescriptor folder;
  if (slash != std::string::npos) {
    const std::string folder_name = name.substr(0, slash);
    folder = FileDescriptor(::openat(root_.get(), folder_name.c_str(), kFolderFlags | O_NOFOLLOW));
    if (!folder.valid()) return open_error(folder_name, errno);
  }
  const std::string leaf = slash == std::string::npos ? name : name.substr(slash + 1);
  OpenFile file{FileDescriptor(::openat((folder.valid() ? folder : root_).get(), leaf.c_str(), kFileFlags)), name, 0};
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
