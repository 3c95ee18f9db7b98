#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vialsight {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string nested_arrays(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
}

void expect_corrupt(const std::string& text, const std::string& message) {
  const Result<json> result = parse_strict_json(text, "a.json");
  ASSERT_FALSE(result.ok()) << text;
  EXPECT_EQ(result.status().code(), Code::kDataCorrupt) << text;
  EXPECT_THAT(result.status().message(), HasSubstr("a.json"));
  EXPECT_THAT(result.status().message(), HasSubstr(message));
}

TEST(ParseStrictJson, ReadsEveryType) {
  const Result<json> result = parse_strict_json(R"( {"a":[1,-2,2.5,true,false,null,"ü"],"b":{}} )", "a.json");
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result.value()["a"].size(), 7U);
  EXPECT_EQ(result.value()["a"][2], 2.5);
  EXPECT_EQ(result.value()["a"][6], "ü");
}

TEST(ParseStrictJson, SameKeyInDifferentObjectsIsNoDuplicate) {
  EXPECT_TRUE(parse_strict_json(R"({"a":{"a":[{"a":1},{"a":2}]},"b":{"a":1}})", "a.json").ok());
}

TEST(ParseStrictJson, SixtyFourLevelsAreAllowed) { EXPECT_TRUE(parse_strict_json(nested_arrays(64), "a.json").ok()); }
TEST(ParseStrictJson, SixtyFiveLevels) { expect_corrupt(nested_arrays(65), "64 nested levels"); }
TEST(ParseStrictJson, AMillionOpenBrackets) { expect_corrupt(std::string(1000000, '['), "64 nested levels"); }
TEST(ParseStrictJson, DuplicateKey) { expect_corrupt(R"({"a":1,"a":1})", "\"a\" appears twice"); }
TEST(ParseStrictJson, DuplicateKeyInNestedObject) { expect_corrupt(R"({"b":[{"a":1,"a":1}]})", "appears twice"); }
TEST(ParseStrictJson, DuplicateKeyWrittenWithAnEscape) { expect_corrupt(R"({"a":1,"\u0061":1})", "appears twice"); }
TEST(ParseStrictJson, DuplicateKeyAfterNestedObject) { expect_corrupt(R"({"a":{"b":1},"a":1})", "appears twice"); }
TEST(ParseStrictJson, NotANumber) { expect_corrupt(R"({"a":NaN})", "not valid JSON"); }
TEST(ParseStrictJson, Infinity) { expect_corrupt(R"({"a":Infinity})", "not valid JSON"); }
TEST(ParseStrictJson, NumberBeyondDouble) { expect_corrupt("[1e400]", "1e400"); }
TEST(ParseStrictJson, LeadingZero) { expect_corrupt("[01]", "not valid JSON"); }
TEST(ParseStrictJson, SecondValue) { expect_corrupt("{} {}", "not valid JSON"); }
TEST(ParseStrictJson, TrailingComma) { expect_corrupt("[1,]", "not valid JSON"); }
TEST(ParseStrictJson, Comment) { expect_corrupt("[1] // one", "not valid JSON"); }
TEST(ParseStrictJson, Truncated) { expect_corrupt(R"({"a":)", "not valid JSON"); }
TEST(ParseStrictJson, Empty) { expect_corrupt("", "not valid JSON"); }
TEST(ParseStrictJson, ZeroByteAfterTheValue) { expect_corrupt(std::string("{}\0x", 4), "zero byte"); }
TEST(ParseStrictJson, ByteOrderMark) { expect_corrupt("\xEF\xBB\xBF{}", "byte order mark"); }
TEST(ParseStrictJson, InvalidUtf8) { expect_corrupt("[\"\xC3\x28\"]", "not valid JSON"); }
TEST(ParseStrictJson, OverlongUtf8) { expect_corrupt("[\"\xC0\xAF\"]", "not valid JSON"); }
TEST(ParseStrictJson, UnpairedSurrogate) { expect_corrupt(R"(["\ud800"])", "not valid JSON"); }
TEST(ParseStrictJson, ControlCharacterInString) { expect_corrupt("[\"\n\"]", "not valid JSON"); }

