// A challenge: the strips of a kit, one small step at a time, so that the machine is answered meanwhile.
#include <algorithm>
#include <cstring>

#include "station/challenge_run.h"

namespace vialsight::station {
namespace {

FrameView view_of(const std::vector<std::byte>& pixels, const Layout& layout) {
  const bool is_wide = layout.bit_depth > 8;
  return {pixels.data(), layout.frame_width, layout.frame_height,
          static_cast<std::ptrdiff_t>(static_cast<std::size_t>(layout.frame_width) * bytes_per_pixel(layout)),
          is_wide ? PixelFormat::kGray16 : PixelFormat::kGray8};
}

int count_frames(const ChallengeStrip& strip) {
  return static_cast<int>(
      std::count_if(strip.frames.begin(), strip.frames.end(), [](const auto& frame) { return frame.has_value(); }));
}

}  // namespace

void Station::step_challenge() {
  if (challenge_ == nullptr) return;
  ChallengeRun& run = *challenge_;
  if (run.unrecorded) {
    return end_challenge(
        {Code::kResourceExhausted, "challenge: a strip found no room in the spool; wait for the disk"});
  }
  if (run.forgotten < ChallengeRun::kRemembered) return forget_frames();
  if (run.strip == run.kit.strips().size()) return end_challenge(Status());
  if (run.loaded == run.frame_count) return inspect_next();
  const auto& file = run.kit.strips()[run.strip].frames[run.loaded];
  if (file) {
    if (Status status = run.kit.read_frame(*file, run.pixels[run.loaded]); !status.ok()) return end_challenge(status);
  }
  ++run.loaded;
}

// The Inspector refuses frames that it has seen before, and a kit is inspected again and again. Frames of noise, of
// strips whose deadline is now, so that none is scored, take the place of those that it remembers.
void Station::forget_frames() {
  ChallengeRun& run = *challenge_;
  const Clock::time_point now = Clock::now();
  if (!parts_.handshake.trigger(0, now).ok()) {
    return end_challenge({Code::kFailedPrecondition, "challenge: the inspector is not ready"});
  }
  for (int i = 0; i < layout_.frames; ++i) {
    const std::int64_t noise[2] = {now.time_since_epoch().count(), i};
    std::vector<std::byte>& pixels = run.pixels.front();
    std::memcpy(pixels.data(), noise, std::min(sizeof noise, pixels.size()));
    (void)parts_.handshake.submit(i, view_of(pixels, layout_));
  }
  (void)parts_.handshake.finish();
  (void)parts_.handshake.acknowledge(0);
  ++run.forgotten;
}

void Station::inspect_next() {
  ChallengeRun& run = *challenge_;
  const ChallengeStrip& strip = run.kit.strips()[run.strip];
  open({run.strip + 1, Clock::now(), 0}, true, count_frames(strip));
  if (!strip_.is_open) return end_challenge({Code::kFailedPrecondition, "challenge: the inspector is not ready"});
  entry_.name = strip.name;
  run.submitted = 0;
}

void Station::submit_challenge_frame() {
  ChallengeRun& run = *challenge_;
  const ChallengeStrip& strip = run.kit.strips()[run.strip];
  while (run.submitted < run.frame_count && !strip.frames[run.submitted]) ++run.submitted;
  if (run.submitted == run.frame_count) return;
  SourceEvent event;
  event.kind = SourceEvent::Kind::kFrame;
  event.pixels = view_of(run.pixels[run.submitted], layout_);
  event.frame_index = static_cast<int>(run.submitted);
  event.strip_id = strip_.trigger.strip_id;
  event.exposed = Clock::now();
  submit(event);
  ++run.submitted;
}

void Station::end_challenge(const Status& status) {
  const std::unique_ptr<ChallengeRun> run = std::move(challenge_);
  enter(Mode::kHalted);
  answer(run->command, status);
}

}  // namespace vialsight::station
