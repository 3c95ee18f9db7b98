// What only the TensorFlow module does; backend_module_test.cc has what every runtime's does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "backend/backend_loader.h"
#include "graph_writer.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

// Linking without --no-as-needed drops libtensorflow_cc, and then no session can be made.
TEST(BackendModuleTest, TheModuleNeedsBothLibraries) {
  std::ifstream stream(VIALSIGHT_BACKEND_MODULE, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_THAT(bytes, HasSubstr("libtensorflow_cc.so.2"));
  EXPECT_THAT(bytes, HasSubstr("libtensorflow_framework.so.2"));
}

TEST(TensorFlowBackendTest, RefusesAnotherPrecision) {
  GraphWriter graph;
  graph.add(placeholder("patches", kFloat, {-1, 4, 4, 1}));
  const std::string model = graph.bytes();
  BackendOptions options;
  options.model = model.data();
  options.model_size = model.size();
  options.input_name = "patches";
  options.patch_size = 4;
  options.precision = Precision::kBfloat16;
  const Result<std::unique_ptr<Backend>> backend = load_backend(VIALSIGHT_BACKEND_MODULE, options);
  EXPECT_EQ(backend.status().code(), Code::kUnsupported);
  EXPECT_THAT(backend.status().message(), HasSubstr("expected precision float32, got bfloat16"));
}

}  // namespace
}  // namespace vialsight::test
