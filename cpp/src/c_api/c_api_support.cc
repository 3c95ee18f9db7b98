#include "c_api/c_api_support.h"

#include <algorithm>
#include <cstdio>

namespace vialsight {
namespace {

// A longer sentence is cut off; a path may be long.
constexpr std::size_t kErrorCapacity = 1024;
thread_local char error_text[kErrorCapacity] = "";

// No struct of ours comes near; a larger size is memory that nobody has set.
constexpr std::uint64_t kLargestStruct = 4096;

Status wrong_value(const char* name, const char* expected, std::int64_t came) {
  return {Code::kInvalidArgument, std::string(name) + ": expected " + expected + ", got " + std::to_string(came)};
}

Status check_reserved(const char* name, std::int32_t reserved) {
  if (reserved == 0) return {};
  return {Code::kUnsupported, std::string(name) + ".reserved: expected 0, got " + std::to_string(reserved) +
                                  "; set the struct to zero before its fields"};
}

Result<bool> flag_of(const char* name, std::int32_t value) {
  if (value == 0 || value == 1) return value == 1;
  return wrong_value(name, "0 or 1", value);
}

std::string path_or_empty(const char* text) { return text != nullptr ? text : ""; }

Status read_flags(const vialsight_options& from, InspectorOptions& to) {
  const struct {
    const char* name;
    std::int32_t value;
    bool& target;
  } flags[] = {{"require_thresholds", from.require_thresholds, to.require_thresholds},
               {"require_fresh_frames", from.require_fresh_frames, to.require_fresh_frames},
               {"lock_memory", from.lock_memory, to.scheduling.lock_memory}};
  for (const auto& flag : flags) {
    const Result<bool> value = flag_of(flag.name, flag.value);
    if (!value.ok()) return value.status();
    flag.target = value.value();
  }
  return {};
}

Status read_cpus(const vialsight_options& from, InspectorOptions& to) {
  constexpr std::int32_t kMostCpus = 4096;
  if (from.cpu_count < 0 || from.cpu_count > kMostCpus) return wrong_value("cpu_count", "0 to 4096", from.cpu_count);
  if (from.cpu_count > 0 && from.cpus == nullptr) return null_pointer("cpus");
  if (from.cpu_count > 0) to.scheduling.cpus.assign(from.cpus, from.cpus + from.cpu_count);
  return {};
}

}  // namespace

vialsight_status report(const Status& status, const char* call) noexcept {
  return status.ok() ? VIALSIGHT_OK : report(status.code(), status.message().c_str(), call);
}

vialsight_status report(Code code, const char* message, const char* call) noexcept {
  std::snprintf(error_text, sizeof error_text, "%s: %s", call, message);
  return static_cast<vialsight_status>(code);
}

const char* last_error() noexcept { return error_text; }

Status not_a_handle(const char* name, const void* handle) {
  const std::string expected = std::string("expected a living ") + name + ", got ";
  if (handle == nullptr) return {Code::kInvalidArgument, expected + "NULL; create one first"};
  return {Code::kInvalidArgument, expected + "a handle that was destroyed, is of another kind, or none of ours"};
}

Status null_pointer(const char* name) {
  return {Code::kInvalidArgument, std::string(name) + ": expected a pointer, got NULL"};
}

Status wrong_count(const char* name, std::uint64_t expected, std::uint64_t came) {
  return {Code::kInvalidArgument, std::string(name) + ": expected room for " + std::to_string(expected) +
                                      " values, got " + std::to_string(came)};
}

Status too_many_handles() {
  return {Code::kResourceExhausted, "expected at most " + std::to_string(kMaxHandles) +
                                        " living handles, all are in use; destroy those no longer needed"};
}

Status copy_text(std::string_view text, char* target, std::uint64_t capacity) {
  if (target == nullptr) return null_pointer("text");
  if (capacity <= text.size()) {
    return {Code::kInvalidArgument,
            "capacity: expected at least " + std::to_string(text.size() + 1) + ", got " + std::to_string(capacity)};
  }
  std::memcpy(target, text.data(), text.size());
  target[text.size()] = '\0';
  return {};
}

std::uint64_t struct_size_of(const void* bytes) noexcept {
  std::uint64_t size = 0;
  std::memcpy(&size, bytes, sizeof size);
  return size;
}

Status check_struct(const void* bytes, const char* name, std::size_t known) {
  if (bytes == nullptr) return null_pointer(name);
  const std::uint64_t size = struct_size_of(bytes);
  if (size >= sizeof size && size <= kLargestStruct && size % sizeof size == 0) return {};
  return {Code::kInvalidArgument, std::string(name) + ".struct_size: expected sizeof the struct (" +
                                      std::to_string(known) + " here), got " + std::to_string(size) +
                                      "; set it before the call"};
}

Status check_input(const void* bytes, const char* name, std::size_t known) {
  if (Status status = check_struct(bytes, name, known); !status.ok()) return status;
  const std::uint64_t size = struct_size_of(bytes);
  const auto* first = static_cast<const unsigned char*>(bytes);
  if (size <= known || std::all_of(first + known, first + size, [](unsigned char byte) { return byte == 0; })) {
    return {};
  }
  return {Code::kUnsupported, std::string(name) + ": expected zeros behind the " + std::to_string(known) +
                                  " bytes this library knows, got a field of a later version; install that version"};
}

void copy_struct(const void* from, void* to, std::size_t known) noexcept {
  std::memcpy(to, from, std::min<std::size_t>(struct_size_of(from), known));
}

void fill_struct(const void* from, void* to, std::size_t known) noexcept {
  constexpr std::size_t kHead = sizeof(std::uint64_t);
  const std::size_t size = struct_size_of(to);
  const std::size_t common = std::min(size, known);
  auto* bytes = static_cast<unsigned char*>(to);
  std::memcpy(bytes + kHead, static_cast<const unsigned char*>(from) + kHead, common - kHead);
  std::memset(bytes + common, 0, size - common);
}

Clock::time_point time_of(std::int64_t nanoseconds) noexcept {
  return Clock::time_point(std::chrono::nanoseconds(nanoseconds));
}

Result<FrameView> frame_of(const vialsight_frame* frame) {
  vialsight_frame known = {};
  if (Status status = read_struct(frame, "frame", known); !status.ok()) return status;
  if (Status status = check_reserved("frame", known.reserved); !status.ok()) return status;
  if (known.format != VIALSIGHT_GRAY8 && known.format != VIALSIGHT_GRAY16) {
    return wrong_value("frame.format", "VIALSIGHT_GRAY8 or VIALSIGHT_GRAY16", known.format);
  }
  return FrameView{known.data, known.width, known.height, static_cast<std::ptrdiff_t>(known.row_stride_bytes),
                   static_cast<PixelFormat>(known.format)};
}

Result<FrameStamp> stamp_of(const vialsight_stamp* stamp) {
  vialsight_stamp known = {};
  if (Status status = read_struct(stamp, "stamp", known); !status.ok()) return status;
  if (Status status = check_reserved("stamp", known.reserved); !status.ok()) return status;
  return FrameStamp{known.strip_id, known.frame_index, time_of(known.exposed_ns)};
}

vialsight_options default_options() noexcept {
  const InspectorOptions defaults;
  vialsight_options options = {};
  options.level = static_cast<std::int32_t>(defaults.level);
  options.require_thresholds = defaults.require_thresholds ? 1 : 0;
  options.require_fresh_frames = defaults.require_fresh_frames ? 1 : 0;
  options.threads = defaults.threads;
  options.margin_us = defaults.margin.count();
  options.isolation = static_cast<std::int32_t>(defaults.isolation);
  options.lock_memory = defaults.scheduling.lock_memory ? 1 : 0;
  options.priority = defaults.scheduling.priority;
  options.worker_batch_timeout_ms = defaults.worker.batch_timeout.count();
  options.worker_start_timeout_ms = defaults.worker.start_timeout.count();
  return options;
}

Result<InspectorOptions> options_of(const vialsight_options* options) {
  if (options == nullptr) return InspectorOptions();
  vialsight_options known = default_options();
  if (Status status = read_struct(options, "options", known); !status.ok()) return status;
  // Wider than the enums they become: what does not fit would wrap around to a good value.
  if (known.level < VIALSIGHT_LEVEL_PATCH || known.level > VIALSIGHT_LEVEL_RUN) {
    return wrong_value("level", "VIALSIGHT_LEVEL_PATCH, _STRIP or _RUN", known.level);
  }
  if (known.isolation != VIALSIGHT_IN_PROCESS && known.isolation != VIALSIGHT_WORKER) {
    return wrong_value("isolation", "VIALSIGHT_IN_PROCESS or VIALSIGHT_WORKER", known.isolation);
  }
  InspectorOptions result;
  if (Status status = read_flags(known, result); !status.ok()) return status;
  if (Status status = read_cpus(known, result); !status.ok()) return status;
  result.level = static_cast<Level>(known.level);
  result.threads = known.threads;
  result.margin = std::chrono::microseconds(known.margin_us);
  result.backend_module = path_or_empty(known.backend_module);
  result.isolation = static_cast<Isolation>(known.isolation);
  result.scheduling.priority = known.priority;
  result.worker.program = path_or_empty(known.worker_program);
  result.worker.batch_timeout = std::chrono::milliseconds(known.worker_batch_timeout_ms);
  result.worker.start_timeout = std::chrono::milliseconds(known.worker_start_timeout_ms);
  return result;
}

Status start_rejected(std::uint64_t strip_id, vialsight_verdict* verdict) {
  if (Status status = start_zeroed(verdict, "verdict"); !status.ok()) return status;
  vialsight_verdict rejected = {};
  rejected.strip_id = strip_id;
  rejected.reason = VIALSIGHT_REASON_NOT_READY;
  write_struct(rejected, verdict);
  return {};
}

vialsight_verdict verdict_of(const StripVerdict& verdict) noexcept {
  vialsight_verdict result = {};
  result.strip_id = verdict.strip_id;
  result.verdict = static_cast<std::int32_t>(verdict.verdict);
  result.reason = static_cast<std::int32_t>(verdict.reason);
  result.extract_s = verdict.times.extract_s;
  result.infer_s = verdict.times.infer_s;
  result.score_s = verdict.times.score_s;
  result.total_s = verdict.times.total_s;
  result.after_last_frame_s = verdict.times.after_last_frame_s;
  result.slack_s = verdict.slack_s;
  result.locate_s = verdict.times.locate_s;
  return result;
}

vialsight_location location_of(const Location& location) noexcept {
  vialsight_location result = {};
  result.found = location.found ? 1 : 0;
  result.reason = static_cast<std::int32_t>(location.reason);
  result.dx = location.pose.dx;
  result.dy = location.pose.dy;
  result.turn = location.pose.turn;
  result.residual = location.residual;
  result.contrast = location.contrast;
  result.steps = location.steps;
  return result;
}

}  // namespace vialsight
