#include "bundle/calibration_record.h"

#include <string_view>

#include "bundle/manifest_fields.h"

namespace vialsight {
namespace {

using nlohmann::json;

constexpr int kMaxRuns = 1'000'000;

// What a fit does on the units it was fitted to.
void require_fit(ObjectReader& reader) {
  (void)reader.require_integer("nominal", 0, kMaxInteger);
  (void)reader.require_integer("defective", 0, kMaxInteger);
  require_rate(reader, "detection_rate", true);
  require_rate(reader, "false_reject_rate", false);
  require_rate(reader, "balanced_accuracy", true);
  require_rate(reader, "false_reject_bound", true);
}

Status check_level(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  const std::string origin = reader.require_string("origin");
  const bool known = origin == "fitted" || origin == "copied_from_patch" || origin == "copied_from_strip";
  if (!known) reader.fail("origin", R"("fitted", "copied_from_patch" or "copied_from_strip")", in_quotes(origin));
  require_fit(reader);
  require_rate(reader, "optimality_gap", false);
  return reader.finish();
}

Status check_levels(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  for (const std::string_view level : {"patch", "strip", "run"}) {
    reader.merge(check_level(reader.require_object(level), reader.path_of(level)));
  }
  return reader.finish();
}

Status check_run_rule(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  const int agree = reader.require_int("agree", 1, kMaxRuns);
  const int runs = reader.require_int("runs", 1, kMaxRuns);
  if (agree > runs) reader.fail("agree", "at most \"runs\"", std::to_string(agree));
  return reader.finish();
}

Status check_region_record(const json& value, const std::string& path, const std::string& region) {
  ObjectReader reader(value, path);
  reader.require_constant("region", region);
  require_fit(reader);
  return reader.finish();
}

Status check_region_records(const json& records, const std::string& path, const Layout& layout) {
  if (records.size() != layout.region_count()) {
    return {Code::kDataCorrupt, path + ": expected one entry per region, " + std::to_string(layout.region_count()) +
                                    ", got " + std::to_string(records.size())};
  }
  for (std::size_t region = 0; region < records.size(); ++region) {
    const std::string record_path = path + "[" + std::to_string(region) + "]";
    Status status = check_region_record(records[region], record_path, layout.regions[region]);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

Status check_calibration_record(const json& value, const std::string& path, const Layout& layout) {
  ObjectReader reader(value, path);
  (void)require_text(reader, "objective");
  require_time(reader, "created");
  (void)require_sha256(reader, "data_sha256");
  (void)require_sha256(reader, "parent_sha256");
  reader.merge(check_levels(reader.require_object("levels"), reader.path_of("levels")));
  reader.merge(check_run_rule(reader.require_object("run_rule"), reader.path_of("run_rule")));
  reader.merge(check_region_records(reader.require_array("regions"), reader.path_of("regions"), layout));
  (void)reader.require_strings("products");
  // Only where strips were left out because they were not located.
  if (value.contains("not_located")) (void)reader.require_integer("not_located", 1, kMaxInteger);
  return reader.finish();
}

}  // namespace vialsight
