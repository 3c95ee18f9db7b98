// vialsight-gige-camera: serves a frame stream as a GigE Vision camera, and plays the machine around it. See --help.
#include <sched.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "station/gige_camera/camera_line.h"
#include "station/gige_camera/camera_options.h"
#include "station/gige_camera/loopback_address.h"

namespace {

using namespace vialsight;
using namespace vialsight::station;

constexpr int kExitUsage = 2;

volatile std::sig_atomic_t stop = 0;

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// For this thread and all that it starts.
Status take_priority(int priority) {
  if (priority == 0) return {};
  const sched_param parameters{priority};
  if (::sched_setscheduler(0, SCHED_FIFO, &parameters) == 0) return {};
  return {Code::kPermissionDenied,
          "--priority: expected to be allowed SCHED_FIFO, got: " + std::string(std::strerror(errno)) +
              "; run it as root, or raise the limit rtprio"};
}

int fail(const Status& status) {
  std::fprintf(stderr, "vialsight-gige-camera: %s\n", status.message().c_str());
  return kExitUsage;
}

void report(const LineCounts& line, const FakeGigeCounts& camera) {
  std::fprintf(stderr,
               "vialsight-gige-camera: triggers=%llu accepted=%llu rejected=%llu lost=%llu frames=%llu ignored=%llu "
               "late=%llu worst_late_s=%.3f worst_result_ms=%.1f\n",
               static_cast<unsigned long long>(line.triggers), static_cast<unsigned long long>(line.accepted),
               static_cast<unsigned long long>(line.rejected), static_cast<unsigned long long>(line.lost),
               static_cast<unsigned long long>(camera.sent), static_cast<unsigned long long>(camera.ignored),
               static_cast<unsigned long long>(line.late), line.worst_late_s, line.worst_result_ms);
}

int serve(const CameraOptions& options) {
  if (const Status status = serve_on(options.address); !status.ok()) return fail(status);
  if (const Status status = take_priority(options.priority); !status.ok()) return fail(status);
  auto feed = StripFeed::open(options.feed);
  if (!feed.ok()) return fail(feed.status());
  auto truth = TruthFile::create(options.truth);
  if (!truth.ok()) return fail(truth.status());
  auto camera = FakeGige::create(options.address, options.serial, feed.value()->format());
  if (!camera.ok()) return fail(camera.status());
  std::fprintf(stderr, "vialsight-gige-camera: Aravis-%s on %s, %dx%d, %d bit\n", options.serial.c_str(),
               options.address.c_str(), feed.value()->format().width, feed.value()->format().height,
               feed.value()->format().bit_depth);
  CameraLine line(options.line, *camera.value(), *feed.value(), std::move(truth).value(), stop);
  const LineCounts counts = line.run();
  report(counts, camera.value()->counts());
  const Status broken = feed.value()->status();
  return broken.ok() ? 0 : fail(broken);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_camera_options(argc, argv);
  if (!options.ok()) return fail(options.status());
  if (options.value().help) {
    std::fputs(camera_usage(), stdout);
    return 0;
  }
  stop_on_signals();
  return serve(options.value());
}
