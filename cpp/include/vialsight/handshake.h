// Handshake: the signals by which a PLC and an Inspector agree on every strip.
//
// States:  kReady ── trigger ──► kBusy ── finish ──► kResultValid ── acknowledge ──► kReady
//
//   trigger       ▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁   the strip has come; its deadline
//   ready         ███▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁███▁▁   falls with the trigger, rises with the acknowledgement
//   frames        ▁▁▁▁█▁▁█▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁█   submit()
//   busy          ▁▁▁█████████▁▁▁▁▁▁▁▁▁▁███   until finish() returns, by deadline - margin
//   result_valid  ▁▁▁▁▁▁▁▁▁▁▁▁█████▁▁▁▁▁▁▁▁   accept, reason and strip_id hold still while it is true
//   acknowledge   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁   the result has been taken
//
// Invariants: accept only with result_valid; zeroed Signals mean not ready, nothing valid, reject. Every trigger is a
// strip that came in. One that comes while the Inspector is not ready, while another strip is busy or its result is not
// acknowledged is refused: counted as rejected, kNotReady, with no result of its own, and signals stay as they were.
// The busy strip will be rejected as well, kFrameStale: the frames that follow could be of either. The machine rejects
// a strip for which it saw no valid accept under that strip's own id.
//
// Threads: one control thread triggers, submits, finishes and acknowledges. signals and counters may be called from any
// thread, of any priority: they never wait for the control thread, even where it is stopped in the middle of a call.
//
// Processes: as the Inspector, of the one that made it. In one that came of a fork, calls that return a Status refuse,
// kFailedPrecondition, and signals and counters are zeroed; nothing reaches the parent's Inspector.
#pragma once

#include <cstdint>
#include <memory>

#include "vialsight/clock.h"
#include "vialsight/decision.h"
#include "vialsight/export.h"
#include "vialsight/inspector.h"

namespace vialsight {

struct Signals {
  bool ready = false;  // a trigger now would be taken
  bool busy = false;
  bool result_valid = false;
  bool accept = false;
  Reason reason = Reason::kNone;  // of a valid reject
  std::uint64_t strip_id = 0;     // busy, or the result's; 0 else
  std::uint64_t heartbeat = 0;    // Inspector::heartbeat: goes on while the inspecting thread lives

  friend bool operator==(const Signals&, const Signals&) = default;
};

// In every copy, exactly: triggers = accepted + sum of rejected + in_flight.
struct HandshakeCounters {
  std::uint64_t triggers = 0;                 // strips that came in
  std::uint64_t accepted = 0;                 // strips whose result was accept
  std::uint64_t rejected[kReasonCount] = {};  // by Reason, refused triggers under kNotReady
  std::uint64_t in_flight = 0;                // 1 while busy, else 0

  friend bool operator==(const HandshakeCounters&, const HandshakeCounters&) = default;
};

class VIALSIGHT_API Handshake {
 public:
  // Borrows `inspector`, which must stay where it is and outlive the Handshake. While a Handshake drives an Inspector,
  // nobody else opens or closes its slots. kResourceExhausted: no memory; else what Inspector::usable says.
  [[nodiscard]] static Result<Handshake> create(Inspector& inspector);
  Handshake(Handshake&&) noexcept;
  Handshake& operator=(Handshake&&) noexcept;
  ~Handshake();  // a busy strip is finished first, and its verdict dropped

  // A strip has come: opens its slot. Any error means that it is refused (see above). kFailedPrecondition: busy, not
  // acknowledged, Inspector not ready; else what Inspector::open says.
  [[nodiscard]] Status trigger(std::uint64_t strip_id, Clock::time_point deadline);
  // As Inspector::submit; kFailedPrecondition also when no strip is busy.
  [[nodiscard]] Status submit(int frame_index, const FrameView& frame);
  [[nodiscard]] Status submit(int frame_index, const FrameView& frame, const FrameStamp& stamp);
  // Closes the slot and shows the result. Without a busy strip: a reject, kNotReady, that changes and counts nothing.
  [[nodiscard]] StripVerdict finish();
  // The PLC has taken the result of this strip. kFailedPrecondition: there is none; kInvalidArgument: it is another
  // strip's, and stays.
  [[nodiscard]] Status acknowledge(std::uint64_t strip_id);

  [[nodiscard]] Signals signals() const noexcept;
  [[nodiscard]] HandshakeCounters counters() const noexcept;

 private:
  struct Impl;
  explicit Handshake(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
