// CameraLine: a simulated line around a FakeGige. It triggers camera and station at the slot's pace, takes verdicts,
// drives a gate that rests at reject, and keeps the truth aside.
//
//   slot      │trigger      exposures spread over the interval                        │trigger
//   machine   ├─ trigger ──────────────── result valid: gate, acknowledge ────────────┤ gate rests
//   frames    ├─ 0 ─── interval/F ─── 2·interval/F ─┤
//
// Slots begin on the camera's ticks, at most half a tick off their even pace, which is kept in the long run. A strip
// that was not read in time makes the line late: slots that follow move, none is skipped. A strip of which no valid
// result came before the next trigger is lost: the gate rejected it.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "station/gige_camera/fake_gige.h"
#include "station/gige_camera/line_faults.h"
#include "station/gige_camera/station_link.h"
#include "station/gige_camera/strip_feed.h"
#include "station/gige_camera/truth_file.h"

namespace vialsight::station {

struct LineOptions {
  std::chrono::microseconds slot{500'000};
  std::chrono::microseconds interval{120'000};
  std::chrono::microseconds late{600'000};
  std::chrono::microseconds unplug_every{0};  // 0: never
  std::chrono::microseconds unplug_for{2'000'000};
  std::uint64_t strips = 0;  // 0: until the stream ends
  std::uint64_t first_strip = 1;
  std::string machine;     // empty: no station is told
  bool wait_ready = true;  // for a client that takes frames, and for a station that is ready
  FaultShares faults;
  std::uint64_t seed = 0;
};

struct LineCounts {
  std::uint64_t triggers = 0;
  std::uint64_t accepted = 0;
  std::uint64_t rejected = 0;  // by a valid result
  std::uint64_t lost = 0;      // triggers without a result
  std::uint64_t late = 0;      // strips that were not read in time
  double worst_late_s = 0.0;
  double worst_result_ms = 0.0;
};

class CameraLine {
 public:
  // Borrows all; `stop` ends the line after the strip that passes.
  CameraLine(const LineOptions& options, FakeGige& camera, StripFeed& feed, TruthFile truth,
             const volatile std::sig_atomic_t& stop);

  // Until the stream ends, all strips have passed, or it is stopped.
  [[nodiscard]] LineCounts run();

 private:
  void wait_for_clients();
  [[nodiscard]] std::optional<FedStrip> next_strip(Clock::time_point due);
  void pass(FedStrip strip, Clock::time_point start);
  void trigger(const FedStrip& strip, const StripFault& fault, Clock::time_point start);
  void expose(const FedStrip& strip, const StripFault& fault, Clock::time_point start);
  [[nodiscard]] std::vector<Exposure> exposures(const FedStrip& strip, const StripFault& fault,
                                                Clock::time_point start) const;
  void keep(const FedStrip& strip);
  void follow_plug(Clock::time_point now);
  void serve_until(Clock::time_point limit);
  void take(const MachineSignals& signals);
  void finish_strip();

  const LineOptions options_;
  FakeGige& camera_;
  StripFeed& feed_;
  TruthFile truth_;
  const volatile std::sig_atomic_t& stop_;
  StationLink machine_;
  MachineSignals signals_;
  FaultPlan plan_;
  LineCounts counts_;
  std::optional<PassedStrip> passing_;
  Clock::time_point triggered_;
  std::deque<Pixels> kept_;  // first frames of strips before, for repeats
  std::optional<Clock::time_point> next_plug_;
};

}  // namespace vialsight::station
