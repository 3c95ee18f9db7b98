#include "vialsight/handshake.h"

#include <new>
#include <string>
#include <utility>

#include "base/home_process.h"
#include "inspector/handshake_snapshot.h"

namespace vialsight {
namespace {

enum class State : std::uint8_t { kReady, kBusy, kResultValid };

struct Published {
  State state = State::kReady;
  Verdict verdict = Verdict::kReject;
  Reason reason = Reason::kNone;
  std::uint64_t strip_id = 0;
  HandshakeCounters counters;
};

Status moved_from(const char* call) {
  return {Code::kFailedPrecondition, std::string(call) + ": this Handshake was moved from; use the one it became"};
}

std::string strip(std::uint64_t strip_id) { return "strip " + std::to_string(strip_id); }

}  // namespace

struct Handshake::Impl {
 public:
  explicit Impl(Inspector& inspector) noexcept : inspector_(inspector) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { (void)finish(); }

  Status trigger(std::uint64_t strip_id, Clock::time_point deadline);
  StripVerdict finish();
  Status acknowledge(std::uint64_t strip_id);
  [[nodiscard]] Signals signals() const noexcept;
  [[nodiscard]] HandshakeCounters counters() const noexcept { return snapshot_.read().counters; }
  [[nodiscard]] Status check_submit() const;
  [[nodiscard]] bool is_here() const noexcept { return home_.is_here(); }
  [[nodiscard]] Status check_home(const char* call) const;
  [[nodiscard]] Inspector& inspector() noexcept { return inspector_; }

 private:
  [[nodiscard]] Status refusal(std::uint64_t strip_id) const;

  HomeProcess home_;
  Inspector& inspector_;
  Published now_;  // the control thread's
  Snapshot<Published> snapshot_;
};

Status Handshake::Impl::check_home(const char* call) const {
  Status status = home_.check("Handshake");
  return status.ok() ? status : Status(status.code(), std::string(call) + ": " + status.message());
}

Status Handshake::Impl::refusal(std::uint64_t strip_id) const {
  const std::string refused = "trigger: " + strip(strip_id) + " is refused and counts as rejected: ";
  if (now_.state == State::kBusy) {
    return {Code::kFailedPrecondition, refused + strip(now_.strip_id) + " is still busy; finish it first"};
  }
  if (now_.state == State::kResultValid) {
    return {Code::kFailedPrecondition,
            refused + "the result of " + strip(now_.strip_id) + " was not acknowledged; acknowledge it first"};
  }
  return {Code::kFailedPrecondition, refused + "the Inspector is not ready; wait for the signal ready"};
}

Status Handshake::Impl::trigger(std::uint64_t strip_id, Clock::time_point deadline) {
  if (Status status = check_home("trigger"); !status.ok()) return status;
  // Frames that follow may be of either strip: the Inspector makes the busy one a reject, too.
  if (now_.state == State::kBusy) (void)inspector_.open(strip_id, deadline);
  const bool free = now_.state == State::kReady && inspector_.ready();
  Status status = free ? inspector_.open(strip_id, deadline) : refusal(strip_id);
  ++now_.counters.triggers;
  if (status.ok()) {
    now_.state = State::kBusy;
    now_.strip_id = strip_id;
    now_.counters.in_flight = 1;
  } else {
    ++now_.counters.rejected[static_cast<std::size_t>(Reason::kNotReady)];
  }
  snapshot_.write(now_);
  return status;
}

Status Handshake::Impl::check_submit() const {
  if (Status status = check_home("submit"); !status.ok()) return status;
  if (now_.state == State::kBusy) return {};
  return {Code::kFailedPrecondition, "submit: no strip is busy; trigger one first"};
}

StripVerdict Handshake::Impl::finish() {
  if (now_.state != State::kBusy || !is_here()) return {};
  StripVerdict verdict = inspector_.close();
  // The slot was closed, or another opened, behind our back: whatever was inspected, it was not this strip.
  if (verdict.strip_id != now_.strip_id) {
    verdict = StripVerdict();
    verdict.strip_id = now_.strip_id;
  }
  now_.state = State::kResultValid;
  now_.verdict = verdict.verdict;
  now_.reason = verdict.reason;
  now_.counters.in_flight = 0;
  if (verdict.verdict == Verdict::kAccept) {
    ++now_.counters.accepted;
  } else {
    ++now_.counters.rejected[static_cast<std::size_t>(verdict.reason)];
  }
  snapshot_.write(now_);
  return verdict;
}

Status Handshake::Impl::acknowledge(std::uint64_t strip_id) {
  if (Status status = check_home("acknowledge"); !status.ok()) return status;
  if (now_.state != State::kResultValid) {
    return {Code::kFailedPrecondition, "acknowledge: " + strip(strip_id) + " has no valid result; finish it first"};
  }
  if (strip_id != now_.strip_id) {
    return {Code::kInvalidArgument,
            "acknowledge: expected " + strip(now_.strip_id) + ", whose result is shown, got " + strip(strip_id)};
  }
  now_.state = State::kReady;
  now_.verdict = Verdict::kReject;
  now_.reason = Reason::kNone;
  now_.strip_id = 0;
  snapshot_.write(now_);
  return {};
}

Signals Handshake::Impl::signals() const noexcept {
  const Published published = snapshot_.read();
  Signals signals;
  signals.ready = published.state == State::kReady && inspector_.ready();
  signals.busy = published.state == State::kBusy;
  signals.result_valid = published.state == State::kResultValid;
  signals.accept = signals.result_valid && published.verdict == Verdict::kAccept;
  signals.reason = published.reason;
  signals.strip_id = published.strip_id;
  signals.heartbeat = inspector_.heartbeat();
  return signals;
}

Result<Handshake> Handshake::create(Inspector& inspector) {
  if (Status status = inspector.usable(); !status.ok()) {
    return Status(status.code(), "Handshake: " + status.message());
  }
  try {
    return Handshake(std::make_unique<Impl>(inspector));
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "Handshake: no memory");
  }
}

Handshake::Handshake(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Handshake::Handshake(Handshake&&) noexcept = default;
Handshake& Handshake::operator=(Handshake&&) noexcept = default;
Handshake::~Handshake() = default;

Status Handshake::trigger(std::uint64_t strip_id, Clock::time_point deadline) {
  return impl_ != nullptr ? impl_->trigger(strip_id, deadline) : moved_from("trigger");
}

Status Handshake::submit(int frame_index, const FrameView& frame) {
  if (impl_ == nullptr) return moved_from("submit");
  Status status = impl_->check_submit();
  return status.ok() ? impl_->inspector().submit(frame_index, frame) : status;
}

Status Handshake::submit(int frame_index, const FrameView& frame, const FrameStamp& stamp) {
  if (impl_ == nullptr) return moved_from("submit");
  Status status = impl_->check_submit();
  return status.ok() ? impl_->inspector().submit(frame_index, frame, stamp) : status;
}

StripVerdict Handshake::finish() { return impl_ != nullptr ? impl_->finish() : StripVerdict{}; }

Status Handshake::acknowledge(std::uint64_t strip_id) {
  return impl_ != nullptr ? impl_->acknowledge(strip_id) : moved_from("acknowledge");
}

// After a fork the copy of a valid accept would be shown for ever.
Signals Handshake::signals() const noexcept {
  return impl_ != nullptr && impl_->is_here() ? impl_->signals() : Signals{};
}

HandshakeCounters Handshake::counters() const noexcept {
  return impl_ != nullptr && impl_->is_here() ? impl_->counters() : HandshakeCounters{};
}

}  // namespace vialsight
