// `map`: D is an output of the network, as it is.
#include <algorithm>
#include <utility>

#include "base/messages.h"
#include "scoring/filtered_component.h"

namespace vialsight {
namespace {

class Map final : public FilteredComponent {
 public:
  Map(Filtering filtering, std::size_t output) : FilteredComponent(std::move(filtering)), output_(output) {}

 private:
  void fill_row(const PatchData& data, std::size_t i, double* row) noexcept override {
    const auto width = static_cast<std::size_t>(size().width);
    std::copy_n(data.outputs[output_].data() + i * width, width, row);
  }

  std::size_t output_;
};

std::string map_names(const std::vector<OutputSpec>& outputs) {
  std::string names;
  for (const OutputSpec& spec : outputs) {
    if (spec.role == OutputRole::kMap) names += (names.empty() ? "" : ", ") + spec.name;
  }
  return names.empty() ? "none" : names;
}

}  // namespace

std::unique_ptr<Component> make_map_component(ObjectReader& reader, const ComponentContext& context) {
  const std::vector<OutputSpec>& outputs = context.inputs.outputs;
  const std::string name = reader.require_string("output");
  const auto found = std::find_if(outputs.begin(), outputs.end(), [&](const OutputSpec& spec) {
    return spec.role == OutputRole::kMap && spec.name == name;
  });
  const bool known = found != outputs.end();
  if (!known) {
    reader.fail("output", "an output of role map (the network has: " + map_names(outputs) + ")", in_quotes(name));
  }
  const MapSize size = known ? MapSize{found->height, found->width} : MapSize{1, 1};
  Filtering filtering = read_filtering(reader, context, size);
  return std::make_unique<Map>(std::move(filtering), static_cast<std::size_t>(found - outputs.begin()));
}

}  // namespace vialsight
