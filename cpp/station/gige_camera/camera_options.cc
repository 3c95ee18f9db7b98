#include "station/gige_camera/camera_options.h"

#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <string_view>
#include <system_error>

namespace vialsight::station {
namespace {

using std::chrono::microseconds;

constexpr double kLongestMs = 86'400'000.0;  // a day
constexpr std::size_t kMostAhead = 100'000;

Status invalid(std::string_view option, std::string_view expected, std::string_view got) {
  return {Code::kInvalidArgument, std::string(option) + ": expected " + std::string(expected) + ", got \"" +
                                      std::string(got) + "\"; see --help"};
}

Status parse_number(std::string_view option, std::string_view text, double low, double high, double& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && number >= low && number <= high) return {};
  std::string expected = "a number from ";
  expected += std::to_string(low) + " to " + std::to_string(high);
  return invalid(option, expected, text);
}

// Takes the value of an option.
using Setter = std::function<Status(std::string_view option, std::string_view text)>;

Setter text_into(std::string& target) {
  return [&target](std::string_view option, std::string_view text) -> Status {
    if (text.empty()) return invalid(option, "a text", text);
    target = text;
    return {};
  };
}

Setter time_into(microseconds& target, double low_ms, double unit_ms) {
  return [&target, low_ms, unit_ms](std::string_view option, std::string_view text) -> Status {
    double number = 0.0;
    Status status = parse_number(option, text, low_ms / unit_ms, kLongestMs / unit_ms, number);
    if (status.ok()) target = microseconds(std::llround(number * unit_ms * 1e3));
    return status;
  };
}

Setter share_into(double& target) {
  return [&target](std::string_view option, std::string_view text) {
    return parse_number(option, text, 0.0, 1.0, target);
  };
}

template <typename Number>
Setter count_into(Number& target, Number low, Number high) {
  return [&target, low, high](std::string_view option, std::string_view text) -> Status {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), target);
    if (error == std::errc() && end == text.data() + text.size() && target >= low && target <= high) return {};
    return invalid(option, "a whole number from " + std::to_string(low) + " to " + std::to_string(high), text);
  };
}

std::map<std::string_view, Setter> setters(CameraOptions& options) {
  LineOptions& line = options.line;
  constexpr std::uint64_t kMost = UINT64_MAX / 2;
  return {{"--input", text_into(options.feed.path)},
          {"--address", text_into(options.address)},
          {"--serial", text_into(options.serial)},
          {"--machine", text_into(line.machine)},
          {"--truth", text_into(options.truth)},
          {"--ahead", count_into<std::size_t>(options.feed.ahead, 1, kMostAhead)},
          {"--priority", count_into<int>(options.priority, 1, 99)},
          {"--slot-ms", time_into(line.slot, 50.0, 1.0)},
          {"--interval-ms", time_into(line.interval, 0.0, 1.0)},
          {"--strips", count_into<std::uint64_t>(line.strips, 1, kMost)},
          {"--first-strip", count_into<std::uint64_t>(line.first_strip, 1, kMost)},
          {"--lose-packets", share_into(line.faults.lose_packets)},
          {"--late-frames", share_into(line.faults.late)},
          {"--late-ms", time_into(line.late, 1.0, 1.0)},
          {"--missing-frames", share_into(line.faults.missing)},
          {"--repeat-frames", share_into(line.faults.repeat)},
          {"--swap-frames", share_into(line.faults.swap)},
          {"--unplug-every", time_into(line.unplug_every, 0.0, 1000.0)},
          {"--unplug-for", time_into(line.unplug_for, 100.0, 1000.0)},
          {"--seed", count_into<std::uint64_t>(line.seed, 0, UINT64_MAX)}};
}

Status check(const CameraOptions& options) {
  if (options.line.faults.sum() > 1.0) {
    return {Code::kInvalidArgument,
            "--lose-packets, --late-frames, --missing-frames, --repeat-frames and --swap-frames: "
            "expected shares that add up to at most 1, got " +
                std::to_string(options.line.faults.sum())};
  }
  if (options.line.interval > options.line.slot) {
    return {Code::kInvalidArgument, "--interval-ms: expected at most the slot, --slot-ms; got more"};
  }
  constexpr std::size_t kLongestSerial = 15;  // GigE Vision's register has 16 bytes
  if (options.serial.size() <= kLongestSerial) return {};
  return invalid("--serial", "at most 15 bytes", options.serial);
}

}  // namespace

const char* camera_usage() noexcept {
  return "vialsight-gige-camera: serves a frame stream as a GigE Vision camera, and plays the machine around it.\n"
         "\n"
         "usage: vialsight simulate SET --live | vialsight-gige-camera [options]\n"
         "  --input FILE        frame stream; -: standard input (default)\n"
         "  --address A         IPv4 address of the camera, any of 127.0.0.0/8 (default 127.0.0.1)\n"
         "  --serial TEXT       of the camera, whose id is Aravis-TEXT (default vialsight)\n"
         "  --machine SOCKET    a station's run/machine.sock: is triggered, and its verdicts drive the gate\n"
         "  --truth FILE.csv    what each strip was, which faults it had, and what became of it\n"
         "  --slot-ms X         time per strip (default 500)\n"
         "  --interval-ms X     over which a strip's frames are spread (default 120)\n"
         "  --ahead N           strips read before the line starts, and while it runs (default 4)\n"
         "  --loop              the file again and again\n"
         "  --strips N          ends after so many\n"
         "  --first-strip N     id of the first (default 1)\n"
         "  --start-now         does not wait for a client and a station that is ready\n"
         "  --priority N        SCHED_FIFO: a camera does not wait for a processor\n"
         "faults, each a share of strips; a strip has one at most\n"
         "  --lose-packets P    half of a frame's packets are lost\n"
         "  --late-frames P     a frame and those behind it arrive late, by --late-ms X (default 600)\n"
         "  --missing-frames P  a frame does not arrive, or was not taken\n"
         "  --repeat-frames P   a frame shows an old image\n"
         "  --swap-frames P     two frames of a strip have changed places\n"
         "  --unplug-every S    seconds, for --unplug-for S seconds (default 2)\n"
         "  --seed N            of all chance (default 0)\n";
}

Result<CameraOptions> parse_camera_options(int argc, const char* const* argv) {
  CameraOptions options;
  options.feed.path = "-";
  const auto known = setters(options);
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--help" || option == "-h") {
      options.help = true;
    } else if (option == "--loop") {
      options.feed.loop = true;
    } else if (option == "--start-now") {
      options.line.wait_ready = false;
    } else if (const auto setter = known.find(option); setter == known.end()) {
      return Status(Code::kInvalidArgument, "unknown option \"" + std::string(option) + "\"; see --help");
    } else if (i + 1 == argc) {
      return invalid(option, "a value", "");
    } else if (Status status = setter->second(option, argv[++i]); !status.ok()) {
      return status;
    }
  }
  if (Status status = check(options); !status.ok()) return status;
  return options;
}

}  // namespace vialsight::station
