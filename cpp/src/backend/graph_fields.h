// A serialised GraphDef, field by field, without TensorFlow: protocol buffers' wire format, as far as it takes. A
// message is a sequence of (field number, wire type, value), and messages within it are runs of bytes.
//
// Valid C++17: compiled into backend modules too.
#pragma once

#include <cstdint>
#include <string_view>

#include "vialsight/status.h"

namespace vialsight::graph_fields {

// Of graph.proto, node_def.proto, attr_value.proto, tensor.proto and function.proto.
inline constexpr std::uint32_t kGraphNode = 1;
inline constexpr std::uint32_t kGraphLibrary = 2;
inline constexpr std::uint32_t kLibraryFunction = 1;
inline constexpr std::uint32_t kFunctionSignature = 1;
inline constexpr std::uint32_t kFunctionNode = 3;
inline constexpr std::uint32_t kSignatureName = 1;
inline constexpr std::uint32_t kNodeName = 1;
inline constexpr std::uint32_t kNodeOperation = 2;
inline constexpr std::uint32_t kNodeInput = 3;
inline constexpr std::uint32_t kNodeAttribute = 5;
inline constexpr std::uint32_t kAttributeKey = 1;
inline constexpr std::uint32_t kAttributeValue = 2;
inline constexpr std::uint32_t kValueInteger = 3;
inline constexpr std::uint32_t kValueTensor = 8;
inline constexpr std::uint32_t kTensorType = 1;
inline constexpr std::uint32_t kTensorContent = 4;
inline constexpr std::uint32_t kTensorFloats = 5;
inline constexpr std::uint64_t kTypeFloat = 1;

inline Status no_graph() {
  return {Code::kDataCorrupt, "model.pb: not a serialised TensorFlow GraphDef; freeze the bundle again"};
}

struct Field {
  enum class Kind : std::uint8_t { kInteger, kBytes, kFixed };

  std::uint32_t number = 0;
  Kind kind = Kind::kInteger;
  std::uint64_t integer = 0;
  std::string_view bytes;  // of kBytes; of kFixed its 4 or 8
};

class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  // False: the bytes are no message.
  [[nodiscard]] bool next(Field& field) noexcept {
    std::uint64_t tag = 0;
    if (!varint(tag) || tag > 0xFFFFFFFFU || (tag >> 3) == 0) return false;
    field = {static_cast<std::uint32_t>(tag >> 3), Field::Kind::kInteger, 0, {}};
    std::uint64_t size = 0;
    switch (tag & 7) {
      case 0:
        return varint(field.integer);
      case 1:
        field.kind = Field::Kind::kFixed;
        return take(8, field.bytes);
      case 2:
        field.kind = Field::Kind::kBytes;
        return varint(size) && take(size, field.bytes);
      case 5:
        field.kind = Field::Kind::kFixed;
        return take(4, field.bytes);
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

  std::string_view rest_;
};

// Calls `visit` with each field of `message`.
template <typename Visit>
Status for_all(std::string_view message, Visit visit) {
  Field field;
  for (Fields fields(message); !fields.at_end();) {
    if (!fields.next(field)) return no_graph();
    if (Status status = visit(field); !status.ok()) return status;
  }
  return {};
}

// Calls `visit` with each message that is field `number` of `message`.
template <typename Visit>
Status for_each(std::string_view message, std::uint32_t number, Visit visit) {
  return for_all(message, [&](const Field& field) {
    if (field.number != number) return Status();
    return field.kind == Field::Kind::kBytes ? visit(field.bytes) : no_graph();
  });
}

// The last of a field that comes twice, as readers take it.
inline Status last_text(std::string_view message, std::uint32_t number, std::string_view& text) {
  return for_each(message, number, [&](std::string_view each) {
    text = each;
    return Status();
  });
}

}  // namespace vialsight::graph_fields
