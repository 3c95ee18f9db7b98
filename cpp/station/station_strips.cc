// Strips: from trigger to verdict, and what follows it.
#include <algorithm>

#include "station/challenge_run.h"

namespace vialsight::station {
namespace {

using std::chrono::duration;

double milliseconds(Clock::duration time) noexcept { return duration<double, std::milli>(time).count(); }

}  // namespace

void Station::trigger(const Trigger& trigger) {
  update_hindrances();
  if (mode_ != Mode::kProduction || hindrance_ != 0 || ending_) return refuse(trigger);
  hurry();
  if (parts_.handshake.signals().result_valid) acknowledge_for_machine();
  if (strip_.is_open) {
    // The frames that follow may be of either strip: the busy one becomes a reject, too.
    (void)parts_.handshake.trigger(trigger.strip_id, trigger.moment + settings_.budget);
    return refuse(trigger);
  }
  open(trigger, false, layout_.frames);
}

void Station::refuse(const Trigger& trigger) {
  for (Counters* counters : {&counters_, &batch_counters_}) {
    if (counters == &batch_counters_ && batch_ == 0) continue;
    counters->begin();
    counters->finish(Verdict::kReject, Reason::kNotReady);
  }
  refused_.clear();
  fill_entry(refused_, trigger, false);
  refused_.verdict.vials.assign(layout_.vial_count(), Verdict::kReject);
  refused_.latency_ms = milliseconds(Clock::now() - trigger.moment);
  refused_.slack_ms = milliseconds(trigger.moment + settings_.budget - Clock::now());
  MachineReply reply = make_reply(shown_signals());
  reply.strip_id = trigger.strip_id;
  reply.result_valid = 1;
  reply.accept = 0;
  reply.reason = static_cast<std::uint8_t>(Reason::kNotReady);
  parts_.machine.send(reply);
  last_reply_.reset();  // so that what holds otherwise is told again
  const std::int64_t now = unix_now_ns();
  parts_.snapshot.write_strip(parts_.journal.record_strip(refused_, nullptr, now), now, refused_);
  publish();
}

void Station::fill_entry(StripEntry& entry, const Trigger& trigger, bool of_challenge) const {
  const auto ago = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - trigger.moment);
  entry.strip_id = trigger.strip_id;
  entry.machine_count = trigger.machine_count;
  entry.batch = batch_;
  entry.mode = of_challenge || mode_ == Mode::kProduction ? mode_ : Mode::kHalted;
  entry.triggered_unix_ns = unix_now_ns() - ago.count();
}

void Station::open(const Trigger& trigger, bool of_challenge, int expected) {
  const Clock::time_point deadline = trigger.moment + settings_.budget;
  if (!parts_.handshake.trigger(trigger.strip_id, deadline).ok()) {
    if (!of_challenge) refuse(trigger);
    return;
  }
  strip_ = {true, of_challenge, trigger, Clock::now(), deadline - settings_.margin, 0, expected};
  entry_.clear();
  frames_.clear();
  fill_entry(entry_, trigger, of_challenge);
  if (of_challenge) return;
  counters_.begin();
  if (batch_ != 0) batch_counters_.begin();
  parts_.source.strip_opened(trigger.strip_id, trigger.moment);
  publish();
}

// Camera and machine see the same light barrier: a frame may be exposed before its trigger has come all the way here,
// and the source has decided whose it is. One of no strip, which the source could not place, makes this one stale.
void Station::submit(const SourceEvent& event) {
  if (!strip_.is_open) return;
  ++strip_.frames;
  const bool of_this_strip = event.strip_id == strip_.trigger.strip_id;
  const FrameStamp stamp{event.strip_id, event.frame_index,
                         of_this_strip ? std::max(event.exposed, strip_.opened) : event.exposed};
  const Status status = parts_.handshake.submit(event.frame_index, event.pixels, stamp);
  if (!status.ok() && entry_.last_fault.empty()) entry_.set_fault(status.message());
  if (entry_.frames.size() < entry_.frames.capacity()) {
    entry_.frames.push_back({event.frame_index, milliseconds(event.exposed - strip_.trigger.moment)});
  }
  const bool is_known = std::any_of(frames_.begin(), frames_.end(),
                                    [&](const TakenFrame& frame) { return frame.index == event.frame_index; });
  const bool fits = event.frame_index >= 0 && event.frame_index < layout_.frames && !is_known &&
                    check_frame(event.pixels, layout_).ok();
  if (fits) frames_.push_back({event.frame_index, event.pixels});
}

void Station::close_if_due() {
  if (!strip_.is_open) return;
  if (strip_.frames >= strip_.expected || Clock::now() >= strip_.limit) close();
}

void Station::close() {
  const StripVerdict verdict = parts_.handshake.finish();
  const Clock::time_point now = Clock::now();
  verdict_unix_ns_ = unix_now_ns();
  strip_.is_open = false;
  entry_.take(verdict);
  entry_.gate = strip_.of_challenge ? Verdict::kReject : verdict.verdict;
  entry_.latency_ms = milliseconds(now - strip_.trigger.moment);
  entry_.slack_ms = milliseconds(strip_.trigger.moment + settings_.budget - now);
  if (!strip_.of_challenge) {
    counters_.finish(verdict.verdict, verdict.reason);
    if (batch_ != 0) batch_counters_.finish(verdict.verdict, verdict.reason);
  }
  publish();  // the machine first
  if (verdict.reason == Reason::kBackendFault) entry_.set_fault(parts_.inspector.health().last_fault);
  taker_.begin(entry_, frames_, verdict.verdict == Verdict::kReject);
}

void Station::work_after_verdict() {
  if (taker_.is_idle()) return;
  if (taker_.is_ready()) {
    record(true);
  } else {
    taker_.step();
  }
  if (taker_.is_idle()) finish_strip();
}

void Station::record(bool shows) {
  const std::uint64_t seq = parts_.journal.record_strip(entry_, taker_.pictures(), verdict_unix_ns_);
  if (seq == 0 && strip_.of_challenge) challenge_->unrecorded = true;
  if (seq == 0 && entry_.pictures == PictureFate::kKept) entry_.pictures = PictureFate::kNoneFree;
  parts_.snapshot.write_strip(seq, verdict_unix_ns_, entry_);
  taker_.recorded(seq, shows);
}

// The next strip is here: what is left to do is left out.
void Station::hurry() {
  if (taker_.is_idle()) return;
  taker_.abandon();
  if (taker_.is_ready()) record(false);
  finish_strip();
}

void Station::finish_strip() {
  frames_.clear();
  if (strip_.of_challenge) {
    acknowledge(strip_.trigger.strip_id);
    challenge_->strip += 1;
    challenge_->loaded = 0;
  } else {
    parts_.source.strip_closed();
    const bool alone = parts_.source.triggers_itself() && !parts_.machine.has_client();
    if (settings_.self_acknowledge || alone) acknowledge(strip_.trigger.strip_id);
  }
  publish();
}

}  // namespace vialsight::station
