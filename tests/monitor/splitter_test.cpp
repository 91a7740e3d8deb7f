// The cutter of JSON values: any pieces, any rubbish, bounded memory.
#include "monitor/qmp/splitter.h"

#include <gtest/gtest.h>

#include <random>

#include "monitor/qmp/json_text.h"

namespace doppel::monitor {
namespace {

struct Cut {
  std::vector<std::string> values, errors;
  size_t most_held = 0;
  Splitter splitter;
  explicit Cut(Splitter::Limits limits = {})
      : splitter(limits, {[this](std::string v) { values.push_back(std::move(v)); },
                          [this](const std::string& e) { errors.push_back(e); }}) {}
  void feed(std::string_view text, size_t piece = SIZE_MAX) {
    while (!text.empty()) {
      const std::string_view part = text.substr(0, piece);
      splitter.feed({reinterpret_cast<const u8*>(part.data()), part.size()});
      most_held = std::max(most_held, splitter.held());
      text.remove_prefix(part.size());
    }
  }
};

using Values = std::vector<std::string>;

TEST(Splitter, ValuesInOneWriteAndInPieces) {
  const std::string text = R"({"a": [1, {"b": "}]\"{"}]}{"c":2} [3]   "x" 12 {"é":"\\"})";
  const Values expected = {R"({"a": [1, {"b": "}]\"{"}]})", R"({"c":2})", "[3]", R"("x")", "12", R"({"é":"\\"})"};
  for (size_t piece = 1; piece <= text.size(); piece++) {
    Cut cut;
    cut.feed(text, piece);
    EXPECT_EQ(cut.values, expected) << piece;
    EXPECT_TRUE(cut.errors.empty()) << piece;
    EXPECT_EQ(cut.splitter.held(), 0u);
  }
}

TEST(Splitter, SingleQuotes) {
  Cut cut;
  cut.feed(R"({'execute': 'it\'s "x"', "a'b": '\n'})");
  ASSERT_EQ(cut.values.size(), 1u);
  const auto parsed = parse_json(cut.values[0]);
  ASSERT_TRUE(parsed.ok()) << cut.values[0];
  EXPECT_EQ(parsed.value()["execute"], "it's \"x\"");
  EXPECT_EQ(parsed.value()["a'b"], "\n");
}

TEST(Splitter, GoesOnBehindAnError) {
  for (const char* rubbish :
       {"}", "{\"a\": ]", "{\"a\": \x01", "\"open\n", "{\"x\": \"open\n", "\xf8", "{\"a\xc0", ":", "[1}"}) {
    Cut cut;
    cut.feed(std::string(rubbish) + "{\"ok\": 1}");
    EXPECT_EQ(cut.errors.size(), 1u) << rubbish;
    EXPECT_EQ(cut.values, Values{"{\"ok\": 1}"}) << rubbish;
  }
}

TEST(Splitter, ByteFfGetsInStep) {
  Cut cut;
  cut.feed("\xff{\"ok\": 1}");
  EXPECT_TRUE(cut.errors.empty());
  EXPECT_EQ(cut.values, Values{"{\"ok\": 1}"});
  cut.feed("{\"begun\": [\xff{\"ok\": 2}");
  EXPECT_EQ(cut.errors.size(), 1u);
  EXPECT_EQ(cut.values.back(), "{\"ok\": 2}");
}

TEST(Splitter, Limits) {
  const Splitter::Limits small{.bytes = 100, .depth = 10, .tokens = 20};
  struct {
    std::string text;
    const char* why;
  } cases[] = {{"{\"a\": \"" + std::string(500, 'x') + "\"}", "longer than 100"},
               {std::string(500, '9'), "longer than 100"},
               {std::string(50, '['), "deeper than 10"},
               {"[" + std::string(50, ',') + "]", "more than 20"}};
  for (const auto& c : cases) {
    Cut cut(small);
    cut.feed(c.text + "\n{\"ok\": 1}");
    ASSERT_EQ(cut.errors.size(), 1u) << c.text;
    EXPECT_NE(cut.errors[0].find(c.why), std::string::npos) << cut.errors[0];
    EXPECT_EQ(cut.values, Values{"{\"ok\": 1}"}) << c.text;
    EXPECT_LE(cut.most_held, 101u);
  }
}

TEST(Splitter, AFloodThatNeverEndsIsOneError) {
  Cut cut({.bytes = 1000});
  for (int i = 0; i < 1000; i++) cut.feed("{\"a\": [\"" + std::string(997, 'x'));
  EXPECT_EQ(cut.errors.size(), 1u);
  EXPECT_LE(cut.most_held, 1001u);
}

TEST(Splitter, RandomBytesNeverBreakIt) {
  std::mt19937 random(7);
  const std::string alphabet =
      "{}[]\"'\\,: \n\x01\xff"
      "a1";
  Cut cut({.bytes = 200, .depth = 8, .tokens = 30});
  for (int i = 0; i < 200000; i++) cut.feed(std::string(1, alphabet[random() % alphabet.size()]));
  EXPECT_LE(cut.most_held, 201u);
  cut.splitter.reset();
  cut.feed("\xff{\"ok\": 1}");
  EXPECT_EQ(cut.values.back(), "{\"ok\": 1}");
  for (const std::string& v : cut.values) (void)parse_json(v);  // an error or a value, never more
}

TEST(JsonText, PrintedAsClientsExpect) {
  const Output value = {{"return", Output::object()}, {"id", {1, "é\n", nullptr}}};
  EXPECT_EQ(print_json(value, false), R"({"return": {}, "id": [1, "\u00e9\n", null]})");
  EXPECT_EQ(print_json(value, true),
            "{\n    \"return\": {},\n    \"id\": [\n        1,\n        \"\\u00e9\\n\",\n        null\n    ]\n}");
  EXPECT_EQ(print_json(Output(std::string("\xff")), false), "\"\\ufffd\"");
}

TEST(JsonText, Errors) {
  EXPECT_NE(parse_json(R"({"a": 1, "b": {"a": 2}, "a": 3})").error().cause.find("'a' comes twice"), std::string::npos);
  EXPECT_TRUE(parse_json(R"({"a": 1, "b": {"a": 2}})").ok());
  for (const char* bad : {"{", "{\"a\" 1}", "[1 2]", "tru", "\"\xc3(\"", "{\"a\":}", "01"})
    EXPECT_FALSE(parse_json(bad).ok()) << bad;
}

}  // namespace
}  // namespace doppel::monitor
