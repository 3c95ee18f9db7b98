#include <algorithm>
#include <array>
#include <string_view>

#include "base/messages.h"
#include "scoring/component.h"

// All kinds of components, one a line.
#define VIALSIGHT_COMPONENTS(kind) kind(ssim) kind(ssim_local) kind(residual) kind(msgms) kind(map)

namespace vialsight {

#define VIALSIGHT_DECLARE(name) MakeComponent make_##name##_component;
VIALSIGHT_COMPONENTS(VIALSIGHT_DECLARE)

namespace {

struct Kind {
  std::string_view name;
  MakeComponent* make;
};

#define VIALSIGHT_LIST(name) Kind{#name, &make_##name##_component},
const std::array kKinds = {VIALSIGHT_COMPONENTS(VIALSIGHT_LIST)};

std::string known_kinds() {
  std::string names;
  for (const Kind& kind : kKinds) names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

}  // namespace

std::unique_ptr<Component> make_component(ObjectReader& reader, const ComponentContext& context) {
  const std::string name = reader.require_string("component");
  const auto* const kind =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& known) { return known.name == name; });
  if (kind != kKinds.end()) return kind->make(reader, context);
  reader.fail("component", "one of " + known_kinds(), in_quotes(name));
  return nullptr;
}

std::size_t require_reconstruction(ObjectReader& reader, const ScoreInputs& inputs) {
  const auto& outputs = inputs.outputs;
  const auto found = std::find_if(outputs.begin(), outputs.end(),
                                  [](const OutputSpec& spec) { return spec.role == OutputRole::kReconstruction; });
  if (found == outputs.end()) {
    reader.fail("component", "a network with an output of role reconstruction", "one without");
    return 0;
  }
  return static_cast<std::size_t>(found - outputs.begin());
}

}  // namespace vialsight
