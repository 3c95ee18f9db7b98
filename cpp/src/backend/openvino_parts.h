// A network on OpenVINO in two parts, one after the other, of which only the second is computed in bfloat16. C++17, as
// OpenVINO's headers are.
#pragma once

#include <memory>
#include <vector>

#include "openvino/openvino.hpp"

namespace vialsight {

// In bfloat16 is computed what follows a convolution, and nothing before: differences between a patch and what was
// expected there would drown in its rounding.
struct Parts {
  std::shared_ptr<ov::Model> exact;  // null: nothing is left to it
  std::shared_ptr<ov::Model> rest;   // null: nothing follows a convolution
  // Which of the network's results the first results of each part are.
  std::vector<std::size_t> exact_results;
  std::vector<std::size_t> rest_results;
  ov::ParameterVector inputs;  // of `rest`,
  // and where each comes from: the network's input, or the exact part, whose last results these are, in this order.
  std::vector<ov::Output<ov::Node>> sources;
};

// Takes `model`, of one batch size, apart; it is not to be used again.
[[nodiscard]] Parts split(const std::shared_ptr<ov::Model>& model);

}  // namespace vialsight
