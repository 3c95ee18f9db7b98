#include "scoring/combination.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/messages.h"
#include "base/multiversion.h"

namespace vialsight {
namespace {

using nlohmann::json;

void require_positive(ObjectReader& reader, std::string_view key, const std::vector<double>& values) {
  const auto wrong = std::find_if(values.begin(), values.end(), [](double value) { return !(value > 0.0); });
  if (wrong != values.end()) reader.fail(key, "numbers above 0", json(*wrong).dump());
}

Normalisation read_normalisation(ObjectReader& reader, const std::string& component, std::size_t regions) {
  Normalisation result;
  reader.require_constant("component", component);
  result.offset = reader.require_numbers("offset", regions);
  result.scale = reader.require_numbers("scale", regions);
  result.map_scale = reader.require_numbers("map_scale", regions);
  require_positive(reader, "scale", result.scale);
  require_positive(reader, "map_scale", result.map_scale);
  return result;
}

VIALSIGHT_MULTIVERSION
void keep_largest(const double* map, double scale, std::size_t count, double* result) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double value = map[i] / scale;
    result[i] = value > result[i] ? value : result[i];
  }
}

VIALSIGHT_MULTIVERSION
void add_excesses(const double* map, double scale, std::size_t count, double* result) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double value = map[i] / scale;
    result[i] += value > 0.0 ? value : 0.0;
  }
}

}  // namespace

Combine read_combine(ObjectReader& reader, std::size_t deciding) {
  const json* value = reader.require_nullable("combine");
  if (deciding == 1) {
    if (value != nullptr) reader.fail("combine", "null, as one component decides", printable(value->dump()));
    return Combine::kSingle;
  }
  if (value != nullptr && *value == "sum") return Combine::kSum;
  if (value == nullptr || *value != "largest") {
    reader.fail("combine", R"("largest" or "sum", as several components decide)", "another value");
  }
  return Combine::kLargest;
}

std::vector<Normalisation> read_normalisations(ObjectReader& reader, const std::vector<std::string>& decide,
                                               std::size_t regions) {
  const std::vector<double> zeros(regions, 0.0);
  const std::vector<double> ones(regions, 1.0);
  std::vector<Normalisation> result(decide.size(), {zeros, ones, ones});
  const json* value = reader.require_nullable("normalisation");
  if (value == nullptr) return result;
  if (decide.size() == 1) {
    reader.fail("normalisation", "null, as one component decides", "another value");
    return result;
  }
  if (!value->is_array() || value->size() != decide.size()) {
    reader.fail("normalisation", "null or an array of one object per component that decides", "another value");
    return result;
  }
  for (std::size_t k = 0; k < decide.size(); ++k) {
    ObjectReader entry((*value)[k], reader.path_of("normalisation") + "[" + std::to_string(k) + "]");
    result[k] = read_normalisation(entry, decide[k], regions);
    reader.merge(entry.finish());
  }
  return result;
}

Combination::Combination(Combine combine) noexcept
    : combine_(combine), value_(combine == Combine::kSum ? 0.0 : -std::numeric_limits<double>::infinity()) {}

void Combination::add(double excess) noexcept {
  const double joined = combine_ == Combine::kSum ? value_ + std::max(0.0, excess) : std::max(value_, excess);
  const bool valid = std::isfinite(excess) && !std::isnan(value_);
  value_ = valid ? joined : std::numeric_limits<double>::quiet_NaN();
}

void join_map(Combine combine, bool first, double scale, std::span<const double> map,
              std::span<double> result) noexcept {
  if (first) std::fill(result.begin(), result.end(), combine == Combine::kSum ? 0.0 : -HUGE_VAL);
  const auto join = combine == Combine::kSum ? add_excesses : keep_largest;
  join(map.data(), scale, result.size(), result.data());
}

}  // namespace vialsight
