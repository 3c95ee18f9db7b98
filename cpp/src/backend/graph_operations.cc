#include "backend/graph_operations.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "backend/allowed_ops.h"
#include "backend/graph_fields.h"

namespace vialsight {
namespace {

using namespace graph_fields;

Status not_allowed(std::string_view name, const std::string& place, std::string_view operation) {
  return {Code::kUnsupported, "model.pb: node \"" + std::string(name) + "\"" + place + " uses operation \"" +
                                  std::string(operation) +
                                  "\", which a bundle may not contain; freeze a plain convolutional network"};
}

// An operation that comes twice has to be allowed each time.
Status check_node(std::string_view node, const std::string& place) {
  std::string_view name;
  if (Status status = last_text(node, kNodeName, name); !status.ok()) return status;
  bool named = false;
  Status status = for_each(node, kNodeOperation, [&](std::string_view operation) {
    named = true;
    return is_allowed_op(operation) ? Status() : not_allowed(name, place, operation);
  });
  return status.ok() && !named ? not_allowed(name, place, "") : status;
}

Status check_function(std::string_view function) {
  std::string_view name;
  Status status = for_each(function, kFunctionSignature,
                           [&](std::string_view signature) { return last_text(signature, kSignatureName, name); });
  if (!status.ok()) return status;
  const std::string place = " of function \"" + std::string(name) + "\"";
  return for_each(function, kFunctionNode, [&](std::string_view node) { return check_node(node, place); });
}

Status check_library(std::string_view library) { return for_each(library, kLibraryFunction, check_function); }

}  // namespace

Status check_operations(const void* model, std::size_t size) {
  if (size == 0) return no_graph();
  const std::string_view graph(static_cast<const char*>(model), size);
  const auto check_own = [](std::string_view node) { return check_node(node, ""); };
  if (Status status = for_each(graph, kGraphNode, check_own); !status.ok()) return status;
  return for_each(graph, kGraphLibrary, check_library);
}

}  // namespace vialsight
