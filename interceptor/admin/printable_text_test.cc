#include "interceptor/admin/printable_text.h"

#include <string>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

TEST(PrintableTextTest, LeavesWhatStaysInItsPlace) {
  for (const std::string text :
       {"", "/greeter.v1.Greeter/SayHello", " ~\\\"",
        "Grüße, мир 世界 \U0001f600", "\u00a0", "\U0010ffff"}) {
    EXPECT_EQ(PrintableText(text), text);
  }
}

TEST(PrintableTextTest, WritesControlCharactersOut) {
  EXPECT_EQ(PrintableText("a\x1b[2Jb\n\r\t"), "a\\x1b[2Jb\\x0a\\x0d\\x09");
  EXPECT_EQ(PrintableText(std::string(1, '\0') + "\x7f"), "\\x00\\x7f");
  // CSI as one character of UTF-8.
  EXPECT_EQ(PrintableText("\u009b"), "\\xc2\\x9b");
}

TEST(PrintableTextTest, WritesOutWhatTurnsOrEndsALine) {
  EXPECT_EQ(PrintableText("\u202e"), "\\xe2\\x80\\xae");
  EXPECT_EQ(PrintableText("\u2066"), "\\xe2\\x81\\xa6");
  EXPECT_EQ(PrintableText("\u2028"), "\\xe2\\x80\\xa8");
  EXPECT_EQ(PrintableText("\u2027\u202f"), "\u2027\u202f");
}

TEST(PrintableTextTest, WritesOutWhatIsNotUtf8) {
  EXPECT_EQ(PrintableText("\xff"), "\\xff");
  EXPECT_EQ(PrintableText("\xc3"), "\\xc3");           // cut off
  EXPECT_EQ(PrintableText("\xc0\xaf"), "\\xc0\\xaf");  // overlong
  EXPECT_EQ(PrintableText("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf");
  EXPECT_EQ(PrintableText("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(PrintableText("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(PrintableText("\xc3(a"), "\\xc3(a");
}

}  // namespace
}  // namespace fusebox
