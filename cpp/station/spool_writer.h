// SpoolWriter: the thread that takes finished strips off the ring and writes them to the disk.
//
// However long the disk takes, nobody waits for it: the ring fills, and the control thread sees how far. An entry that
// cannot be written is tried again until it can, so that no sequence number is left out. The thread runs as SCHED_OTHER
// at low priority, whatever the thread that starts it has.
//
// Threads: start and stop by one; the rest by any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "station/file_descriptor.h"
#include "station/spool_folder.h"
#include "station/spool_ring.h"

namespace vialsight::station {

struct SpoolWriterStart {
  std::uint64_t last_seq = 0;  // that is on the disk already
  std::size_t most_bytes = 0;  // of the largest entry, which is allocated at once
};

class SpoolWriter {
 public:
  // Borrows all three, which outlive it.
  SpoolWriter(SpoolRing& ring, PicturePool& pool, SpoolDisk& disk, const SpoolWriterStart& start);
  SpoolWriter(const SpoolWriter&) = delete;
  SpoolWriter& operator=(const SpoolWriter&) = delete;
  ~SpoolWriter();  // as stop(), without patience

  [[nodiscard]] Status start();
  // Something was pushed. Never waits.
  void wake() noexcept;
  // Ends the thread once the ring is empty, or after `patience`, whichever comes first; an entry that is being written
  // is finished. Returns whether all was written.
  bool stop(std::chrono::milliseconds patience);

  [[nodiscard]] std::uint64_t spooled_seq() const noexcept { return spooled_seq_; }  // on the disk
  [[nodiscard]] bool failing() const noexcept { return failing_; }                   // the disk refuses what waits

 private:
  void run();
  void drain();
  [[nodiscard]] bool write(const SpoolItem& item);
  [[nodiscard]] bool append(std::uint64_t seq);
  [[nodiscard]] bool succeeded(const Status& status);
  [[nodiscard]] bool must_end() const noexcept {
    return stopping_ && std::chrono::steady_clock::now() >= give_up_.load();
  }
  void pause(std::chrono::milliseconds time) const noexcept;

  SpoolRing& ring_;
  PicturePool& pool_;
  SpoolDisk& disk_;
  std::string entry_;
  FileDescriptor wake_;
  std::uint64_t appended_;  // the thread's: given to the disk, not yet proof against a power cut
  std::atomic<std::uint64_t> spooled_seq_;
  std::atomic<bool> failing_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::chrono::steady_clock::time_point> give_up_ = std::chrono::steady_clock::time_point();
  std::thread thread_;
};

}  // namespace vialsight::station
