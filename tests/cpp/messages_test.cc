#include "base/messages.h"

#include <gtest/gtest.h>

namespace vialsight {
namespace {

TEST(Printable, ReplacesAndCuts) {
  EXPECT_EQ(printable("a\n\xC3\xBC"), "a???");
  EXPECT_EQ(printable(std::string(100, 'x')), std::string(80, 'x') + "...");
}

TEST(InQuotes, PutsWhatIsPrintableInQuotationMarks) { EXPECT_EQ(in_quotes("a\tb"), "\"a?b\""); }

TEST(IsPlainText, Utf8) { EXPECT_TRUE(is_plain_text("\xC3\xBC b")); }
TEST(IsPlainText, ControlCharacter) { EXPECT_FALSE(is_plain_text("a\nb")); }
TEST(IsPlainText, Delete) { EXPECT_FALSE(is_plain_text("\x7F")); }
TEST(IsPlainText, OverlongUtf8) { EXPECT_FALSE(is_plain_text("\xC0\xAF")); }
TEST(IsPlainText, TruncatedUtf8) { EXPECT_FALSE(is_plain_text("\xC3")); }

}  // namespace
}  // namespace vialsight
