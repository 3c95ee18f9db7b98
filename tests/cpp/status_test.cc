#include "vialsight/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace vialsight {
namespace {

TEST(Status, DefaultIsOk) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().code(), Code::kOk);
  EXPECT_TRUE(Status().message().empty());
}

TEST(Status, CarriesCodeAndMessage) {
  const Status status(Code::kNotFound, "no such file");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message(), "no such file");
}

TEST(Status, EveryCodeHasItsOwnName) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(Code::kBackendFault); ++code) {
    names.insert(name_of(static_cast<Code>(code)));
  }
  EXPECT_EQ(names.size(), 8U);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(Status, NameOfAnUnknownCodeIsNotNull) { EXPECT_STREQ(name_of(static_cast<Code>(200)), "unknown"); }

TEST(Result, HoldsAValue) {
  const Result<int> result = 7;
  EXPECT_TRUE(result.ok());
  EXPECT_TRUE(result.status().ok());
  EXPECT_EQ(result.value(), 7);
}

TEST(Result, HoldsAMoveOnlyValue) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, ValueOfAnErrorThrowsItsCodeAndMessage) {
  const Result<int> result = Status(Code::kDataCorrupt, "broken");
  EXPECT_FALSE(result.ok());
  try {
    static_cast<void>(result.value());
    FAIL() << "value() did not throw";
  } catch (const BadResultAccess& error) {
    EXPECT_STREQ(error.what(), "data_corrupt: broken");
  }
}

TEST(Result, MadeOfAnOkStatusIsAnErrorWithAnErrorStatus) {
  const Result<int> result = Status();
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace vialsight
