#include "vialsight/score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <optional>
#include <set>
#include <utility>

#include "base/messages.h"
#include "scoring/bilinear_resize.h"
#include "scoring/combination.h"
#include "scoring/component.h"
#include "scoring/pooling.h"
#include "scoring/score_json.h"

namespace vialsight {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxComponents = 64;
constexpr std::size_t kMaxName = 64;
constexpr int kMaxEdge = 1 << 14;

Status invalid(const std::string& message) { return {Code::kInvalidArgument, "score: " + message}; }

// Names become names of columns and files.
bool is_name(const std::string& text) {
  const auto is_allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), is_allowed);
}

Status check_output(const OutputSpec& spec, int patch_size) {
  const auto is_edge = [](int edge) { return edge >= 1 && edge <= kMaxEdge; };
  const std::string size = std::to_string(spec.height) + "x" + std::to_string(spec.width);
  if (!is_edge(spec.height) || !is_edge(spec.width)) {
    return invalid("output " + in_quotes(spec.name) + ": expected edges from 1 to 16384, got " + size);
  }
  if (spec.role == OutputRole::kMap || (spec.height == patch_size && spec.width == patch_size)) return {};
  return invalid("output " + in_quotes(spec.name) + ": expected a reconstruction of the patch's size " +
                 std::to_string(patch_size) + ", got " + size);
}

Status check_inputs(const ScoreInputs& inputs) {
  if (inputs.patch_size < 1 || inputs.patch_size > kMaxEdge) {
    return invalid("expected a patch size from 1 to 16384, got " + std::to_string(inputs.patch_size));
  }
  if (inputs.regions < 1) return invalid("expected at least one region, got 0");
  std::set<std::string> names;
  for (const OutputSpec& spec : inputs.outputs) {
    if (!names.insert(spec.name).second) return invalid("two outputs are named " + in_quotes(spec.name));
    if (Status status = check_output(spec, inputs.patch_size); !status.ok()) return status;
  }
  const auto reconstructions = std::count_if(inputs.outputs.begin(), inputs.outputs.end(), [](const OutputSpec& spec) {
    return spec.role == OutputRole::kReconstruction;
  });
  if (reconstructions <= 1) return {};
  return invalid("expected at most one reconstruction, got " + std::to_string(reconstructions));
}

Status check_locations(std::span<const LocationArrays> locations) {
  std::set<std::string> names;
  for (const LocationArrays& arrays : locations) {
    if (!names.insert(arrays.component).second) {
      return invalid("two location arrays came for " + in_quotes(arrays.component));
    }
    const bool spreads = std::all_of(arrays.spread.begin(), arrays.spread.end(), [](float s) { return s >= 0.0F; });
    if (all_finite(arrays.mean) && all_finite(arrays.spread) && spreads) continue;
    return invalid("location arrays of " + in_quotes(arrays.component) +
                   ": expected finite means and spreads of at least 0");
  }
  return {};
}

// A component that decides, and what its map needs to join the others'.
struct Deciding {
  std::unique_ptr<Component> component;
  Normalisation normalisation;
  std::optional<BilinearResize> resize;  // where its map is not P×P
};

}  // namespace

class Score::Impl {
 public:
  ScoreInputs inputs;
  std::vector<std::string> names;
  std::vector<Deciding> deciding;
  std::unique_ptr<Similarity> similarity;  // of the patch at hand
  Combine combine = Combine::kSingle;
  std::vector<double> resized;
  std::vector<double> joined;

  [[nodiscard]] MapSize map_size() const noexcept {
    if (combine == Combine::kSingle) return deciding.front().component->size();
    return {inputs.patch_size, inputs.patch_size};
  }

  void allocate() {
    if (combine == Combine::kSingle) return;
    joined.resize(map_size().pixels());
    for (Deciding& each : deciding) {
      if (each.component->size() == map_size()) continue;
      each.resize.emplace(each.component->size(), map_size());
      resized.resize(map_size().pixels());
    }
  }

