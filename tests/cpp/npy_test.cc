#include "base/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

namespace vialsight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<NpyArray> parse(const std::string& bytes) { return parse_npy_f32(std::as_bytes(std::span(bytes)), "x.npy"); }

// A file as NumPy writes it, with this header text and these data bytes.
std::string file(const std::string& header, const std::string& data, const std::string& version = {"\1\0", 2}) {
  std::string length;
  for (std::size_t i = 0; i < (version[0] == 1 ? 2U : 4U); ++i) {
    length += static_cast<char>((header.size() + 1) >> (8 * i));
  }
  return "\x93NUMPY" + version + length + header + "\n" + data;
}

std::string with_shape(const std::string& shape, const std::string& data) {
  return file("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }", data);
}

std::string zeros(std::size_t count) { return std::string(count, '\0'); }

void expect_error(const std::string& bytes, Code code, const std::string& message) {
  const Result<NpyArray> result = parse(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_THAT(result.status().message(), HasSubstr("x.npy"));
  EXPECT_THAT(result.status().message(), HasSubstr(message));
}
void expect_corrupt(const std::string& bytes, const std::string& message) {
  expect_error(bytes, Code::kDataCorrupt, message);
}
void expect_bad_header(const std::string& header) { expect_corrupt(file(header, zeros(4)), ".npy header"); }

// Bytes of numpy.save(numpy.array([[1, -2.5], [0.25, 3e-5]], "<f4")), NumPy 2.4.
std::string numpy_file() {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
  header.resize(0x76 - 1, ' ');
  const char data[] = "\x00\x00\x80?\x00\x00 \xc0\x00\x00\x80>\x82\xa8\xfb\x37";
  return "\x93NUMPY" + std::string("\x01\x00\x76\x00", 4) + header + "\n" + std::string(data, 16);
}

TEST(Npy, ReadsWhatNumPyWrote) {
  const Result<NpyArray> result = parse(numpy_file());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_THAT(result.value().shape, ElementsAre(2, 2));
  EXPECT_THAT(result.value().values, ElementsAre(1.0F, -2.5F, 0.25F, 3e-5F));
}

TEST(Npy, ReadsVersionTwo) {
  const std::string bytes =
      file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", {"\0\0\xC0\x3F", 4}, {"\2\0", 2});
  ASSERT_TRUE(parse(bytes).ok());
  EXPECT_THAT(parse(bytes).value().values, ElementsAre(1.5F));
}

TEST(Npy, ReadsKeysInAnyOrderAndEitherQuote) {
  EXPECT_TRUE(parse(file(R"({"shape":(1,),"descr":"<f4","fortran_order":False})", zeros(4))).ok());
}

TEST(Npy, ReadsAScalar) {
  ASSERT_TRUE(parse(with_shape("()", zeros(4))).ok());
  EXPECT_TRUE(parse(with_shape("()", zeros(4))).value().shape.empty());
}

TEST(Npy, ReadsAnEmptyArray) {
  ASSERT_TRUE(parse(with_shape("(3, 0)", "")).ok());
  EXPECT_TRUE(parse(with_shape("(3, 0)", "")).value().values.empty());
}

// Bytes of numpy.save(numpy.array([0, 1, 254, 255], "u1")), NumPy 2.4.
std::string numpy_pixels() {
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }";
  header.resize(0x76 - 1, ' ');
  return "\x93NUMPY" + std::string("\x01\x00\x76\x00", 4) + header + "\n" + std::string("\x00\x01\xfe\xff", 4);
}

Result<NpyArray> parse_pixels(const std::string& bytes) {
  return parse_npy_pixels(std::as_bytes(std::span(bytes)), "x.npy");
}

