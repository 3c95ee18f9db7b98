// PictureTaker: what is done with a strip's pixels after its verdict, in steps of a few milliseconds each, so that a
// trigger that comes meanwhile waits for one step at most.
//
//   idle ── begin ──► frames ──► maps ──► ready ── show ──► shown, live ──► idle
//
// frames: copied for the record. maps: of patches above threshold, highest excess first. ready: the strip may be
// recorded, with or without pictures. Then they are shown in the snapshot, and at most once a second those of whatever
// strip came last. abandon() ends it at once: a record without whole frames keeps none.
//
// One thread, the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "station/pictures.h"
#include "station/snapshot_writer.h"
#include "station/spool_ring.h"
#include "station/strip_entry.h"
#include "vialsight/inspector.h"

namespace vialsight::station {

// A frame of the strip whose verdict has fallen; borrowed until the taker is idle.
struct TakenFrame {
  int index = 0;
  FrameView pixels;
};

class PictureTaker {
 public:
  // Borrows all three.
  PictureTaker(const Inspector& inspector, PicturePool& pool, SnapshotWriter& snapshot);

  // `wants_pictures`: the strip was rejected. Sets entry.pictures where none can be kept.
  void begin(StripEntry& entry, const std::vector<TakenFrame>& frames, bool wants_pictures);
  [[nodiscard]] bool is_idle() const noexcept { return phase_ == Phase::kIdle; }
  // The strip may be recorded, once: take_pictures() says with what, then show() goes on.
  [[nodiscard]] bool is_ready() const noexcept { return phase_ == Phase::kReady; }
  void step();
  // Goes to ready, or from the phases behind it to idle, without doing anything that takes time.
  void abandon() noexcept;

  // What goes with the record: null where there are none.
  [[nodiscard]] Pictures* pictures() const noexcept { return pictures_; }
  // The strip was recorded as `seq`; 0: it was not, and the pictures are free again. `shows`: goes on with showing
  // them.
  void recorded(std::uint64_t seq, bool shows);
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  enum class Phase : std::uint8_t { kIdle, kFrames, kMaps, kReady, kShowFrames, kShowMaps, kLive };
  struct Patch {
    int frame, vial, region;
    float score, excess;
  };

  void find_rejected_patches();
  void take_map(const Patch& patch);
  void leave_out(PictureFate fate) noexcept;
  void step_show();
  void begin_live();
  void step_live();

  const Inspector& inspector_;
  PicturePool& pool_;
  SnapshotWriter& snapshot_;
  Phase phase_ = Phase::kIdle;
  StripEntry* entry_ = nullptr;
  const std::vector<TakenFrame>* frames_ = nullptr;
  Pictures* pictures_ = nullptr;
  std::size_t done_ = 0;  // of the phase
  std::uint64_t seq_ = 0;
  std::uint64_t left_out_ = 0;
  Clock::time_point last_live_ = {};
  std::vector<Patch> patches_;
  std::vector<float> map_;
};

}  // namespace vialsight::station
