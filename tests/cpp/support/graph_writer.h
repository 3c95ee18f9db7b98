// Writes TensorFlow GraphDefs byte by byte, so that a test of the backend needs no TensorFlow of its own.
//
// Field numbers are those of graph.proto, node_def.proto, attr_value.proto, tensor.proto and function.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace vialsight::test {

// A protocol buffer message under construction.
class Message {
 public:
  Message& number(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(value);
    return *this;
  }
  Message& text(int field, const std::string& value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value % 128 + 128);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

inline constexpr std::uint64_t kFloat = 1;   // DT_FLOAT
inline constexpr std::uint64_t kDouble = 2;  // DT_DOUBLE

inline Message type_value(std::uint64_t dtype) { return Message().number(6, dtype); }

inline Message shape(const std::vector<std::int64_t>& sizes) {
  Message result;
  for (const std::int64_t size : sizes) result.message(2, Message().number(1, static_cast<std::uint64_t>(size)));
  return result;
}

inline Message float_tensor(const std::vector<std::int64_t>& sizes, const std::vector<float>& values) {
  std::string content(values.size() * sizeof(float), '\0');
  std::memcpy(content.data(), values.data(), content.size());
  return Message().number(1, kFloat).message(2, shape(sizes)).text(4, content);
}

inline Message node(const std::string& name, const std::string& op, const std::vector<std::string>& inputs,
                    const std::vector<std::pair<std::string, Message>>& attributes) {
  Message result;
  result.text(1, name).text(2, op);
  for (const std::string& input : inputs) result.text(3, input);
  for (const auto& [key, value] : attributes) result.message(5, Message().text(1, key).message(2, value));
  return result;
}

inline Message placeholder(const std::string& name, std::uint64_t dtype, const std::vector<std::int64_t>& sizes) {
  return node(name, "Placeholder", {}, {{"dtype", type_value(dtype)}, {"shape", Message().message(7, shape(sizes))}});
}

inline Message constant(const std::string& name, const std::vector<std::int64_t>& sizes,
                        const std::vector<float>& values) {
  return node(name, "Const", {},
              {{"dtype", type_value(kFloat)}, {"value", Message().message(8, float_tensor(sizes, values))}});
}

inline Message binary(const std::string& name, const std::string& op, const std::string& x, const std::string& y) {
  return node(name, op, {x, y}, {{"T", type_value(kFloat)}});
}

class GraphWriter {
 public:
  GraphWriter& add(const Message& graph_node) {
    graph_.message(1, graph_node);
    return *this;
  }
  // Adds a function of one node to the graph's library.
  GraphWriter& add_function(const std::string& name, const Message& function_node) {
    const Message function = Message().message(1, Message().text(1, name)).message(3, function_node);
    graph_.message(2, Message().message(1, function));
    return *this;
  }
  // Versions: what TensorFlow 2.x writes as producer; without it, old and removed behaviour would be asked for.
  [[nodiscard]] std::string bytes() const {
    constexpr std::uint64_t kProducer = 1882;
    return Message(graph_).message(4, Message().number(1, kProducer)).bytes();
  }

 private:
  Message graph_;
};

}  // namespace vialsight::test
