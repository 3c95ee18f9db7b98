#include "station/station_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace vialsight::station {
namespace {

constexpr const char* kHelp =
    R"(usage: vialsight-station BUNDLE --dir DIR --name NAME [options]

Inspects the strips of a line: frames in, verdicts to the machine, signals to /dev/shm/vialsight-NAME, records to
DIR/spool. Starts halted; commands come by DIR/run/control.sock, triggers by DIR/run/machine.sock.

  --bundle BUNDLE          the bundle, if it is not the first argument
  --dir DIR                folder of this line; made where there is none
  --name NAME              of this line: 1 to 32 of a-z, 0-9 and -
  --source SOURCE          stream (standard input), stream:PATH, folder:PATH or gige:CAMERA       [stream]
  --slot-ms X              a strip every X ms, from files and folders                             [500]
  --budget-ms X            from trigger to deadline                                               [480]
  --margin-ms X            before the deadline, for waking up and deciding                        [2]
  --isolation HOW          worker, or in_process                                                  [worker]
  --threads N              of the network; 0: one per core                                        [0]
  --priority N             SCHED_FIFO, 1 to 98, of what inspects; 0: none                         [0]
  --cpus LIST              CPUs for what inspects, such as 2,3                                     [all]
  --lock-memory            keep all memory resident
  --level LEVEL            thresholds that decide: patch, strip or run                            [strip]
  --self-acknowledge       take each result as acknowledged, whatever the machine does
  --packet-bytes N         of GigE Vision; as gige:CAMERA,packet=N
  --ring-strips N          strips that may wait for the disk                                      [1024]
  --kept-pictures N        rejects whose pictures may wait for the disk                           [8]
  --start production       begin in production, without a batch: for tests, and recorded as such
  --backend-module FILE, --worker FILE    other programs than those beside this one: for tests
  --help

exit 0: stopped by command or SIGTERM, or the stream ended; 1: the source broke; 2: could not start
)";

Status wrong(const std::string& option, const std::string& expected, std::string_view came) {
  return {Code::kInvalidArgument,
          option + ": expected " + expected + ", got \"" + std::string(came) + "\"; see vialsight-station --help"};
}

template <typename Number>
bool read_number(std::string_view text, Number minimum, Number maximum, Number& result) {
  const auto end = std::from_chars(text.data(), text.data() + text.size(), result);
  return end.ec == std::errc() && end.ptr == text.data() + text.size() && result >= minimum && result <= maximum;
}

// Reads the value of one option into place; false where it is none.
struct Reader {
  std::string_view option;
  const char* expected;  // for messages; null: the option takes no value
  std::function<bool(StationOptions&, std::string_view)> read;
};

Reader text(std::string_view option, std::string StationOptions::*field) {
  return {option, "a text", [field](StationOptions& options, std::string_view value) {
            options.*field = value;
            return !value.empty();
          }};
}

Reader flag(std::string_view option, bool StationOptions::*field) {
  return {option, nullptr, [field](StationOptions& options, std::string_view) { return options.*field = true; }};
}

Reader time(std::string_view option, double StationOptions::*field) {
  return {option, "milliseconds from 0.001 to 86400000", [field](StationOptions& options, std::string_view value) {
            return read_number(value, 0.001, 86'400'000.0, options.*field);
          }};
}

Reader count(std::string_view option, const char* expected, int minimum, int maximum, int StationOptions::*field) {
  return {option, expected, [=](StationOptions& options, std::string_view value) {
            return read_number(value, minimum, maximum, options.*field);
          }};
}

bool read_cpus(StationOptions& options, std::string_view list) {
  options.scheduling.cpus.clear();
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (!read_number(list.substr(0, comma), 0, 1023, options.scheduling.cpus.emplace_back())) return false;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return !options.scheduling.cpus.empty();
}

bool read_level(StationOptions& options, std::string_view name) {
  for (const Level level : {Level::kPatch, Level::kStrip, Level::kRun}) {
    if (name != name_of(level)) continue;
    options.level = level;
    return true;
  }
  return false;
}

bool read_isolation(StationOptions& options, std::string_view name) {
  options.isolation = name == "worker" ? Isolation::kWorker : Isolation::kInProcess;
  return name == "worker" || name == "in_process";
}

