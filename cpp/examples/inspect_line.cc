// Inspects a line: reads strips frame by frame from stdin, one slot each, and prints what a PLC would see.
//
// usage: vialsight simulate kit --live | inspect_line NAME.vsb [BUDGET_MS [worker]]
//        exit 0: the stream ended; 2: it broke, or could not be inspected. worker: TensorFlow in its own process
// Build outside this repository: find_package(vialsight CONFIG REQUIRED), link vialsight::vialsight.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "vialsight/frame_stream.h"
#include "vialsight/handshake.h"

namespace {

using vialsight::Clock;
using vialsight::Handshake;

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

void show(const char* step, const vialsight::Signals& plc) {
  std::printf("%-11s ready=%d busy=%d valid=%d accept=%d reason=%s strip=%" PRIu64 " heartbeat=%" PRIu64 "\n", step,
              plc.ready, plc.busy, plc.result_valid, plc.accept, name_of(plc.reason), plc.strip_id, plc.heartbeat);
}

void show(const vialsight::HandshakeCounters& counts) {
  std::printf("triggers=%" PRIu64 " accepted=%" PRIu64, counts.triggers, counts.accepted);
  for (int i = 1; i < vialsight::kReasonCount; ++i)
    std::printf(" %s=%" PRIu64, name_of(static_cast<vialsight::Reason>(i)), counts.rejected[i]);
  std::printf("\n");
}

void finish(Handshake& handshake) {
  const vialsight::StripVerdict result = handshake.finish();
  show("finish", handshake.signals());
  std::printf("strip %" PRIu64 " %s reason=%s slack_ms=%.1f\n", result.strip_id, name_of(result.verdict),
              name_of(result.reason), result.slack_s * 1e3);
  if (handshake.acknowledge(result.strip_id).ok()) show("acknowledge", handshake.signals());
  std::fflush(stdout);
}

// One slot per strip: trigger at its first frame, submit as frames arrive, finish behind the last or at the deadline.
vialsight::Status inspect_all(vialsight::FrameStream& stream, Handshake& handshake, std::chrono::milliseconds budget) {
  Clock::time_point deadline{};
  for (;;) {
    if (handshake.signals().busy && !readable_before(deadline)) finish(handshake);
    const auto next = stream.next_frame();
    if (!next.ok() || !next.value()) {
      if (handshake.signals().busy) finish(handshake);  // the stream broke within a strip: a reject, frame_missing
      return next.ok() ? vialsight::Status() : next.status();
    }
    const vialsight::StreamFrame& frame = *next.value();
    if (frame.frame_index == 0) {
      deadline = Clock::now() + budget;
      if (const auto status = handshake.trigger(frame.strip_id, deadline); !status.ok()) fail(status);
      show("trigger", handshake.signals());
    }
    if (!handshake.signals().busy) continue;  // a frame after the deadline, or of a refused strip: dropped
    const vialsight::FrameStamp stamp{frame.strip_id, frame.frame_index, Clock::now()};
    // A frame that does not fit makes the strip a reject; the verdict says so.
    if (const auto status = handshake.submit(frame.frame_index, frame.pixels, stamp); !status.ok()) fail(status);
    if (frame.frame_index == stream.format().frames - 1) finish(handshake);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return fail({vialsight::Code::kInvalidArgument, "usage: inspect_line NAME.vsb [BUDGET_MS [worker]]"});
  const auto bundle = vialsight::Bundle::load(argv[1]);
  if (!bundle.ok()) return fail(bundle.status());
  vialsight::InspectorOptions options;
  if (argc > 3 && std::string_view(argv[3]) == "worker") options.isolation = vialsight::Isolation::kWorker;
  auto inspector = vialsight::Inspector::create(bundle.value(), options);  // slow; the line waits in the pipe
  if (!inspector.ok()) return fail(inspector.status());
  auto handshake = Handshake::create(inspector.value());
  if (!handshake.ok()) return fail(handshake.status());
  auto stream = vialsight::FrameStream::open(STDIN_FILENO);
  if (!stream.ok()) return fail(stream.status());
  if (const auto status = stream.value().check_layout(bundle.value().layout()); !status.ok()) return fail(status);
  const std::chrono::milliseconds budget(argc > 2 ? std::strtol(argv[2], nullptr, 10) : 500);
  const vialsight::Status status = inspect_all(stream.value(), handshake.value(), budget);
  show(handshake.value().counters());
  return status.ok() ? 0 : fail(status);
}
