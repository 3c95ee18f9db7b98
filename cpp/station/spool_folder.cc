#include "station/spool_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "station/crc32.h"
#include "station/spool_format.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 20;
constexpr std::uint64_t kMaxPayload = std::uint64_t{1} << 34U;

// The number that a segment's name is; nothing where it is no segment.
std::uint64_t seq_of_name(const fs::path& path) {
  const std::string name = path.filename().string();
  std::uint64_t seq = 0;
  if (name.size() != kDigits + 4 || !name.ends_with(".vss")) return 0;
  const auto end = std::from_chars(name.data(), name.data() + kDigits, seq);
  return end.ec == std::errc() && end.ptr == name.data() + kDigits ? seq : 0;
}

// Fewer bytes at the end of the file, or where it cannot be read.
std::size_t read_at(int file, std::uint64_t offset, std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Status write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error("spool: cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

struct Extent {
  std::uint64_t bytes = 0;     // of the segment's header and all whole entries
  std::uint64_t next_seq = 0;  // 0: not even the header is whole
};

bool payload_is_whole(int file, std::uint64_t offset, const EntryHeader& header) {
  constexpr std::size_t kStep = std::size_t{1} << 20U;
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(header.payload_bytes, kStep)));
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < header.payload_bytes;) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(kStep, header.payload_bytes - done));
    const std::span<std::byte> part = std::span(bytes).first(step);
    if (read_at(file, offset + done, part) != step) return false;
    crc = crc32(part, crc);
    done += step;
  }
  return crc == header.payload_crc;
}

Extent measure(int file) {
  std::array<std::byte, kSegmentHeaderBytes> first{};
  if (read_at(file, 0, first) != first.size()) return {};
  Extent extent{kSegmentHeaderBytes, read_segment_header(first)};
  if (extent.next_seq == 0) return {};
  for (;;) {
    std::array<std::byte, kEntryHeaderBytes> bytes{};
    EntryHeader header;
    if (read_at(file, extent.bytes, bytes) != bytes.size() || !read_entry_header(bytes, header)) return extent;
    if (header.seq != extent.next_seq || header.payload_bytes > kMaxPayload) return extent;
    if (!payload_is_whole(file, extent.bytes + kEntryHeaderBytes, header)) return extent;
    extent.bytes += kEntryHeaderBytes + header.payload_bytes;
    ++extent.next_seq;
  }
}

std::int64_t unix_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

Result<std::unique_ptr<SpoolFolder>> SpoolFolder::open(const fs::path& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return system_error("spool: cannot make the folder '" + folder.string() + "'", errno);
  }
  std::unique_ptr<SpoolFolder> spool(new SpoolFolder(folder));
  if (Status status = spool->recover(); !status.ok()) return status;
  return spool;
}

Status SpoolFolder::recover() {
  std::error_code error;
  fs::path last;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (seq_of_name(entry.path()) > seq_of_name(last)) last = entry.path();
  }
  if (error) return system_error("spool: cannot read the folder '" + folder_.string() + "'", error.value());
  return last.empty() ? Status() : recover_segment(last);
}

Status SpoolFolder::recover_segment(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat about = {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0) {
    return system_error("spool: cannot open '" + path.string() + "'", errno);
  }
  const auto size = static_cast<std::uint64_t>(about.st_size);
  const Extent extent = measure(file.get());
  next_seq_ = extent.next_seq == 0 ? seq_of_name(path) : extent.next_seq;
  bytes_cut_off_ = size - extent.bytes;
  if (extent.next_seq == 0) {  // cut short while it was begun: no entry was in it
    if (size > kSegmentHeaderBytes) {
      return {Code::kDataCorrupt, "spool: expected a segment in '" + path.string() +
                                      "', its header is another; move it away and keep it for whoever asks"};
    }
    return ::unlink(path.c_str()) == 0 ? sync_folder()
                                       : system_error("spool: cannot remove '" + path.string() + "'", errno);
  }
  if (bytes_cut_off_ == 0) return {};
  const bool cut = ::ftruncate(file.get(), static_cast<off_t>(extent.bytes)) == 0 && ::fsync(file.get()) == 0;
  return cut ? Status() : system_error("spool: cannot cut '" + path.string() + "'", errno);
}

Status SpoolFolder::begin_segment(std::uint64_t first_seq) {
  if (Status status = sync(); !status.ok()) return status;  // of the segment before
  const fs::path path = folder_ / segment_name(first_seq);
  // One without an entry may lie there: of a start that recorded nothing, or of an attempt that failed.
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return system_error("spool: cannot make '" + path.string() + "'", errno);
  if (Status status = write_all(file.get(), make_segment_header(first_seq, unix_now_ns())); !status.ok()) return status;
  if (Status status = sync_folder(); !status.ok()) return status;
  segment_ = std::move(file);
  segment_bytes_ = kSegmentHeaderBytes;
  return {};
}

Status SpoolFolder::sync_folder() const {
  const FileDescriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool synced = folder.valid() && ::fsync(folder.get()) == 0;
  return synced ? Status() : system_error("spool: cannot sync the folder '" + folder_.string() + "'", errno);
}

Status SpoolFolder::append(std::uint64_t seq, std::span<const std::byte> entry) {
  if (!segment_.valid() || segment_bytes_ >= kSegmentBytes) {
    if (Status status = begin_segment(seq); !status.ok()) return status;
  }
  Status status = write_all(segment_.get(), entry);
  if (status.ok()) {
    segment_bytes_ += entry.size();
    next_seq_ = seq + 1;
    return {};
  }
  // What was written of it goes away again; where it does not, the segment ends here.
  const bool undone = ::ftruncate(segment_.get(), static_cast<off_t>(segment_bytes_)) == 0 &&
                      ::lseek(segment_.get(), static_cast<off_t>(segment_bytes_), SEEK_SET) >= 0;
  if (!undone) segment_.reset();
  return status;
}

Status SpoolFolder::sync() {
  if (!segment_.valid() || ::fdatasync(segment_.get()) == 0) return {};
  return system_error("spool: cannot sync", errno);
}

}  // namespace vialsight::station
