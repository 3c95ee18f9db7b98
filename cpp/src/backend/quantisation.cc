#include "backend/quantisation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "backend/graph_fields.h"

namespace vialsight {
namespace {

using namespace graph_fields;

constexpr std::string_view kByTensor = "FakeQuantWithMinMaxVars";
constexpr std::string_view kByChannel = "FakeQuantWithMinMaxVarsPerChannel";
constexpr std::uint64_t kBits = 8;
// Steps of a range below this would no longer be normal numbers.
constexpr float kNarrowest = 1e-30F;

struct Node {
  std::string_view name;
  std::string_view operation;
  std::vector<std::string_view> inputs;
  std::string_view tensor;     // of a constant
  std::uint64_t bits = kBits;  // what is left out means 8
};

bool rounds(const Node& node) { return node.operation == kByTensor || node.operation == kByChannel; }

Status wrong(const Node& node, const std::string& what) {
  return {Code::kDataCorrupt, "model.pb: node \"" + std::string(node.name) + "\" rounds to integers: expected " + what +
                                  "; optimize the original bundle again"};
}

Status read_attribute(std::string_view entry, Node& node) {
  std::string_view key;
  std::string_view value;
  if (Status status = last_text(entry, kAttributeKey, key); !status.ok()) return status;
  if (Status status = last_text(entry, kAttributeValue, value); !status.ok()) return status;
  if (key == "value") return last_text(value, kValueTensor, node.tensor);
  if (key != "num_bits") return {};
  return for_all(value, [&](const Field& field) {
    if (field.number == kValueInteger) node.bits = field.integer;
    return Status();
  });
}

Status read_node(std::string_view bytes, Node& node) {
  if (Status status = last_text(bytes, kNodeName, node.name); !status.ok()) return status;
  if (Status status = last_text(bytes, kNodeOperation, node.operation); !status.ok()) return status;
  Status status = for_each(bytes, kNodeInput, [&](std::string_view input) {
    node.inputs.push_back(input);
    return Status();
  });
  if (!status.ok()) return status;
  return for_each(bytes, kNodeAttribute, [&](std::string_view entry) { return read_attribute(entry, node); });
}

// No values where the tensor is not of float32. Numbers of a little-endian machine, as TensorFlow writes them.
std::vector<float> values_of(std::string_view tensor) {
  std::string bytes;
  bool is_float = false;
  const Status status = for_all(tensor, [&](const Field& field) {
    if (field.number == kTensorType) is_float = field.integer == kTypeFloat;
    if (field.number == kTensorContent || field.number == kTensorFloats) bytes += field.bytes;
    return Status();
  });
  if (!status.ok() || !is_float || bytes.size() % sizeof(float) != 0) return {};
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// A tensor may be written without the repetitions at its end.
float value_at(const std::vector<float>& values, std::size_t index) {
  return values[std::min(index, values.size() - 1)];
}

bool is_range(float low, float high) {
  return std::isfinite(high - low) && low <= 0.0F && high >= 0.0F && high - low >= kNarrowest;
}

using Constants = std::map<std::string_view, std::string_view>;

Status bound_of(const Node& node, std::size_t input, const Constants& constants, std::vector<float>& values) {
  const auto found = input < node.inputs.size() ? constants.find(node.inputs[input]) : constants.end();
  if (found != constants.end()) values = values_of(found->second);
  return values.empty() ? wrong(node, "constants of float32 as bounds") : Status();
}

Status check_rounding(const Node& node, const Constants& constants) {
  if (node.bits != kBits) return wrong(node, "8 bits, got " + std::to_string(node.bits));
  std::vector<float> low;
  std::vector<float> high;
  if (Status status = bound_of(node, 1, constants, low); !status.ok()) return status;
  if (Status status = bound_of(node, 2, constants, high); !status.ok()) return status;
  for (std::size_t i = 0; i < std::max(low.size(), high.size()); ++i) {
    const float from = value_at(low, i);
    const float to = value_at(high, i);
    if (is_range(from, to)) continue;
    return wrong(node, "finite ranges around 0, got " + std::to_string(from) + " to " + std::to_string(to));
  }
  return {};
}

Status refuse_in_function(std::string_view function) {
  return for_each(function, kFunctionNode, [](std::string_view bytes) {
    Node node;
    if (Status status = read_node(bytes, node); !status.ok()) return status;
    return rounds(node) ? wrong(node, "it outside of functions") : Status();
  });
}

}  // namespace

Status check_quantisation(const void* model, std::size_t size, std::size_t& roundings) {
  const std::string_view graph(static_cast<const char*>(model), size);
  Constants constants;
  std::vector<Node> rounding;
  Status status = for_each(graph, kGraphNode, [&](std::string_view bytes) {
    Node node;
    if (Status read = read_node(bytes, node); !read.ok()) return read;
    if (node.operation == "Const") constants[node.name] = node.tensor;
    if (rounds(node)) rounding.push_back(node);
    return Status();
  });
  if (!status.ok()) return status;
  for (const Node& node : rounding) {
    if (status = check_rounding(node, constants); !status.ok()) return status;
  }
  roundings = rounding.size();
  return for_each(graph, kGraphLibrary,
                  [](std::string_view library) { return for_each(library, kLibraryFunction, refuse_in_function); });
}

}  // namespace vialsight
