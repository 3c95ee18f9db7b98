// SpoolFolder: the segments of a spool on the disk. What a crash cut short is taken off when it is opened.
//
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "station/file_descriptor.h"
#include "vialsight/status.h"

namespace vialsight::station {

// Where sealed entries go; a test's own may stand still.
class SpoolDisk {
 public:
  SpoolDisk() = default;
  SpoolDisk(const SpoolDisk&) = delete;
  SpoolDisk& operator=(const SpoolDisk&) = delete;
  virtual ~SpoolDisk() = default;

  // Writes one whole entry behind the others, or nothing of it: then the same one is tried again.
  [[nodiscard]] virtual Status append(std::uint64_t seq, std::span<const std::byte> entry) = 0;
  // Returns once what was appended outlives a power cut.
  [[nodiscard]] virtual Status sync() = 0;
};

class SpoolFolder final : public SpoolDisk {
 public:
  static constexpr std::uint64_t kSegmentBytes = std::uint64_t{64} << 20U;  // after which another one begins

  // Makes the folder where there is none. What follows the last whole entry of the last segment is cut off.
  // kNotFound, kPermissionDenied, kResourceExhausted; kDataCorrupt: a segment of another program.
  [[nodiscard]] static Result<std::unique_ptr<SpoolFolder>> open(const std::filesystem::path& folder);

  // Of the first entry to be appended; 1 in an empty folder.
  [[nodiscard]] std::uint64_t next_seq() const noexcept { return next_seq_; }
  [[nodiscard]] std::uint64_t bytes_cut_off() const noexcept { return bytes_cut_off_; }

  [[nodiscard]] Status append(std::uint64_t seq, std::span<const std::byte> entry) override;
  [[nodiscard]] Status sync() override;

 private:
  explicit SpoolFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  [[nodiscard]] Status recover();
  [[nodiscard]] Status recover_segment(const std::filesystem::path& path);
  [[nodiscard]] Status begin_segment(std::uint64_t first_seq);
  [[nodiscard]] Status sync_folder() const;

  std::filesystem::path folder_;
  FileDescriptor segment_;  // none before the first entry: each start begins another
  std::uint64_t segment_bytes_ = 0;
  std::uint64_t next_seq_ = 1;
  std::uint64_t bytes_cut_off_ = 0;
};

}  // namespace vialsight::station
