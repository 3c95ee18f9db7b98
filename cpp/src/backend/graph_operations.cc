// Protocol buffers' wire format, as far as it takes: a message is a sequence of (field number, wire type, value), and
// messages within it are runs of bytes. Field numbers are those of graph.proto, node_def.proto and function.proto.
#include "backend/graph_operations.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "backend/allowed_ops.h"

namespace vialsight {
namespace {

constexpr std::uint32_t kGraphNode = 1;
constexpr std::uint32_t kGraphLibrary = 2;
constexpr std::uint32_t kLibraryFunction = 1;
constexpr std::uint32_t kFunctionSignature = 1;
constexpr std::uint32_t kFunctionNode = 3;
constexpr std::uint32_t kSignatureName = 1;
constexpr std::uint32_t kNodeName = 1;
constexpr std::uint32_t kNodeOperation = 2;

Status no_graph() {
  return {Code::kDataCorrupt, "model.pb: not a serialised TensorFlow GraphDef; freeze the bundle again"};
}

struct Field {
  std::uint32_t number = 0;
  bool is_bytes = false;
  std::string_view bytes;
};

class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  // False: the bytes are no message.
  [[nodiscard]] bool next(Field& field) noexcept {
    std::uint64_t tag = 0;
    if (!varint(tag) || tag > 0xFFFFFFFFU || (tag >> 3) == 0) return false;
    field = {static_cast<std::uint32_t>(tag >> 3), false, {}};
    std::uint64_t number = 0;
    switch (tag & 7) {
      case 0:
        return varint(number);
      case 1:
        return skip(8);
      case 2:
        field.is_bytes = true;
        return varint(number) && take(number, field.bytes);
      case 5:
        return skip(4);
      default:  // groups, which nothing here has, and what is not defined
        return false;
    }
  }

 private:
  [[nodiscard]] bool varint(std::uint64_t& value) noexcept {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return false;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) return false;
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80U) return true;
    }
    return false;
  }
  [[nodiscard]] bool take(std::uint64_t size, std::string_view& bytes) noexcept {
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(bytes.size());
    return true;
  }
  [[nodiscard]] bool skip(std::uint64_t size) noexcept {
    std::string_view ignored;
    return take(size, ignored);
  }

  std::string_view rest_;
};

// Calls `visit` with each message that is field `number` of `message`.
template <typename Visit>
Status for_each(std::string_view message, std::uint32_t number, Visit visit) {
  Field field;
  for (Fields fields(message); !fields.at_end();) {
    if (!fields.next(field)) return no_graph();
    if (field.number != number) continue;
    if (!field.is_bytes) return no_graph();
    if (Status status = visit(field.bytes); !status.ok()) return status;
  }
  return {};
}

Status not_allowed(std::string_view name, const std::string& place, std::string_view operation) {
  return {Code::kUnsupported, "model.pb: node \"" + std::string(name) + "\"" + place + " uses operation \"" +
                                  std::string(operation) +
                                  "\", which a bundle may not contain; freeze a plain convolutional network"};
}

// The last of a field that comes twice, as readers take it.
Status last_text(std::string_view message, std::uint32_t number, std::string_view& text) {
  return for_each(message, number, [&](std::string_view each) {
    text = each;
    return Status();
  });
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
