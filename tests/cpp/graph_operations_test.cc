#include "backend/graph_operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "graph_writer.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

Status check(const std::string& model) { return check_operations(model.data(), model.size()); }

void expect_error(const std::string& model, Code code, const char* text) {
  const Status status = check(model);
  EXPECT_EQ(status.code(), code);
  EXPECT_THAT(status.message(), HasSubstr(text));
}

GraphWriter small_graph() {
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, 4, 4, 1})).add(constant("half", {}, {0.5F}));
  graph.add(binary("result", "Mul", "patches", "half"));
  return graph;
}

TEST(GraphOperationsTest, TakesAGraphOfAllowedOperations) {
  GraphWriter graph = small_graph();
  graph.add_function("helper", node("inner", "Identity", {"x"}, {}));
  EXPECT_TRUE(check(graph.bytes()).ok()) << check(graph.bytes()).message();
}

TEST(GraphOperationsTest, NamesTheNodeAndItsOperation) {
  GraphWriter graph = small_graph();
  graph.add(node("secret", "ReadFile", {"name"}, {}));
  expect_error(graph.bytes(), Code::kUnsupported, "node \"secret\" uses operation \"ReadFile\"");
}

TEST(GraphOperationsTest, NamesTheFunctionToo) {
  GraphWriter graph = small_graph();
  graph.add_function("helper", node("hidden", "WriteFile", {}, {}));
  expect_error(graph.bytes(), Code::kUnsupported,
               "node \"hidden\" of function \"helper\" uses operation \"WriteFile\"");
}

// Readers take the last of a field that comes twice, or merge messages: all of them count.
TEST(GraphOperationsTest, LooksAtEveryRepetition) {
  const std::string good = small_graph().bytes();
  const Message twice = Message().text(1, "n").text(2, "ReadFile").text(2, "Identity");
  expect_error(good + Message().message(1, twice).bytes(), Code::kUnsupported, "\"ReadFile\"");
  const Message library = Message().message(1, Message().message(3, node("deep", "PyFunc", {}, {})));
  const Message empty;
  expect_error(good + Message().message(2, library).message(2, empty).bytes(), Code::kUnsupported, "\"PyFunc\"");
}

TEST(GraphOperationsTest, RefusesANodeWithoutAnOperation) {
  expect_error(small_graph().bytes() + Message().message(1, Message().text(1, "bare")).bytes(), Code::kUnsupported,
               "node \"bare\" uses operation \"\"");
}

// Each breaks off, or says of itself what no GraphDef does.
TEST(GraphOperationsTest, RefusesBytesThatAreNoGraph) {
  const std::string good = small_graph().bytes();
  for (const std::string& bytes : {
           std::string(), std::string("\xff\xff\xff", 3),  // a number without an end
           std::string("\x0a\x05\x12", 3),                 // a node of 5 bytes, of which 1 is there
           std::string("\x08\x01", 2),                     // a node that is a number
           std::string("\x0b", 1),                         // a group
           std::string("\x02\x00", 2),                     // a field 0
           std::string("\x09\x00\x00", 3),                 // 8 bytes, of which 2 are there
           std::string("\x0d\x00", 2),                     // 4 bytes, of which 1 is there
           std::string("\x0a\x02\x10\x01", 4),             // an operation that is a number
           good.substr(0, good.size() - 1),
           std::string("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 10),  // beyond 64 bits
       }) {
    expect_error(bytes, Code::kDataCorrupt, "not a serialised TensorFlow GraphDef");
  }
}

// What readers skip is skipped: numbers, fixed sizes and unknown fields.
TEST(GraphOperationsTest, SkipsWhatIsNoNode) {
  const std::string unknown = std::string("\xa1\x06", 2) + std::string(8, '\1') + std::string("\xa5\x06", 2) +
                              std::string(4, '\1') + Message().number(101, 7).text(102, "x").bytes();
  EXPECT_TRUE(check(small_graph().bytes() + unknown).ok());
}

}  // namespace
}  // namespace vialsight::test
