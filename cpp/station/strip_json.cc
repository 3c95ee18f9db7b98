// What the spool says of a strip.
#include "station/json_text.h"
#include "station/spool_format.h"

namespace vialsight::station {
namespace {

constexpr double kMs = 1e3;

void write_times(JsonText& json, const StageTimes& times) {
  json.key("times_ms").begin_object();
  json.field("locate", times.locate_s * kMs).field("extract", times.extract_s * kMs);
  json.field("infer", times.infer_s * kMs).field("score", times.score_s * kMs);
  json.field("after_last_frame", times.after_last_frame_s * kMs).end();
}

void write_frames(JsonText& json, const std::vector<FrameTime>& frames) {
  json.key("frames").begin_array();
  for (const FrameTime& frame : frames) {
    json.begin_object().field("id", frame.index).field("exposed_ms", frame.exposed_ms).end();
  }
  json.end_array();
}

void write_scores(JsonText& json, const StripVerdict& verdict) {
  json.key("scores");
  if (verdict.scores.empty()) {
    json.value(nullptr);
  } else {
    json.base64(std::as_bytes(std::span(verdict.scores)));
  }
  json.key("thresholds").begin_array();
  for (const double threshold : verdict.thresholds) json.value(threshold);
  json.end_array();
}

void write_vials(JsonText& json, const std::vector<Verdict>& vials) {
  constexpr std::size_t kMost = 256;
  char letters[kMost];
  const std::size_t count = vials.size() < kMost ? vials.size() : kMost;
  for (std::size_t i = 0; i < count; ++i) letters[i] = vials[i] == Verdict::kAccept ? '1' : '0';
  json.field("vials", std::string_view(letters, count));
}

void write_locations(JsonText& json, const std::vector<Location>& locations) {
  json.key("locations").begin_array();
  for (const Location& place : locations) {
    json.begin_array().value(place.found ? 1 : 0);
    json.value(place.pose.dx).value(place.pose.dy).value(place.pose.turn).end_array();
  }
  json.end_array();
}

}  // namespace

void write_strip_json(const StripEntry& entry, std::string& text) {
  const StripVerdict& verdict = entry.verdict;
  JsonText json(text);
  json.field("strip_id", entry.strip_id).field("batch", entry.batch).field("mode", name_of(entry.mode)).key("name");
  entry.name.empty() ? json.value(nullptr) : json.value(entry.name);
  json.field("verdict", name_of(verdict.verdict)).field("reason", name_of(verdict.reason));
  json.field("gate", name_of(entry.gate)).field("triggered_ns", entry.triggered_unix_ns).key("machine_count");
  entry.machine_count == 0 ? json.value(nullptr) : json.value(entry.machine_count);
  json.field("latency_ms", entry.latency_ms).field("slack_ms", entry.slack_ms);
  write_times(json, verdict.times);
  write_frames(json, entry.frames);
  write_scores(json, verdict);
  write_vials(json, verdict.vials);
  write_locations(json, verdict.locations);
  json.field("pictures", name_of(entry.pictures));
  if (!entry.last_fault.empty()) json.field("last_fault", entry.last_fault);
  json.end();
}

}  // namespace vialsight::station
