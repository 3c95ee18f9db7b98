// Inspects a line: reads strips frame by frame from stdin, one slot each, and prints a verdict for every strip.
//
// usage: vialsight simulate kit --live | inspect_line NAME.vsb [BUDGET_MS]
//        exit 0: the stream ended; 2: it broke, or could not be inspected. BUDGET_MS: default 500
// Build outside this repository: find_package(vialsight CONFIG REQUIRED), link vialsight::vialsight.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "vialsight/frame_stream.h"
#include "vialsight/inspector.h"

namespace {

using vialsight::Clock;

int fail(const vialsight::Status& status) {
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return 2;
}

// Whether a frame, or the end of the stream, comes before the deadline.
bool readable_before(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return ::poll(&input, 1, left > 0 ? static_cast<int>(left) : 0) > 0;
}

void print(const vialsight::StripVerdict& result) {
  std::printf("strip %" PRIu64 " %s reason=%s slack_ms=%.1f\n", result.strip_id, name_of(result.verdict),
              name_of(result.reason), result.slack_s * 1e3);
  std::fflush(stdout);
}

void print(const vialsight::Statistics& counts) {
  std::printf("strips=%" PRIu64 " accepted=%" PRIu64, counts.strips, counts.accepted);
  for (std::uint8_t i = 1; i < 8; ++i) {
    if (counts.rejected[i] > 0)
      std::printf(" %s=%" PRIu64, name_of(static_cast<vialsight::Reason>(i)), counts.rejected[i]);
  }
  std::printf("\n");
}

// One slot per strip: open at its first frame, submit as frames arrive, close behind the last or at the deadline.
vialsight::Status inspect_all(vialsight::FrameStream& stream, vialsight::Inspector& inspector,
                              std::chrono::milliseconds budget) {
  Clock::time_point deadline{};
  bool slot_is_open = false;
  for (;;) {
    if (slot_is_open && !readable_before(deadline)) {
      print(inspector.close());
      slot_is_open = false;  // frames of this strip that still come are too late, and dropped
    }
    const auto next = stream.next_frame();
    if (!next.ok() || !next.value()) {
      if (slot_is_open) print(inspector.close());  // the stream broke within a strip: a reject, frame_missing
      return next.ok() ? vialsight::Status() : next.status();
    }
    const vialsight::StreamFrame& frame = *next.value();
    if (frame.frame_index == 0) {
      deadline = Clock::now() + budget;
      if (auto status = inspector.open(frame.strip_id, deadline); !status.ok()) return status;
      slot_is_open = true;
    }
    if (!slot_is_open) continue;
    // A frame that does not fit makes the strip a reject; the verdict says so.
    static_cast<void>(inspector.submit(frame.frame_index, frame.pixels));
    if (frame.frame_index == stream.format().frames - 1) {
      print(inspector.close());
      slot_is_open = false;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: inspect_line NAME.vsb [BUDGET_MS] < FRAME_STREAM\n");
    return 2;
  }
  const auto bundle = vialsight::Bundle::load(argv[1]);
  if (!bundle.ok()) return fail(bundle.status());
  auto inspector = vialsight::Inspector::create(bundle.value());  // slow; the line waits in the pipe
  if (!inspector.ok()) return fail(inspector.status());
  auto stream = vialsight::FrameStream::open(STDIN_FILENO);
  if (!stream.ok()) return fail(stream.status());
  if (const auto status = stream.value().check_layout(bundle.value().layout()); !status.ok()) return fail(status);

  const std::chrono::milliseconds budget(argc == 3 ? std::strtol(argv[2], nullptr, 10) : 500);
  const vialsight::Status status = inspect_all(stream.value(), inspector.value(), budget);
  print(inspector.value().statistics());
  return status.ok() ? 0 : fail(status);
}
