// Station: one thread that takes triggers and frames, has them inspected, tells the machine, and only then shows and
// records what it did.
//
//   machine or source ── trigger ──► frames ──► verdict ──► machine │ status ──► pictures ──► record ──► snapshot
//
// Modes are commanded: halted (from the start on), production, challenge. Hindrances are found by the station itself. A
// trigger that comes in another mode than production, or while something hinders, is refused: a reject, not_ready, that
// is counted, recorded and answered. At every moment triggers = accepted + sum of rejected + in flight; strips of a
// challenge are not among them, since no machine brought them.
//
// The thread waits in one place, poll(), and in Handshake::finish(), until the verdict has fallen, by the deadline less
// the margin. It never waits for a disk, a reader or another process: frames of a challenge kit are read from the disk
// while nothing is inspected for the machine. Between trigger and verdict it allocates nothing, once
// Handshake::trigger() has returned. Commands are read between strips only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "station/challenge_kit.h"
#include "station/control_command.h"
#include "station/counters.h"
#include "station/frame_source.h"
#include "station/journal.h"
#include "station/machine_port.h"
#include "station/mode.h"
#include "station/picture_taker.h"
#include "station/snapshot_writer.h"
#include "vialsight/handshake.h"

namespace vialsight::station {

// All borrowed; they outlive the Station.
struct StationParts {
  Inspector& inspector;
  Handshake& handshake;
  FrameSource& source;
  SnapshotWriter& snapshot;
  Journal& journal;
  PicturePool& pool;
  MachinePort& machine;
  PacketServer& control;
};

struct StationSettings {
  std::chrono::nanoseconds budget{480'000'000};  // from trigger to deadline
  std::chrono::nanoseconds margin{2'000'000};    // as InspectorOptions::margin
  bool self_acknowledge = false;                 // the machine never does; always so without a machine
  int end_descriptor = -1;                       // readable: end in order; -1: none
  std::string session;                           // 32 hexadecimal digits
  std::int64_t started_unix_ns = 0;
};

class Station {
 public:
  Station(const StationParts& parts, const StationSettings& settings);
  Station(const Station&) = delete;
  Station& operator=(const Station&) = delete;
  ~Station();

  // Waits for something to happen, but no longer than until the next thing is due, and does it. False: the end.
  bool step();
  // What made it end: ok, or an error of the source.
  [[nodiscard]] const Status& outcome() const noexcept { return outcome_; }

  // As the command "produce" would, of no batch: for tests; recorded as such.
  void start_production();
  // From now on as if there was no reason to go on: the strip in flight is finished.
  void request_end() noexcept { ending_ = true; }

  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] std::uint32_t hindrance() const noexcept { return hindrance_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Trigger {
    std::uint64_t strip_id = 0;
    Clock::time_point moment;
    std::uint64_t machine_count = 0;  // 0: the source's own
  };
  struct OpenStrip {
    bool is_open = false;
    bool of_challenge = false;
    Trigger trigger;
    Clock::time_point opened;  // Handshake::trigger had returned
    Clock::time_point limit;   // deadline less margin
    int frames = 0;            // that came, whatever became of them
    int expected = 0;
  };
  struct ChallengeRun;

  // Strips (station_strips.cc).
  void trigger(const Trigger& trigger);
  void refuse(const Trigger& trigger);
  void open(const Trigger& trigger, bool of_challenge, int expected);
  void submit(const SourceEvent& event);
  void close_if_due();
  void close();
  void fill_entry(StripEntry& entry, const Trigger& trigger, bool of_challenge) const;
  void work_after_verdict();
  void record(bool shows);
  void hurry();
  void finish_strip();
  [[nodiscard]] bool is_between_strips() const noexcept { return !strip_.is_open && taker_.is_idle(); }

  // What comes in (station_events.cc).
  void wait();
  [[nodiscard]] std::chrono::nanoseconds time_to_wait() const;
  void serve_machine();
  void serve(const MachineRequest& request);
  void note_machine_count(std::uint64_t count);
  void serve_source();
  void serve(const SourceEvent& event);
  void acknowledge(std::uint64_t strip_id);
  void acknowledge_for_machine();
  void look_for_clients();
  void tick();
  void watch_worker();
  void watch_clock();

  // Commands (station_commands.cc).
  void serve_control();
  [[nodiscard]] Status carry_out(const ControlCommand& command);
  [[nodiscard]] Status produce(const ControlCommand& command);
  [[nodiscard]] Status start_challenge(const ControlCommand& command);
  void answer(const ControlCommand& command, const Status& status, std::string_view note = {});
  void tell(std::int64_t command_id, const Status& status);
  void enter(Mode mode);
  void name_batch(std::uint32_t batch) noexcept;

  // A challenge, one small step at a time (station_challenge.cc).
  void step_challenge();
  void forget_frames();
  void inspect_next();
  void submit_challenge_frame();
  void end_challenge(const Status& status);

  // What is shown (station_status.cc).
  void set_hindrance(Hindrance which, bool on);
  void update_hindrances();
  void publish();
  [[nodiscard]] Signals shown_signals() const noexcept;
  [[nodiscard]] MachineReply make_reply(const Signals& signals) const noexcept;
  void fill_status(const Signals& signals);
  void describe_source();

  StationParts parts_;
  StationSettings settings_;
  const Layout& layout_;
  Mode mode_ = Mode::kHalted;
  std::uint32_t hindrance_ = 0;
  Counters counters_;        // of this process
  Counters batch_counters_;  // of batch_
  std::uint32_t batch_ = 0;  // that was named last; 0: none
  bool ending_ = false;
  Status outcome_;

  OpenStrip strip_;
  StripEntry entry_;    // of strip_, until it is recorded
  StripEntry refused_;  // of a refused one
  std::int64_t verdict_unix_ns_ = 0;
  std::vector<TakenFrame> frames_;  // of strip_, in the source's memory
  PictureTaker taker_;
  std::unique_ptr<ChallengeRun> challenge_;

  StatusBlock status_ = {};
  std::optional<MachineReply> last_reply_;  // nothing: it shall be told again
  Clock::time_point next_tick_;
  bool machine_was_there_ = false;
  std::uint64_t restarts_ = 0;
  std::chrono::nanoseconds wall_offset_;  // CLOCK_REALTIME less CLOCK_MONOTONIC
  std::uint64_t last_strip_id_ = 0;       // of the machine
  ControlCommand command_;                // kept, for its memory
  ControlCommand answered_command_;       // that was carried out last; its id is 0: none was
  Status answered_;                       // what came of it
  std::string text_;
};

}  // namespace vialsight::station