  [[nodiscard]] Status check(const PatchData& data, std::size_t region) const {
    if (region >= inputs.regions) {
      return invalid("expected a region below " + std::to_string(inputs.regions) + ", got " + std::to_string(region));
    }
    const std::size_t pixels = MapSize{inputs.patch_size, inputs.patch_size}.pixels();
    if (data.patch.size() != pixels) {
      return invalid("expected a patch of " + std::to_string(pixels) + " pixels, got " +
                     std::to_string(data.patch.size()));
    }
    if (data.outputs.size() != inputs.outputs.size()) {
      return invalid("expected " + std::to_string(inputs.outputs.size()) + " outputs, got " +
                     std::to_string(data.outputs.size()));
    }
    for (std::size_t i = 0; i < inputs.outputs.size(); ++i) {
      if (data.outputs[i].size() == inputs.outputs[i].pixels()) continue;
      return invalid("output " + in_quotes(inputs.outputs[i].name) + ": expected " +
                     std::to_string(inputs.outputs[i].pixels()) + " pixels, got " +
                     std::to_string(data.outputs[i].size()));
    }
    return {};
  }

  void run(const PatchData& data, std::size_t region, std::span<float> components) noexcept {
    similarity->forget();
    for (std::size_t k = 0; k < deciding.size(); ++k) {
      components[k] = static_cast<float>(deciding[k].component->score(data, region));
    }
  }

  // Of the components as they are reported, so that whoever has them can compute the same φ.
  [[nodiscard]] float combined_of(std::span<const float> components, std::size_t region) const noexcept {
    if (combine == Combine::kSingle) return components.front();
    Combination joined_number(combine);
    for (std::size_t k = 0; k < deciding.size(); ++k) {
      const Normalisation& normalisation = deciding[k].normalisation;
      joined_number.add((static_cast<double>(components[k]) - normalisation.offset[region]) /
                        normalisation.scale[region]);
    }
    return static_cast<float>(joined_number.value());
  }

  // Of P×P; lasts until the next call.
  [[nodiscard]] std::span<const double> map_of(Deciding& each, const PatchData& data, std::size_t region) noexcept {
    const std::span<const double> own = each.component->map(data, region);
    if (!each.resize) return own;
    std::fill(resized.begin(), resized.end(), 0.0);
    each.resize->add(own, resized);
    return resized;
  }

  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t region) noexcept {
    similarity->forget();
    if (combine == Combine::kSingle) return deciding.front().component->map(data, region);
    for (Deciding& each : deciding) {
      join_map(combine, &each == &deciding.front(), each.normalisation.map_scale[region], map_of(each, data, region),
               joined);
    }
    return joined;
  }
};

// Builds a Score out of its definition.
class ScoreReader {
 public:
  ScoreReader(const json& value, const std::string& path, const ScoreInputs& inputs,
              std::span<const LocationArrays> locations)
      : reader_(value, path), inputs_(inputs), locations_(locations) {}

  Result<Score> read() {
    auto impl = std::make_unique<Score::Impl>();
    impl->inputs = inputs_;
    impl->similarity = std::make_unique<Similarity>(inputs_.patch_size);
    impl->names = reader_.require_strings("decide");
    read_components(*impl);
    check_decide(impl->names);
    check_locations_used();
    impl->combine = read_combine(reader_, impl->names.size());
    std::vector<Normalisation> normalisations = read_normalisations(reader_, impl->names, inputs_.regions);
    if (const Status status = reader_.finish(); !status.ok()) return status;
    for (std::size_t k = 0; k < impl->names.size(); ++k) {
      impl->deciding[k].normalisation = std::move(normalisations[k]);
    }
    impl->allocate();
    return Score(std::move(impl));
  }

 private:
  void read_components(Score::Impl& impl) {
    impl.deciding.resize(impl.names.size());
    const json& components = reader_.require_array("components");
    if (components.empty() || components.size() > kMaxComponents) {
      reader_.fail("components", "1 to 64 components", std::to_string(components.size()));
      return;
    }
    for (std::size_t i = 0; i < components.size(); ++i) {
      ObjectReader entry(components[i], reader_.path_of("components") + "[" + std::to_string(i) + "]");
      read_component(entry, impl);
      reader_.merge(entry.finish());
    }
  }

  void read_component(ObjectReader& entry, Score::Impl& impl) {
    const std::string name = entry.require_string("name");
    if (!is_name(name)) entry.fail("name", "1 to 64 of a-z, 0-9 and _", in_quotes(name));
    if (!known_.insert(name).second) entry.fail("name", "a name of its own", in_quotes(name) + " again");
    const auto decides = std::find(impl.names.begin(), impl.names.end(), name);
    const ComponentContext context{inputs_, locations_of(name), decides != impl.names.end(), *impl.similarity};
    std::unique_ptr<Component> component = make_component(entry, context);
    if (!context.decides) return;
    impl.deciding[static_cast<std::size_t>(decides - impl.names.begin())].component = std::move(component);
  }

