// GigeBuffers: the memory of a camera's frames, and who has each buffer: Aravis, or we.
//
// Allocated once, when the camera is first found, and touched, so that no page fault comes while a frame arrives. A
// buffer outlives the connection it was pushed to: the control thread may still read its pixels.
//
// Threads: the keeper pushes; Aravis' thread notes what came; see each.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "station/gige_connection.h"
#include "vialsight/clock.h"

namespace vialsight::station {

class GigeBuffers {
 public:
  GigeBuffers(int count, std::size_t bytes);
  GigeBuffers(const GigeBuffers&) = delete;
  GigeBuffers& operator=(const GigeBuffers&) = delete;
  ~GigeBuffers();

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  // Keeper: a buffer that nobody reads any more.
  void give(ArvBuffer* buffer, GigeConnection& connection);
  // Keeper: all that the connection before had, when there is none any more.
  void give_all_idle(GigeConnection& connection);
  // Keeper: nobody reads it, and there is no connection.
  static void keep_idle(ArvBuffer* buffer) noexcept;
  // Aravis' thread: it came out of the stream, and is on its way to the control thread.
  static void note_came(ArvBuffer* buffer, Clock::time_point arrived) noexcept;
  // As note_came said.
  [[nodiscard]] static Clock::time_point arrival(ArvBuffer* buffer) noexcept;

 private:
  struct Slot;
  std::size_t bytes_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace vialsight::station