TEST(ParseStrictJson, MessageIsPrintableWhateverTheText) {
  const Result<json> result = parse_strict_json("[\"\xFF\x01\"]", "a.json");
  for (const char c : result.status().message()) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(ObjectReader, ReadsAClosedSchema) {
  const json object = json::parse(R"({"s":"x","i":-3,"n":2.5,"b":true,"v":[1,2.5],"t":["p"],"o":{},"z":null,"c":"k"})");
  ObjectReader reader(object, "a.json:");
  EXPECT_EQ(reader.require_string("s"), "x");
  EXPECT_EQ(reader.require_integer("i", -3, -3), -3);
  EXPECT_EQ(reader.require_number("n"), 2.5);
  EXPECT_TRUE(reader.require_bool("b"));
  EXPECT_EQ(reader.require_numbers("v", 2), (std::vector<double>{1.0, 2.5}));
  EXPECT_EQ(reader.require_strings("t"), std::vector<std::string>{"p"});
  EXPECT_TRUE(reader.require_object("o").empty());
  EXPECT_EQ(reader.require_nullable("z"), nullptr);
  reader.require_constant("c", "k");
  EXPECT_TRUE(reader.finish().ok()) << reader.finish().message();
}

TEST(ObjectReader, NullableReturnsTheValue) {
  const json object = json::parse(R"({"a":[1]})");
  ObjectReader reader(object, "a.json:");
  const json* value = reader.require_nullable("a");
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(value->size(), 1U);
}

using Read = void (*)(ObjectReader&);
struct BadObject {
  const char* text;
  Read read;
  const char* message;
};

class ObjectReaderError : public testing::TestWithParam<BadObject> {};

TEST_P(ObjectReaderError, IsReportedAtFinish) {
  const json object = json::parse(GetParam().text);
  ObjectReader reader(object, "a.json:");
  GetParam().read(reader);
  const Status status = reader.finish();
  EXPECT_EQ(status.code(), Code::kDataCorrupt);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

void read_string(ObjectReader& reader) { EXPECT_EQ(reader.require_string("a"), ""); }
void read_small(ObjectReader& reader) { EXPECT_EQ(reader.require_int("a", 1, 9), 1); }
void read_any_integer(ObjectReader& reader) { static_cast<void>(reader.require_integer("a", INT64_MIN, INT64_MAX)); }
void read_number(ObjectReader& reader) { EXPECT_EQ(reader.require_number("a"), 0.0); }
void read_bool(ObjectReader& reader) { EXPECT_FALSE(reader.require_bool("a")); }
void read_numbers(ObjectReader& reader) { EXPECT_TRUE(reader.require_numbers("a", 2).empty()); }
void read_strings(ObjectReader& reader) { EXPECT_TRUE(reader.require_strings("a").empty()); }
void read_array(ObjectReader& reader) { EXPECT_TRUE(reader.require_array("a").is_array()); }
void read_object(ObjectReader& reader) { EXPECT_TRUE(reader.require_object("a").is_object()); }
void read_nullable(ObjectReader& reader) { EXPECT_EQ(reader.require_nullable("a"), nullptr); }
void read_text_constant(ObjectReader& reader) { reader.require_constant("a", "mean"); }
void read_number_constant(ObjectReader& reader) { reader.require_constant("a", 1.5); }
void read_null(ObjectReader& reader) { reader.require_null("a"); }

INSTANTIATE_TEST_SUITE_P(
    All, ObjectReaderError,
    testing::Values(BadObject{"{}", read_string, "a.json: a: missing"}, BadObject{"{}", read_nullable, "a: missing"},
                    BadObject{R"({"a":1})", read_string, "a: expected a string, got 1"},
                    BadObject{R"({"a":0})", read_small, "an integer from 1 to 9, got 0"},
                    BadObject{R"({"a":10})", read_small, "got 10"}, BadObject{R"({"a":2.0})", read_small, "got 2.0"},
                    BadObject{R"({"a":true})", read_small, "got true"},
                    BadObject{R"({"a":18446744073709551615})", read_any_integer, "got 18446744073709551615"},
                    BadObject{R"({"a":"2"})", read_number, "a number, got \"2\""},
                    BadObject{R"({"a":0})", read_bool, "true or false, got 0"},
                    BadObject{R"({"a":[1]})", read_numbers, "an array of 2 numbers, got [1]"},
                    BadObject{R"({"a":[1,null]})", read_numbers, "an array of 2 numbers, got [1,null]"},
                    BadObject{R"({"a":["x",1]})", read_strings, "an array of strings, got one with 1"},
                    BadObject{R"({"a":{}})", read_array, "an array, got an object"},
                    BadObject{R"({"a":[1,2]})", read_object, "an object, got an array of 2"},
                    BadObject{R"({"a":"sum"})", read_text_constant, "expected \"mean\", got \"sum\""},
                    BadObject{R"({"a":1.25})", read_number_constant, "expected 1.5, got 1.25"},
                    BadObject{R"({"a":0})", read_null, "expected null, got 0"},
                    BadObject{R"({"a":null,"zz":0})", read_null, "a.json: zz: unknown key"},
                    BadObject{"[1]", read_string, "expected an object, got an array of 1"}));

TEST(ObjectReader, KeepsTheFirstError) {
  const json object = json::parse(R"({"a":1,"b":2})");
  ObjectReader reader(object, "a.json:");
  static_cast<void>(reader.require_string("b"));
  static_cast<void>(reader.require_string("a"));
  reader.fail("a", "more", "less");
  reader.merge({Code::kUnsupported, "later"});
  EXPECT_THAT(reader.finish().message(), HasSubstr("a.json: b: expected a string"));
}

TEST(ObjectReader, MergesANestedError) {
  const json object = json::parse(R"({"o":{"x":1}})");
  ObjectReader reader(object, "a.json:");
  ObjectReader nested(reader.require_object("o"), reader.path_of("o"));
  static_cast<void>(nested.require_string("x"));
  reader.merge(nested.finish());
  EXPECT_THAT(reader.finish().message(), HasSubstr("a.json: o.x: expected a string"));
}

}  // namespace
}  // namespace vialsight
