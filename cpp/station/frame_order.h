// FrameOrder: which frame of which strip a camera's frame is, by its block id and the moment of its exposure.
//
// In step: the strip before was whole; its block ids tell the first one of this strip, and a gap tells which frames are
// missing. Out of step (at the start, and behind a strip that was not whole): the first frame exposed after the trigger
// is the strip's first. Whatever was exposed before the trigger is of a strip before. A frame that should not be there,
// by id or time, is out of order: nobody can tell of which moment it is, and the strip is to be rejected.
//
// Block ids: 16 bits, 1 to 65535, then 1 again; or 64 bits, once one above 65535 came. No clock, no thread.
#pragma once

#include <cstdint>
#include <optional>

#include "vialsight/clock.h"

namespace vialsight::station {

struct FramePlace {
  enum class Kind : std::uint8_t {
    kOfStrip,     // frame `index` of the open strip; those from `missing_from` to index - 1 did not come
    kEarlier,     // exposed before the trigger: of a strip before, or of none
    kOutOfOrder,  // of this strip's time, but not of its order
  };

  Kind kind = Kind::kEarlier;
  int index = 0;
  int missing_from = 0;
};

class FrameOrder {
 public:
  // `tolerance`: a strip's frames may be exposed so much before its trigger.
  FrameOrder(int frames, Clock::duration tolerance) : frames_(frames), tolerance_(tolerance) {}

  void open(Clock::time_point triggered);
  // Also of frames that arrived incomplete, which do not make a strip whole.
  [[nodiscard]] FramePlace place(std::uint64_t block_id, Clock::time_point exposed, bool complete);
  void close();
  // A frame that came while no strip was open, and was exposed before the next one's trigger.
  void pass_by(std::uint64_t block_id);
  // The camera counts anew.
  void restart();

  // Frames of the open strip, or the one closed last, that came whole.
  [[nodiscard]] int count() const noexcept { return whole_; }

 private:
  [[nodiscard]] std::int64_t count_on(std::uint64_t block_id);
  [[nodiscard]] FramePlace place_in_strip(std::int64_t number, Clock::time_point exposed, bool complete);

  const int frames_;
  const Clock::duration tolerance_;
  std::optional<std::uint64_t> last_id_;
  std::int64_t last_number_ = 0;      // the same, never starting anew
  bool wide_ = false;                 // 64 bits
  std::optional<std::int64_t> base_;  // number of the strip's first frame; nothing: out of step
  Clock::time_point triggered_;
  Clock::time_point last_exposed_ = Clock::time_point::min();
  int next_index_ = 0;
  int whole_ = 0;
  bool in_order_ = true;
};

}  // namespace vialsight::station
