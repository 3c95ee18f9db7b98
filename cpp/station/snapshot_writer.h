// SnapshotWriter: shows signals, counters and the last strips to whoever maps /dev/shm/vialsight-NAME.
//
// Readers are never waited for: each block has a sequence lock (snapshot_layout.h). The file has all its pages from the
// start on, so that a full /dev/shm is an error of create() and not a SIGBUS on the line. Another station of the same
// name is kept out by a lock on the file.
//
// Threads: one, except that any thread and process may read the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "station/file_descriptor.h"
#include "station/shared_words.h"
#include "station/snapshot_layout.h"
#include "station/strip_entry.h"
#include "vialsight/bundle.h"
#include "vialsight/status.h"

namespace vialsight::station {

class SnapshotWriter {
 public:
  // `path` is where readers look; before, it is written beside, as PATH.new. kResourceExhausted: no room;
  // kFailedPrecondition: another station writes there; kPermissionDenied: the folder.
  [[nodiscard]] static Result<std::unique_ptr<SnapshotWriter>> create(const std::string& path, const Bundle& bundle);
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;
  ~SnapshotWriter();  // takes the file away

  // Lock and counts of blocks are this object's own; all else is shown as it stands in `status`.
  void write_status(const StatusBlock& status) noexcept;
  void write_strip(std::uint64_t seq, std::int64_t unix_ns, const StripEntry& entry) noexcept;

  // Pictures in steps, so that a trigger can be answered between them: begin, frames, maps, end. Readers see none of it
  // before end_pictures().
  void begin_pictures(std::uint64_t seq, std::uint64_t strip_id) noexcept;
  void begin_live(std::uint64_t seq, std::uint64_t strip_id) noexcept;
  void write_frame(int index, const FrameView& view) noexcept;
  void write_map(const MapHead& head, const std::uint8_t* pixels) noexcept;
  void end_pictures() noexcept;

 private:
  // The block that is being written.
  struct OpenBlock {
    explicit OpenBlock(std::byte* block) noexcept : lock(block), head() {}
    SequenceLock lock;
    PictureBlockHead head;
    std::uint64_t* written = nullptr;  // the count it adds to
  };
  SnapshotWriter(std::string path, const Layout& layout, FileDescriptor file, std::byte* memory);
  [[nodiscard]] std::byte* block_of(std::size_t offset, std::size_t size, std::uint64_t slot) noexcept;
  void begin(std::byte* block, std::uint64_t& written, std::uint64_t seq, std::uint64_t strip_id) noexcept;

  std::string path_;
  SnapshotPlan plan_;
  std::uint32_t frames_, height_;
  std::size_t row_bytes_, map_bytes_, vials_, regions_, patches_;
  FileDescriptor file_;  // keeps others of the name out
  std::byte* memory_;
  std::byte* block_ = nullptr;  // of open_
  std::optional<OpenBlock> open_;
  std::uint64_t strips_ = 0, pictures_ = 0, live_ = 0;  // written
};

}  // namespace vialsight::station
