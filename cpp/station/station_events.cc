// What comes in: packets of the machine, events of the source, and the time.
#include <poll.h>

#include <algorithm>
#include <array>

#include "station/challenge_run.h"

namespace vialsight::station {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kClockJump{1};
constexpr int kMostRequestsAtOnce = 16;  // then the strip has its turn again
constexpr int kMostEventsAtOnce = 64;

std::chrono::nanoseconds wall_offset() noexcept {
  return std::chrono::system_clock::now().time_since_epoch() -
         std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch());
}

}  // namespace

Station::Station(const StationParts& parts, const StationSettings& settings)
    : parts_(parts),
      settings_(settings),
      layout_(parts.inspector.bundle().layout()),
      entry_(layout_),
      refused_(layout_),
      taker_(parts.inspector, parts.pool, parts.snapshot),
      next_tick_(Clock::now()),
      restarts_(parts.inspector.health().restarts),
      wall_offset_(wall_offset()) {
  frames_.reserve(static_cast<std::size_t>(layout_.frames));
  text_.reserve(SpoolItem::kTextBytes);
  update_hindrances();
  publish();
}

bool Station::step() {
  wait();
  serve_machine();
  look_for_clients();
  serve_source();
  close_if_due();
  work_after_verdict();
  if (strip_.is_open && strip_.of_challenge) submit_challenge_frame();
  if (is_between_strips()) {
    serve_control();
    step_challenge();
  }
  tick();
  if (!ending_ || !is_between_strips()) return true;
  if (challenge_ != nullptr) end_challenge({Code::kFailedPrecondition, "challenge: the station ends"});
  return false;
}

std::chrono::nanoseconds Station::time_to_wait() const {
  const bool has_work = !taker_.is_idle() || (challenge_ != nullptr && !strip_.is_open) ||
                        (strip_.is_open && strip_.of_challenge) || (ending_ && !strip_.is_open);
  if (has_work) return std::chrono::nanoseconds(0);
  const Clock::time_point due = strip_.is_open ? std::min(next_tick_, strip_.limit) : next_tick_;
  return std::max<std::chrono::nanoseconds>(due - Clock::now(), std::chrono::nanoseconds(0));
}

