#include "backend/openvino_parts.h"

#include <algorithm>
#include <set>

#include "openvino/op/constant.hpp"
#include "openvino/op/convolution.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "openvino/pass/constant_folding.hpp"

namespace vialsight {
namespace {

std::set<const ov::Node*> following_convolutions(const ov::Model& model) {
  std::set<const ov::Node*> result;
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    const ov::OutputVector inputs = node->input_values();
    const bool follows = std::any_of(inputs.begin(), inputs.end(),
                                     [&](const auto& input) { return result.count(input.get_node()) != 0; });
    const bool convolves =
        ov::is_type<ov::op::v1::Convolution>(node) || ov::is_type<ov::op::v1::ConvolutionBackpropData>(node);
    if (follows || convolves) result.insert(node.get());
  }
  return result;
}

// Puts a parameter of the rest in the place of everything that it takes from the exact part.
void cut(const ov::Model& model, const std::set<const ov::Node*>& rest, Parts& parts) {
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    if (rest.count(node.get()) != 0 || ov::is_type<ov::op::v0::Constant>(node)) continue;
    for (const ov::Output<ov::Node>& output : node->outputs()) {
      std::shared_ptr<ov::op::v0::Parameter> parameter;
      for (ov::Input<ov::Node> target : output.get_target_inputs()) {
        if (rest.count(target.get_node()) == 0) continue;
        if (parameter == nullptr) {
          parameter = std::make_shared<ov::op::v0::Parameter>(output.get_element_type(), output.get_partial_shape());
          parts.inputs.push_back(parameter);
          parts.sources.push_back(output);
        }
        target.replace_source_output(parameter);
      }
    }
  }
}

}  // namespace

Parts split(const std::shared_ptr<ov::Model>& model) {
  // Shapes that are computed from shapes are constants now, and must not be taken for inputs of the rest.
  ov::pass::ConstantFolding().run_on_model(model);
  Parts parts;
  const std::set<const ov::Node*> rest = following_convolutions(*model);
  cut(*model, rest, parts);
  ov::ResultVector exact_results;
  ov::ResultVector rest_results;
  for (std::size_t i = 0; i < model->get_results().size(); ++i) {
    const std::shared_ptr<ov::op::v0::Result>& result = model->get_results()[i];
    const bool follows = rest.count(result.get()) != 0;
    (follows ? rest_results : exact_results).push_back(result);
    (follows ? parts.rest_results : parts.exact_results).push_back(i);
  }
  for (const ov::Output<ov::Node>& source : parts.sources) {
    if (!ov::is_type<ov::op::v0::Parameter>(source.get_node())) {
      exact_results.push_back(std::make_shared<ov::op::v0::Result>(source));
    }
  }
  if (!exact_results.empty()) parts.exact = std::make_shared<ov::Model>(exact_results, model->get_parameters());
  if (!rest_results.empty()) parts.rest = std::make_shared<ov::Model>(rest_results, parts.inputs);
  return parts;
}

}  // namespace vialsight
