#include "scoring/filtered_component.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/multiversion.h"

namespace vialsight {
namespace {

// Wider filters than that of a hostile bundle find nothing, and take its whole time.
constexpr double kMaxSmoothing = 64.0;

double read_smoothing(ObjectReader& reader) {
  const double sigma = reader.require_number("smoothing");
  if (sigma >= 0.0 && sigma <= kMaxSmoothing) return sigma;
  reader.fail("smoothing", "a number of pixels from 0 to 64", std::to_string(sigma));
  return 0.0;
}

// {"top": q}: ⌈q·size⌉ values.
std::size_t read_top(ObjectReader& reader, const nlohmann::json& value, std::size_t size) {
  ObjectReader pooling(value, reader.path_of("pooling"));
  const double share = pooling.require_number("top");
  if (!(share > 0.0 && share <= 1.0)) pooling.fail("top", "a share above 0, at most 1", std::to_string(share));
  const Status status = pooling.finish();
  reader.merge(status);
  if (!status.ok()) return 1;
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::ceil(share * static_cast<double>(size))), 1, size);
}

std::size_t read_pooling(ObjectReader& reader, std::size_t size) {
  const nlohmann::json* value = reader.require_nullable("pooling");
  if (value != nullptr && value->is_object()) return read_top(reader, *value, size);
  if (value == nullptr || *value != "max") reader.fail("pooling", R"("max" or {"top": share})", "another value");
  return 1;
}

std::string text_of(MapSize size) { return std::to_string(size.height) + "x" + std::to_string(size.width); }

std::optional<Locations> read_locations(ObjectReader& reader, const ComponentContext& context, MapSize size) {
  const bool per_location = reader.require_bool("per_location");
  const LocationArrays* arrays = context.locations;
  if (!per_location) {
    if (arrays != nullptr) reader.fail("per_location", "true, as arrays of mean and spread came", "false");
    return std::nullopt;
  }
  if (arrays == nullptr) {
    if (context.decides) reader.fail("per_location", "arrays of mean and spread for it", "none");
    return std::nullopt;
  }
  if (arrays->size != size) {
    reader.fail("per_location", "mean and spread of a map of " + text_of(size), text_of(arrays->size));
    return std::nullopt;
  }
  const std::size_t count = context.inputs.regions * size.pixels();
  if (arrays->mean.size() == count && arrays->spread.size() == count) {
    return Locations{{arrays->mean.begin(), arrays->mean.end()}, {arrays->spread.begin(), arrays->spread.end()}};
  }
  reader.fail("per_location", "mean and spread of " + std::to_string(count) + " values each",
              std::to_string(arrays->mean.size()) + " and " + std::to_string(arrays->spread.size()));
  return std::nullopt;
}

VIALSIGHT_MULTIVERSION
void normalise(const float* mean, const float* spread, std::size_t count, double* values) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const auto wide = static_cast<double>(spread[i]);
    values[i] = (values[i] - static_cast<double>(mean[i])) / (wide > kSmallestSpread ? wide : kSmallestSpread);
  }
}

VIALSIGHT_MULTIVERSION
void subtract(const float* x, const float* y, std::size_t count, double* __restrict result) noexcept {
  for (std::size_t i = 0; i < count; ++i) result[i] = std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
}

}  // namespace

Filtering read_filtering(ObjectReader& reader, const ComponentContext& context, MapSize size) {
  Filtering filtering;
  filtering.size = size;
  filtering.smoothing = read_smoothing(reader);
  filtering.pooled = read_pooling(reader, size.pixels());
  filtering.locations = read_locations(reader, context, size);
  return filtering;
}

FilteredComponent::FilteredComponent(Filtering filtering)
    : filtering_(std::move(filtering)), pooling_(filtering_.size, filtering_.pooled), map_(filtering_.size.pixels()) {
  if (filtering_.smoothing > 0.0) filter_.emplace(filtering_.smoothing, filtering_.size);
}

void FilteredComponent::normalised_row(const PatchData& data, std::size_t region, std::size_t i, double* row) noexcept {
  fill_row(data, i, row);
  if (!filtering_.locations) return;
  const std::size_t start = region * map_.size() + i * width();
  normalise(filtering_.locations->mean.data() + start, filtering_.locations->spread.data() + start, width(), row);
}

// All rows of the map, pooled; without `keep` each is written over the one before.
void FilteredComponent::filter_rows(const PatchData& data, std::size_t region, bool keep) noexcept {
  const std::size_t reach = filter_ ? filter_->reach() : 0;
  std::size_t come = 0;
  begin(data);
  pooling_.begin();
  for (std::size_t i = 0; i < height(); ++i) {
    double* const row = map_.data() + (keep ? i * width() : 0);
    for (; come <= std::min(i + reach, height() - 1); ++come) {
      normalised_row(data, region, come, filter_ ? filter_->input_row(come) : row);
    }
    if (filter_) filter_->filter_row(i, row);
    pooling_.add_row(row);
  }
}

double FilteredComponent::score(const PatchData& data, std::size_t region) noexcept {
  filter_rows(data, region, pooling_.needs_map());
  return pooling_.result(map_);
}

std::span<const double> FilteredComponent::map(const PatchData& data, std::size_t region) noexcept {
  filter_rows(data, region, true);
  return map_;
}

void absolute_difference(const float* x, const float* y, std::size_t count, double* result) noexcept {
  subtract(x, y, count, result);
}

}  // namespace vialsight