void expect_no_pixels(const std::string& bytes, Code code, const std::string& message) {
  const Result<NpyArray> result = parse_pixels(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_THAT(result.status().message(), HasSubstr("x.npy"));
  EXPECT_THAT(result.status().message(), HasSubstr(message));
}

std::string typed(const std::string& descr, const std::string& data) {
  return file("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (2,), }", data);
}

TEST(NpyPixels, AreDividedBy255) {
  const Result<NpyArray> result = parse_pixels(numpy_pixels());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_THAT(result.value().shape, ElementsAre(4));
  // The float32 nearest to the quotients, written out.
  EXPECT_THAT(result.value().values, ElementsAre(0.0F, 0x1.010102p-8F, 0x1.fdfdfep-1F, 1.0F));
}

TEST(NpyPixels, MayBeFloats) {
  ASSERT_TRUE(parse_pixels(numpy_file()).ok());
  EXPECT_THAT(parse_pixels(numpy_file()).value().values, ElementsAre(1.0F, -2.5F, 0.25F, 3e-5F));
}

TEST(NpyPixels, MayBeNone) {
  const std::string none = file("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }", "");
  ASSERT_TRUE(parse_pixels(none).ok());
  EXPECT_TRUE(parse_pixels(none).value().values.empty());
}

TEST(NpyPixels, EveryTruncationIsAnError) {
  const std::string bytes = numpy_pixels();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(parse_pixels(bytes.substr(0, length)).ok()) << length;
  }
}

TEST(NpyPixels, OneByteTooMany) { expect_no_pixels(typed("|u1", zeros(3)), Code::kDataCorrupt, "expected 2 bytes"); }
TEST(NpyPixels, Uint16) {
  expect_no_pixels(typed("<u2", zeros(4)), Code::kUnsupported,
                   "expected uint8 ('|u1') or little-endian float32 ('<f4'), got '<u2'");
}
TEST(NpyPixels, Int8) { expect_no_pixels(typed("|i1", zeros(2)), Code::kUnsupported, "got '|i1'"); }
TEST(NpyPixels, Bool) { expect_no_pixels(typed("|b1", zeros(2)), Code::kUnsupported, "got '|b1'"); }
TEST(NpyPixels, FortranOrder) {
  expect_no_pixels(file("{'descr': '|u1', 'fortran_order': True, 'shape': (1,), }", zeros(1)), Code::kUnsupported,
                   "Fortran");
}
TEST(NpyPixels, ByteCountThatNoFloatsCouldHave) {
  // 2^62 bytes might be; as floats they would be 2^64.
  expect_no_pixels(file("{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904,), }", zeros(1)),
                   Code::kDataCorrupt, "more bytes than any file");
}

TEST(Npy, EveryTruncationIsAnError) {
  const std::string bytes = numpy_file();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(parse(bytes.substr(0, length)).ok()) << length;
  }
}

TEST(Npy, NoBytes) { expect_corrupt("", "first bytes"); }
TEST(Npy, WrongMagic) { expect_corrupt("\x93NUMPX" + numpy_file().substr(6), "first bytes"); }
TEST(Npy, VersionThree) { expect_error(file("{}", "", {"\3\0", 2}), Code::kUnsupported, "got 3.0"); }
TEST(Npy, VersionOneOne) { expect_error(file("{}", "", {"\1\1", 2}), Code::kUnsupported, "got 1.1"); }
TEST(Npy, HeaderLongerThanTheFile) {
  expect_corrupt("\x93NUMPY" + std::string("\x01\x00\xff\xff{}\n", 7), "truncated in the header");
}
TEST(Npy, HeaderLengthOfFourGigabytes) {
  expect_corrupt("\x93NUMPY" + std::string("\x02\x00\xff\xff\xff\xff{}\n", 9), "longer than 65536");
}
TEST(Npy, OneByteTooFew) { expect_corrupt(with_shape("(2,)", zeros(7)), "expected 8 bytes"); }
TEST(Npy, OneByteTooMany) { expect_corrupt(with_shape("(2,)", zeros(9)), "got 9"); }
TEST(Npy, ShapeProductWrapsToTheDataSize) {
  // 2^32 · 2^32 = 0 modulo 2^64.
  expect_corrupt(with_shape("(4294967296, 4294967296)", ""), "more bytes than any file");
}
TEST(Npy, ByteCountWrapsToTheDataSize) {
  // 4 · (2^62 + 1) = 4 modulo 2^64.
  expect_corrupt(with_shape("(4611686018427387905,)", zeros(4)), "more bytes than any file");
}
TEST(Npy, HugeShapeAllocatesNothing) { expect_corrupt(with_shape("(4000000000000,)", zeros(4)), "got 4"); }
TEST(Npy, DimensionBeyondSizeT) { expect_corrupt(with_shape("(99999999999999999999,)", zeros(4)), ".npy header"); }
TEST(Npy, NegativeDimension) { expect_corrupt(with_shape("(-1,)", zeros(4)), ".npy header"); }
TEST(Npy, DimensionWithLeadingZero) { expect_corrupt(with_shape("(01,)", zeros(4)), ".npy header"); }
TEST(Npy, FractionalDimension) { expect_corrupt(with_shape("(1.0,)", zeros(4)), ".npy header"); }
TEST(Npy, LongDimensionOfPython2) { expect_corrupt(with_shape("(1L,)", zeros(4)), ".npy header"); }
TEST(Npy, ShapeIsANumber) { expect_corrupt(with_shape("1", zeros(4)), ".npy header"); }
TEST(Npy, ShapeIsAParenthesisedNumber) { expect_corrupt(with_shape("(1)", zeros(4)), ".npy header"); }
TEST(Npy, ShapeWithoutCommas) { expect_corrupt(with_shape("(1 1)", zeros(4)), ".npy header"); }
TEST(Npy, ShapeOfOnlyAComma) { expect_corrupt(with_shape("(,)", zeros(4)), ".npy header"); }
TEST(Npy, ShapeNotClosed) { expect_corrupt(with_shape("(1,", zeros(4)), ".npy header"); }
TEST(Npy, ThirtyThreeDimensions) {
  std::string shape = "(";
  for (int i = 0; i < 33; ++i) shape += "1,";
  expect_corrupt(with_shape(shape + ")", zeros(4)), ".npy header");
}

