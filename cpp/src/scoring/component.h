// What a component of a score is, and the closed list of their kinds (components.cc).
//
// A kind is one file: a class, and the function make_KIND_component that reads its part of the definition.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/json.h"
#include "scoring/similarity.h"
#include "vialsight/score.h"

namespace vialsight {

// Its buffers are its own: one thread at a time, and nothing is allocated after it is made.
class Component {
 public:
  Component() = default;
  Component(const Component&) = delete;
  Component& operator=(const Component&) = delete;
  virtual ~Component() = default;

  // Of the map.
  [[nodiscard]] virtual MapSize size() const noexcept = 0;
  // s of SPEC §5.2.
  [[nodiscard]] virtual double score(const PatchData& data, std::size_t region) noexcept = 0;
  // Row by row; lasts until the next call.
  [[nodiscard]] virtual std::span<const double> map(const PatchData& data, std::size_t region) noexcept = 0;
};

// What a component is made for, beside its definition.
struct ComponentContext {
  const ScoreInputs& inputs;
  const LocationArrays* locations;  // of this component; nullptr: none came
  bool decides;                     // else it is only checked
  Similarity& similarity;           // outlives the component
};

// Reads the fields after "name" and "component". What is wrong is recorded in `reader`; the component is then not used,
// and may be nullptr.
using MakeComponent = std::unique_ptr<Component>(ObjectReader& reader, const ComponentContext& context);

// One component by its field "component"; an unknown kind is refused with the list of the known.
[[nodiscard]] std::unique_ptr<Component> make_component(ObjectReader& reader, const ComponentContext& context);

// Position of the reconstruction in the outputs, of the patch's size; an error in `reader` where there is none.
[[nodiscard]] std::size_t require_reconstruction(ObjectReader& reader, const ScoreInputs& inputs);

}  // namespace vialsight
