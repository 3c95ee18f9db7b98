#include "bundle/optimization_record.h"

#include <cmath>
#include <string_view>

#include "bundle/manifest_fields.h"

namespace vialsight {
namespace {

using nlohmann::json;

void require_difference(ObjectReader& reader, std::string_view key) {
  const double value = reader.require_number(key);
  if (!(value >= 0.0) || std::isinf(value)) reader.fail(key, "a number from 0 on", json(value).dump());
}

// Of one level: units of the calibration set, and those whose verdict is another now.
Status check_verdicts(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  const std::int64_t units = reader.require_integer("units", 0, kMaxInteger);
  (void)reader.require_integer("changed", 0, units);
  return reader.finish();
}

Status check_levels(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  for (const std::string_view level : {"patch", "strip", "run"}) {
    reader.merge(check_verdicts(reader.require_object(level), reader.path_of(level)));
  }
  return reader.finish();
}

// Of what is computed in integers: how many convolutions, and from how many patches their ranges are.
Status check_quantised(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  (void)reader.require_integer("convolutions", 1, kMaxInteger);
  (void)reader.require_integer("patches", 1, kMaxInteger);
  return reader.finish();
}

}  // namespace

Status check_optimization_record(const json& value, const std::string& path, Precision precision) {
  ObjectReader reader(value, path);
  require_time(reader, "created");
  (void)require_sha256(reader, "parent_sha256");
  (void)require_sha256(reader, "data_sha256");
  require_difference(reader, "largest_score_difference");
  require_difference(reader, "median_score_difference");
  reader.merge(check_levels(reader.require_object("verdicts"), reader.path_of("verdicts")));
  (void)reader.require_integer("max_verdict_changes", 0, kMaxInteger);
  if (precision == Precision::kInt8) {
    reader.merge(check_quantised(reader.require_object("quantised"), reader.path_of("quantised")));
  }
  return reader.finish();
}

}  // namespace vialsight