TEST(Npy, Float64) {
  expect_error(file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", zeros(8)), Code::kUnsupported, "<f4");
}
TEST(Npy, BigEndian) {
  expect_error(file("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", zeros(4)), Code::kUnsupported, "<f4");
}
TEST(Npy, Uint8) {
  expect_error(numpy_pixels(), Code::kUnsupported, "expected little-endian float32 ('<f4'), got '|u1'");
}
TEST(Npy, UnprintableType) { expect_error(typed("\x1b[2J", zeros(8)), Code::kUnsupported, "got '?[2J'"); }
TEST(Npy, FortranOrder) {
  expect_error(file("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", zeros(4)), Code::kUnsupported,
               "Fortran");
}

TEST(Npy, EmptyHeader) { expect_bad_header(""); }
TEST(Npy, EmptyDict) { expect_bad_header("{}"); }
TEST(Npy, MissingKey) { expect_bad_header("{'descr': '<f4', 'fortran_order': False, }"); }
TEST(Npy, ExtraKey) { expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1, }"); }
TEST(Npy, UnknownKey) { expect_bad_header("{'dtype': '<f4', 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, DuplicateDescr) { expect_bad_header("{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }"); }
TEST(Npy, DuplicateShape) { expect_bad_header("{'descr': '<f4', 'shape': (1,), 'shape': (1,), }"); }
TEST(Npy, DuplicateOrder) { expect_bad_header("{'fortran_order': False, 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, StructuredDescr) { expect_bad_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, DescrWithBackslash) { expect_bad_header("{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, StringNotClosed) { expect_bad_header("{'descr"); }
TEST(Npy, OrderIsANumber) { expect_bad_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }"); }
TEST(Npy, NoCommaBetweenEntries) { expect_bad_header("{'descr': '<f4' 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, NoColon) { expect_bad_header("{'descr' '<f4', 'fortran_order': False, 'shape': (1,), }"); }
TEST(Npy, NotADict) { expect_bad_header("['descr', '<f4']"); }
TEST(Npy, DictNotClosed) { expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), "); }
TEST(Npy, TextAfterTheDict) { expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x"); }
TEST(Npy, ZeroByteAfterTheDict) {
  expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + std::string(1, '\0'));
}
TEST(Npy, HeaderWithoutNewline) {
  std::string bytes = with_shape("(1,)", zeros(4));
  bytes[bytes.size() - 5] = ' ';
  expect_corrupt(bytes, ".npy header");
}

}  // namespace
}  // namespace vialsight
