// FakeGige: a GigE Vision camera that a hardware trigger fires, by Aravis' fake camera.
//
// What decides when Aravis' fake camera sends a frame: its thread looks for a trigger at the ticks of its trigger
// frequency, multiples of the period on the wall clock, and before the first frame every 100 ms. A client's software
// trigger therefore waits for a tick: 37 ms in the middle at the 25 Hz it comes with. Shorter ticks cost: the last
// millisecond before each is spent spinning. So ticks are kTick apart, a trigger is written into the camera's register
// one or two of them ahead, and the thread, once it has seen it and asks for the image, is held until the moment of the
// exposure: the frame leaves then. A first frame of which all packets are lost takes the 100 ms away when a client
// starts the acquisition.
//
// The device's clock starts with the camera. Block ids count exposures: 16 bits, 65535 is followed by 1.
//
// Threads: expose, skip, unplug, plug and the rest are for one thread; the shutter's own thread arms, plugs and
//   unplugs (Aravis waits up to 100 ms when a camera is taken away); Aravis' thread fills buffers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vialsight/clock.h"
#include "vialsight/frame_stream.h"
#include "vialsight/status.h"

namespace vialsight::station {

using Pixels = std::shared_ptr<const std::vector<std::uint8_t>>;

struct Exposure {
  Pixels pixels;
  Clock::time_point exposed;  // what the frame's device timestamp says
  Clock::time_point sent;     // not earlier, and kTick behind the frame before
  double lost_packets = 0.0;  // share of its packets that the network loses
};

// Since the start, exactly.
struct FakeGigeCounts {
  std::uint64_t sent = 0;     // frames, also those that lost packets
  std::uint64_t ignored = 0;  // exposures while no client took frames, or the camera was unplugged
};

class FakeGige {
 public:
  static constexpr std::chrono::milliseconds kTick{20};
  // Wraps within the first 45 strips, so that no test of a client forgets it.
  static constexpr std::uint16_t kFirstBlockId = 65401;

  // kNotFound: no such address here, or its port 3956 is taken.
  [[nodiscard]] static Result<std::unique_ptr<FakeGige>> create(const std::string& address, const std::string& serial,
                                                                const StreamFormat& format);
  FakeGige(const FakeGige&) = delete;
  FakeGige& operator=(const FakeGige&) = delete;
  ~FakeGige();

  void expose(Exposure exposure);
  void skip_block_id();  // a frame that the network loses as a whole
  // Served to clients that let the camera run free or trigger it themselves, one after the other.
  void show(std::vector<Pixels> frames);
  void unplug();
  void plug();
  [[nodiscard]] bool plugged() const;
  // Whether a client takes frames by the trigger now.
  [[nodiscard]] bool acquiring() const;
  [[nodiscard]] FakeGigeCounts counts() const;

 private:
  struct Impl;
  explicit FakeGige(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight::station
