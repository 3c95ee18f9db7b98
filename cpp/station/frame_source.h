// FrameSource: where the frames of strips come from. A source knows nothing of labels: what a frame shows is for the
// Inspector to say.
//
//   start ──► events ──► stop          strip_opened ──► its frames ──► strip_closed
//
// Some sources trigger themselves: kTrigger comes before the first frame of each strip (a pipe, a folder). For others
// the machine triggers, and frames carry the index that the source counts from strip_opened() on (a camera).
//
// Pixels of an event stay where they are until strip_closed() of the strip that was open when it was taken; without an
// open strip, until the next next(). So the pictures of a reject can be copied from them after the verdict.
//
// Threads: the control thread calls everything here. A source may have threads of its own for reading; none of them
// makes a call of the control thread wait. next(), strip_opened() and strip_closed() allocate nothing, except the text
// of kLost, kFound, kEnd and kError.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vialsight/clock.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct SourceEvent {
  enum class Kind : std::uint8_t {
    kNone,     // nothing waits
    kFrame,    // pixels, frame_index, strip_id, exposed
    kTrigger,  // a strip has come: strip_id, and exposed as the moment of its trigger; self-triggering sources only
    kLost,     // the camera does not answer: text; strips are refused until kFound
    kFound,    // text
    kNote,     // text: why a frame of the open strip does not come; for people and the strip's record
    kEnd,      // no further event comes: the stream ended as it should
    kError,    // no further event comes: text
  };

  Kind kind = Kind::kNone;
  FrameView pixels;
  int frame_index = 0;             // from 0; may be F or more, where more frames came than a strip has
  std::uint64_t strip_id = 0;      // of the strip the source takes the frame for; 0: of none
  Clock::time_point exposed = {};  // begin of the exposure, or of the arrival where nobody knows better
  std::string text;                // what to tell people
  std::uint64_t token = 0;         // the source's own
};

// Since start().
struct SourceStatistics {
  std::uint64_t frames_received = 0;  // whole frames
  std::uint64_t frames_dropped = 0;   // incomplete, of no strip, or without room
};

class FrameSource {
 public:
  FrameSource() = default;
  FrameSource(const FrameSource&) = delete;
  FrameSource& operator=(const FrameSource&) = delete;
  virtual ~FrameSource() = default;

  // Once. May take seconds; what it says when it fails is shown to whoever starts the station.
  [[nodiscard]] virtual Status start() = 0;
  // No event comes afterwards. Also in the middle of a strip.
  virtual void stop() = 0;
  // Readable in poll() while events wait; the same descriptor from start() to stop(). Nobody but the source reads it.
  [[nodiscard]] virtual int wake_descriptor() const = 0;
  // The next event that waits; never blocks. The control thread calls it until kNone comes.
  [[nodiscard]] virtual SourceEvent next() = 0;
  // Frames exposed from here on are of this strip.
  virtual void strip_opened(std::uint64_t strip_id, Clock::time_point triggered) = 0;
  virtual void strip_closed() = 0;
  // Whether kTrigger comes from here; otherwise triggers come by the machine port.
  [[nodiscard]] virtual bool triggers_itself() const noexcept = 0;
  // For people and records: "GigE camera Aravis-GV01, 1408x1152 Mono8".
  [[nodiscard]] virtual std::string describe() const = 0;
  [[nodiscard]] virtual SourceStatistics statistics() const noexcept = 0;
};

}  // namespace vialsight::station