  [[nodiscard]] const LocationArrays* locations_of(const std::string& name) const {
    const auto found = std::find_if(locations_.begin(), locations_.end(),
                                    [&](const LocationArrays& arrays) { return arrays.component == name; });
    return found == locations_.end() ? nullptr : &*found;
  }

  void check_decide(const std::vector<std::string>& names) {
    if (names.empty()) reader_.fail("decide", "at least one component's name", "none");
    std::set<std::string> seen;
    for (const std::string& name : names) {
      if (!known_.contains(name)) reader_.fail("decide", "names of components", in_quotes(name));
      if (!seen.insert(name).second) reader_.fail("decide", "each name once", in_quotes(name) + " twice");
    }
  }

  void check_locations_used() {
    for (const LocationArrays& arrays : locations_) {
      if (known_.contains(arrays.component)) continue;
      reader_.merge(invalid("location arrays came for " + in_quotes(arrays.component) + ", which is no component"));
    }
  }

  ObjectReader reader_;
  const ScoreInputs& inputs_;
  std::span<const LocationArrays> locations_;
  std::set<std::string> known_;
};

std::vector<OfferedComponent> offered_components(const json& definition) {
  std::vector<OfferedComponent> result;
  const json components = definition.is_object() ? definition.value("components", json()) : json();
  for (const json& component : components) {
    const json name = component.is_object() ? component.value("name", json()) : json();
    if (!name.is_string() || !is_name(name.get<std::string>())) continue;
    result.push_back({name.get<std::string>(), component.value("per_location", json()) == true});
  }
  return result;
}

Result<Score> score_from_json_value(const json& value, const std::string& path, const ScoreInputs& inputs,
                                    std::span<const LocationArrays> locations) {
  if (const Status status = check_inputs(inputs); !status.ok()) return status;
  if (const Status status = check_locations(locations); !status.ok()) return status;
  try {
    return ScoreReader(value, path, inputs, locations).read();
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "score: not enough memory for its maps");
  }
}

Score::Score(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Score::Score(Score&& other) noexcept = default;
Score& Score::operator=(Score&& other) noexcept = default;
Score::~Score() = default;

Result<Score> Score::create(std::string_view definition_json, const ScoreInputs& inputs,
                            std::span<const LocationArrays> locations) {
  const Result<json> definition = parse_strict_json(definition_json, "score");
  if (!definition.ok()) return definition.status();
  return score_from_json_value(definition.value(), "score:", inputs, locations);
}

const std::vector<std::string>& Score::components() const noexcept { return impl_->names; }

MapSize Score::map_size() const noexcept { return impl_->map_size(); }

Status Score::run(const PatchData& data, std::size_t region, float& score, std::span<float> components) {
  if (Status status = impl_->check(data, region); !status.ok()) return status;
  if (components.size() != impl_->names.size()) {
    return invalid("expected room for " + std::to_string(impl_->names.size()) + " components, got " +
                   std::to_string(components.size()));
  }
  const bool finite = all_finite(data.patch) && std::all_of(data.outputs.begin(), data.outputs.end(), all_finite);
  if (finite) {
    impl_->run(data, region, components);
    score = impl_->combined_of(components, region);
    return {};
  }
  score = std::numeric_limits<float>::quiet_NaN();
  std::fill(components.begin(), components.end(), score);
  return {};
}

float Score::combine(std::span<const float> components, std::size_t region) const noexcept {
  const bool fits = components.size() == impl_->names.size() && region < impl_->inputs.regions;
  return fits && all_finite(components) ? impl_->combined_of(components, region)
                                        : std::numeric_limits<float>::quiet_NaN();
}

Status Score::map(const PatchData& data, std::size_t region, std::span<float> result) {
  if (Status status = impl_->check(data, region); !status.ok()) return status;
  if (result.size() != map_size().pixels()) {
    return invalid("expected room for a map of " + std::to_string(map_size().pixels()) + " pixels, got " +
                   std::to_string(result.size()));
  }
  const std::span<const double> values = impl_->map(data, region);
  std::transform(values.begin(), values.end(), result.begin(), [](double value) { return static_cast<float>(value); });
  return {};
}

}  // namespace vialsight
