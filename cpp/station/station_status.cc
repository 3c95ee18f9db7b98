// What is shown: signals to the machine, status to whoever reads the snapshot.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "station/log.h"
#include "station/station.h"

namespace vialsight::station {
namespace {

template <std::size_t Size>
void copy_text(char (&target)[Size], std::string_view text) noexcept {
  std::memset(target, 0, Size);
  std::memcpy(target, text.data(), std::min(text.size(), Size));
}

template <std::size_t Size>
void copy_counts(std::uint64_t (&target)[Size], const Counters& counters) noexcept {
  std::copy(counters.rejected.begin(), counters.rejected.end(), target);
}

}  // namespace

void Station::set_hindrance(Hindrance which, bool on) {
  if (on == ((hindrance_ & which) != 0)) return;
  hindrance_ ^= which;
}

void Station::update_hindrances() {
  set_hindrance(kMachineLost, !parts_.source.triggers_itself() && !parts_.machine.has_client());
  set_hindrance(kInspectorNotReady, !parts_.inspector.ready());
  const bool lagging = parts_.journal.is_lagging();
  if (lagging == ((hindrance_ & kSpoolLag) != 0)) return;
  set_hindrance(kSpoolLag, lagging);
  if (lagging) {
    log_line("the disk does not keep up; strips are refused");
    return parts_.journal.record_event("spool_lag", "strips wait for the disk and are refused");
  }
  const std::uint64_t left_out = parts_.journal.take_events_left_out();
  parts_.journal.record_event("spool_caught_up", "the disk keeps up again", [&](JsonText& json) {
    json.field("gaps", parts_.journal.gaps()).field("events_left_out", left_out);
  });
}

// A challenge is none of the machine's business.
Signals Station::shown_signals() const noexcept {
  Signals signals = parts_.handshake.signals();
  if (mode_ != Mode::kChallenge) return signals;
  Signals hidden;
  hidden.heartbeat = signals.heartbeat;
  return hidden;
}

MachineReply Station::make_reply(const Signals& signals) const noexcept {
  MachineReply reply;
  reply.strip_id = signals.strip_id;
  reply.heartbeat = signals.heartbeat;
  reply.ready = signals.ready && mode_ == Mode::kProduction && hindrance_ == 0 && !ending_ ? 1 : 0;
  reply.busy = signals.busy ? 1 : 0;
  reply.result_valid = signals.result_valid ? 1 : 0;
  reply.accept = signals.accept && mode_ == Mode::kProduction ? 1 : 0;
  reply.reason = static_cast<std::uint8_t>(signals.reason);
  reply.mode = static_cast<std::uint8_t>(mode_);
  reply.hindrance = hindrance_;
  reply.triggers = counters_.triggers;
  reply.accepted = counters_.accepted;
  return reply;
}

void Station::fill_status(const Signals& signals) {
  const MachineReply reply = make_reply(signals);
  StatusBlock& status = status_;
  status.updated_mono_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  status.updated_unix_ns = unix_now_ns();
  status.mode = static_cast<std::uint32_t>(mode_);
  status.hindrance = hindrance_;
  status.ready = reply.ready;
  status.busy = reply.busy;
  status.result_valid = reply.result_valid;
  status.accept = reply.accept;
  status.reason = reply.reason;
  status.strip_id = reply.strip_id;
  status.heartbeat = reply.heartbeat;
  status.triggers = counters_.triggers;
  status.accepted = counters_.accepted;
  copy_counts(status.rejected, counters_);
  status.in_flight = counters_.in_flight;
  status.batch = batch_;
  status.batch_triggers = batch_counters_.triggers;
  status.batch_accepted = batch_counters_.accepted;
  copy_counts(status.batch_rejected, batch_counters_);
  status.last_seq = parts_.journal.last_seq();
  status.spooled_seq = parts_.journal.spooled_seq();
  status.gaps = parts_.journal.gaps();
  status.pictures_left_out = taker_.left_out();
  status.worker_restarts = restarts_;
  const SourceStatistics frames = parts_.source.statistics();
  status.frames_received = frames.frames_received;
  status.frames_dropped = frames.frames_dropped;
}

void Station::describe_source() {
  const std::string text = parts_.source.describe();
  copy_text(status_.source, cut_utf8(text, sizeof status_.source - 1));
}

void Station::publish() {
  const Signals signals = shown_signals();
  const MachineReply reply = make_reply(signals);
  if (last_reply_) last_reply_->heartbeat = reply.heartbeat;  // changes all the time: told with the tick
  if (last_reply_ != reply) parts_.machine.send(reply);
  last_reply_ = reply;
  if (status_.pid == 0) {
    status_.pid = static_cast<std::uint64_t>(::getpid());
    copy_text(status_.session, settings_.session);
    describe_source();
    status_.started_unix_ns = settings_.started_unix_ns;
    status_.budget_ms = std::chrono::duration<double, std::milli>(settings_.budget).count();
    status_.margin_ms = std::chrono::duration<double, std::milli>(settings_.margin).count();
  }
  if (!entry_.last_fault.empty()) copy_text(status_.last_fault, entry_.last_fault);
  fill_status(signals);
  parts_.snapshot.write_status(status_);
}

}  // namespace vialsight::station