void Station::wait() {
  // Frames wait until the strip before is done with, and commands for the end of a strip.
  const bool wants_source = taker_.is_idle();
  const bool wants_control = is_between_strips();
  std::array<pollfd, 6> waited = {{{wants_source ? parts_.source.wake_descriptor() : -1, POLLIN, 0},
                                   {parts_.machine.server().client(), POLLIN, 0},
                                   {parts_.machine.server().listener(), POLLIN, 0},
                                   {wants_control ? parts_.control.client() : -1, POLLIN, 0},
                                   {parts_.control.listener(), POLLIN, 0},
                                   {ending_ ? -1 : settings_.end_descriptor, POLLIN, 0}}};
  const auto time = time_to_wait();
  const timespec limit = {static_cast<std::time_t>(time.count() / 1'000'000'000),
                          static_cast<long>(time.count() % 1'000'000'000)};
  (void)::ppoll(waited.data(), waited.size(), &limit, nullptr);
  if ((waited.back().revents & POLLIN) != 0) ending_ = true;
}

void Station::look_for_clients() {
  if (parts_.machine.accept()) {
    last_strip_id_ = 0;
    last_reply_.reset();
    machine_was_there_ = true;
    parts_.journal.record_event("machine_found", "the machine's gateway has connected");
    update_hindrances();
    publish();
  }
  parts_.control.accept();
}

void Station::serve_machine() {
  for (int i = 0; i < kMostRequestsAtOnce; ++i) {
    const auto request = parts_.machine.next();
    if (!request) break;
    serve(*request);
  }
  if (!machine_was_there_ || parts_.machine.has_client()) return;
  machine_was_there_ = false;
  parts_.journal.record_event("machine_lost", "the machine's gateway has gone, or takes no more packets");
  update_hindrances();
  publish();
}

void Station::serve(const MachineRequest& request) {
  if (request.type == MachineRequest::Type::kAcknowledge) {
    acknowledge(request.strip_id);
    publish();
    return;
  }
  note_machine_count(request.count);
  const Clock::time_point now = Clock::now();
  const Clock::time_point told{std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(request.time_ns))};
  const Trigger trigger{request.strip_id, request.time_ns == 0 ? now : std::min(told, now), request.count};
  // An identity that was used before would make two strips one.
  const bool is_new = request.strip_id > last_strip_id_;
  last_strip_id_ = std::max(last_strip_id_, request.strip_id);
  is_new ? this->trigger(trigger) : refuse(trigger);
}

void Station::note_machine_count(std::uint64_t count) {
  const std::uint64_t lost = parts_.machine.lost_before(count);
  if (lost == 0) return;
  parts_.journal.record_event("lost_triggers", "triggers of the machine did not arrive", [&](JsonText& json) {
    json.field("lost", lost).field("batch", batch_).field("machine_count", count);
  });
}

void Station::acknowledge(std::uint64_t strip_id) {
  // Of a strip whose result is not shown, or any more: nothing changes.
  (void)parts_.handshake.acknowledge(strip_id);
}

// The machine has moved on: its next strip is here.
void Station::acknowledge_for_machine() {
  const std::uint64_t strip_id = parts_.handshake.signals().strip_id;
  acknowledge(strip_id);
  parts_.journal.record_event("not_acknowledged", "the machine took no notice of a result",
                              [&](JsonText& json) { json.field("strip_id", strip_id); });
}

void Station::serve_source() {
  const bool triggers_itself = parts_.source.triggers_itself();
  // A source that always has another strip to refuse must not keep commands waiting.
  for (int i = 0; i < kMostEventsAtOnce && (!strip_.is_open || strip_.frames < strip_.expected); ++i) {
    // A frame taken while the source holds the strip before would be of that one, and its own strip lack it.
    if (!strip_.is_open && (!taker_.is_idle() || (triggers_itself && ending_))) return;
    const SourceEvent event = parts_.source.next();
    if (event.kind == SourceEvent::Kind::kNone) return;
    serve(event);
  }
}

void Station::serve(const SourceEvent& event) {
  using Kind = SourceEvent::Kind;
  if (event.kind == Kind::kTrigger) {
    trigger({event.strip_id, event.exposed, 0});
  } else if (event.kind == Kind::kFrame) {
    if (!strip_.of_challenge) submit(event);
  } else if (event.kind == Kind::kLost || event.kind == Kind::kFound) {
    const bool is_lost = event.kind == Kind::kLost;
    set_hindrance(kCameraLost, is_lost);
    describe_source();
    parts_.journal.record_event(is_lost ? "camera_lost" : "camera_found", event.text);
    publish();
  } else if (event.kind == Kind::kNote) {
    if (strip_.is_open && entry_.last_fault.empty()) entry_.set_fault(event.text);
  } else {
    if (event.kind == Kind::kError) outcome_ = {Code::kDataCorrupt, event.text};
    ending_ = true;
    strip_.expected = strip_.frames;  // no more come
  }
}

void Station::tick() {
  const Clock::time_point now = Clock::now();
  if (now < next_tick_) return;
  next_tick_ = now + kTick;
  if (!strip_.is_open) watch_worker();
  watch_clock();
  update_hindrances();
  last_reply_.reset();  // told again, changed or not
  publish();
}

void Station::watch_worker() {
  const Health health = parts_.inspector.health();
  const bool restarted = health.restarts != restarts_;
  restarts_ = health.restarts;
  if (!restarted) return;
  parts_.journal.record_event("worker_restarted", health.last_fault,
                              [&](JsonText& json) { json.field("restarts", health.restarts); });
}

void Station::watch_clock() {
  const std::chrono::nanoseconds offset = wall_offset();
  const std::chrono::nanoseconds jump = offset - wall_offset_;
  wall_offset_ = offset;  // a clock that is slowed down or sped up moves with us
  if (jump < kClockJump && -jump < kClockJump) return;
  parts_.journal.record_event("clock_changed", "the wall clock was set",
                              [&](JsonText& json) { json.field("by_ns", jump.count()); });
}

}  // namespace vialsight::station
