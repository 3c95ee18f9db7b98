#include "station/gige_camera/camera_line.h"

#include <algorithm>
#include <utility>

namespace vialsight::station {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kKeptImages = 8;
constexpr double kLostShare = 0.5;
constexpr milliseconds kLookAgain{50};
// So long before a slot, its strip is taken, and the camera told, which needs half of that.
constexpr milliseconds kAhead = 2 * FakeGige::kTick;

double ms(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

std::int64_t unix_now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

CameraLine::CameraLine(const LineOptions& options, FakeGige& camera, StripFeed& feed, TruthFile truth,
                       const volatile std::sig_atomic_t& stop)
    : options_(options),
      camera_(camera),
      feed_(feed),
      truth_(std::move(truth)),
      stop_(stop),
      machine_(options.machine),
      plan_(options.faults, options.seed) {}

LineCounts CameraLine::run() {
  feed_.wait_until_full(stop_);
  auto strip = next_strip(Clock::now());
  if (strip) camera_.show(strip->frames);
  wait_for_clients();
  Clock::time_point due = Clock::now() + kAhead;
  while (strip && stop_ == 0) {
    pass(std::move(*strip), due);
    if (options_.strips != 0 && counts_.triggers == options_.strips) break;
    due += options_.slot;
    strip = next_strip(due);
    const Clock::time_point now = Clock::now();
    if (now > due - FakeGige::kTick) {
      ++counts_.late;
      counts_.worst_late_s = std::max(counts_.worst_late_s, ms(now + kAhead - due) * 1e-3);
      due = now + kAhead;
    }
  }
  serve_until(due + options_.slot);
  finish_strip();
  return counts_;
}

void CameraLine::wait_for_clients() {
  if (!options_.wait_ready) return;
  const auto ready = [&] { return camera_.acquiring() && (options_.machine.empty() || signals_.ready); };
  while (stop_ == 0 && !ready()) serve_until(Clock::now() + kLookAgain);
}

// Serves the machine while the slot before goes on, and while a strip is late.
std::optional<FedStrip> CameraLine::next_strip(Clock::time_point due) {
  serve_until(due - kAhead);
  for (;;) {
    auto strip = feed_.take(Clock::now());
    if (strip || feed_.ended() || stop_ != 0) return strip;
    serve_until(Clock::now() + kAhead / 4);
  }
}

void CameraLine::pass(FedStrip strip, Clock::time_point start) {
  const StripFault fault = plan_.next(strip.frames.size());
  follow_plug(start);
  expose(strip, fault, start);
  serve_until(start);
  finish_strip();
  trigger(strip, fault, start);
  if (fault.fault == LineFault::kNone) keep(strip);  // what was never seen is no old image
}

void CameraLine::trigger(const FedStrip& strip, const StripFault& fault, Clock::time_point start) {
  passing_.emplace();
  passing_->strip_id = options_.first_strip + counts_.triggers++;
  passing_->product = strip.product;
  passing_->run = strip.run;
  passing_->defective = strip.defective;
  passing_->faults = fault.text();
  if (!camera_.plugged()) passing_->faults += passing_->faults.empty() ? "unplugged" : " unplugged";
  passing_->triggered_unix_ns = unix_now_ns();
  triggered_ = start;
  if (!options_.machine.empty() && !machine_.trigger(passing_->strip_id, start, counts_.triggers))
    passing_->faults += passing_->faults.empty() ? "no_station" : " no_station";
}

std::vector<Exposure> CameraLine::exposures(const FedStrip& strip, const StripFault& fault,
                                            Clock::time_point start) const {
  std::vector<Exposure> result;
  const auto count = static_cast<std::int64_t>(strip.frames.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const Clock::time_point time = start + options_.interval * i / count;
    const bool hit = fault.fault != LineFault::kNone && std::cmp_equal(fault.frame, i);
    Exposure exposure{strip.frames[static_cast<std::size_t>(i)], time, time, 0.0};
    if (hit && fault.fault == LineFault::kLostPackets) exposure.lost_packets = kLostShare;
    if (hit && fault.fault == LineFault::kLate) exposure.sent += options_.late;
    if (hit && fault.fault == LineFault::kRepeated && !kept_.empty()) exposure.pixels = kept_.front();
    result.push_back(std::move(exposure));
  }
  if (fault.fault == LineFault::kSwapped) {
    std::swap(result[fault.frame].pixels, result[fault.frame + 1].pixels);
    std::swap(result[fault.frame].exposed, result[fault.frame + 1].exposed);
    result[fault.frame].sent = result[fault.frame + 1].sent;  // it had not been exposed before
  }
  return result;
}

void CameraLine::expose(const FedStrip& strip, const StripFault& fault, Clock::time_point start) {
  std::vector<Exposure> frames = exposures(strip, fault, start);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const bool hit = i == fault.frame;
    if (hit && fault.fault == LineFault::kUntriggered) continue;
    if (hit && fault.fault == LineFault::kLost) {
      camera_.skip_block_id();
    } else {
      camera_.expose(std::move(frames[i]));
    }
  }
}

void CameraLine::keep(const FedStrip& strip) {
  kept_.push_back(strip.frames.front());
  if (kept_.size() > kKeptImages) kept_.pop_front();
}

// In the middle of a slot, where frames are on their way.
void CameraLine::follow_plug(Clock::time_point now) {
  if (options_.unplug_every <= microseconds(0)) return;
  if (!next_plug_) next_plug_ = now + options_.unplug_every;
  if (now < *next_plug_) return;
  const bool unplug = camera_.plugged();
  if (unplug) {
    camera_.unplug();
  } else {
    camera_.plug();
  }
  next_plug_ = now + (unplug ? options_.unplug_for : options_.unplug_every);
}

void CameraLine::serve_until(Clock::time_point limit) {
  while (Clock::now() < limit) {
    if (const auto signals = machine_.wait(limit)) take(*signals);
  }
}

void CameraLine::take(const MachineSignals& signals) {
  signals_ = signals;
  if (!signals.result_valid || !passing_ || passing_->result || signals.strip_id != passing_->strip_id) return;
  passing_->result = signals;
  passing_->result_ms = ms(Clock::now() - triggered_);
  passing_->gate_accepts = signals.accept;
  machine_.acknowledge(signals.strip_id);
}

// The next strip is about to come: the gate goes back to where it rests.
void CameraLine::finish_strip() {
  if (!passing_) return;
  if (!passing_->result) {
    if (!options_.machine.empty()) ++counts_.lost;
  } else {
    ++(passing_->gate_accepts ? counts_.accepted : counts_.rejected);
    counts_.worst_result_ms = std::max(counts_.worst_result_ms, passing_->result_ms);
  }
  truth_.write(*passing_);
  passing_.reset();
}

}  // namespace vialsight::station