bool read_priority(StationOptions& options, std::string_view value) {
  return read_number(value, 0, 98, options.scheduling.priority);  // 99 is above: the control thread's
}

bool lock_memory(StationOptions& options, std::string_view) { return options.scheduling.lock_memory = true; }

bool read_start(StationOptions& options, std::string_view value) {
  return options.start_in_production = value == "production";
}

bool read_packet_bytes(StationOptions& options, std::string_view value) {
  options.packet_bytes = value;
  int number = 0;
  return read_number(value, 1, 65535, number);
}

const std::vector<Reader>& readers() {
  using Options = StationOptions;
  static const std::vector<Reader> kReaders = {
      text("--bundle", &Options::bundle),
      text("--dir", &Options::folder),
      text("--name", &Options::name),
      text("--source", &Options::source),
      text("--backend-module", &Options::backend_module),
      text("--worker", &Options::worker),
      time("--slot-ms", &Options::slot_ms),
      time("--budget-ms", &Options::budget_ms),
      time("--margin-ms", &Options::margin_ms),
      count("--threads", "0 to 1024", 0, 1024, &Options::threads),
      count("--ring-strips", "4 to 100000", 4, 100'000, &Options::ring_strips),
      count("--kept-pictures", "0 to 1000", 0, 1000, &Options::kept_pictures),
      flag("--self-acknowledge", &Options::self_acknowledge),
      flag("--help", &Options::wants_help),
      {"--lock-memory", nullptr, lock_memory},
      {"--isolation", "worker or in_process", read_isolation},
      {"--priority", "0 to 98", read_priority},
      {"--cpus", "numbers such as 2,3", read_cpus},
      {"--level", "patch, strip or run", read_level},
      {"--start", "production", read_start},
      {"--packet-bytes", "1 to 65535", read_packet_bytes},
  };
  return kReaders;
}

bool is_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-';
  });
}

Status check(const StationOptions& options) {
  if (options.bundle.empty()) return wrong("BUNDLE", "a folder NAME.vsb", "");
  if (options.folder.empty()) return wrong("--dir", "the folder of this line", "");
  if (!is_name(options.name)) return wrong("--name", "1 to 32 of a-z, 0-9 and -", options.name);
  if (options.margin_ms < options.budget_ms) return {};
  return wrong("--margin-ms", "less than --budget-ms, " + std::to_string(options.budget_ms),
               std::to_string(options.margin_ms));
}

}  // namespace

const char* help_text() noexcept { return kHelp; }

std::chrono::nanoseconds nanoseconds_of(double milliseconds) noexcept {
  return std::chrono::nanoseconds(std::llround(milliseconds * 1e6));
}

InspectorOptions StationOptions::inspector() const {
  InspectorOptions result;
  result.level = level;
  result.threads = threads;
  result.margin = std::chrono::duration_cast<std::chrono::microseconds>(nanoseconds_of(margin_ms));
  result.scheduling = scheduling;
  result.isolation = isolation;
  result.backend_module = backend_module;
  result.worker.program = worker;
  return result;
}

Result<StationOptions> parse_options(std::span<const char* const> arguments) {
  StationOptions options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string option = arguments[i];
    const auto reader =
        std::find_if(readers().begin(), readers().end(), [&](const Reader& known) { return known.option == option; });
    if (reader == readers().end()) {
      if (option.starts_with("-") || !options.bundle.empty()) return wrong(option, "an option that is known", option);
      options.bundle = option;
      continue;
    }
    if (reader->expected != nullptr && ++i == arguments.size()) return wrong(option, reader->expected, "nothing");
    if (!reader->read(options, arguments[i])) return wrong(option, reader->expected, arguments[i]);
  }
  if (options.wants_help) return options;
  if (options.source.starts_with("gige:")) {
    if (!options.packet_bytes.empty()) options.source += ",packet=" + options.packet_bytes;
    // Who receives goes first, or packets are lost while all cores infer; the control thread has the same.
    if (options.scheduling.priority > 0 && options.source.find(",priority=") == std::string::npos) {
      options.source += ",priority=" + std::to_string(options.scheduling.priority + 1);
    }
  }
  Status status = check(options);
  return status.ok() ? Result<StationOptions>(std::move(options)) : Result<StationOptions>(std::move(status));
}

}  // namespace vialsight::station
