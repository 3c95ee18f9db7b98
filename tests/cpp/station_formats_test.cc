// Texts, checksums and packets of the station, against other implementations and values worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "station/control_command.h"
#include "station/counters.h"
#include "station/crc32.h"
#include "station/json_text.h"
#include "station/machine_packet.h"
#include "station/utf8.h"
#include "station_spool_reader.h"

namespace vialsight::station {
namespace {

using nlohmann::json;
using test::slow_crc32;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(StationCrc32Test, IsZlibs) {
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xCBF43926U);  // the check value of the polynomial
  EXPECT_EQ(crc32({}), 0U);
}

TEST(StationCrc32Test, AgreesWithBitByBitInAnyPieces) {
  std::mt19937 random(1);
  std::string text;
  for (int size = 0; size < 100; ++size) {
    const std::size_t cut = text.empty() ? 0 : random() % text.size();
    const std::uint32_t first = crc32(bytes_of(text.substr(0, cut)));
    EXPECT_EQ(crc32(bytes_of(text.substr(cut)), first), slow_crc32(text)) << size;
    text += static_cast<char>(random());
  }
}

TEST(StationUtf8Test, KnowsWholeCharacters) {
  EXPECT_EQ(utf8_length("a"), 1U);
  EXPECT_EQ(utf8_length("\xC3\xA9"), 2U);          // é
  EXPECT_EQ(utf8_length("\xE2\x82\xAC"), 3U);      // €
  EXPECT_EQ(utf8_length("\xF0\x9F\x98\x80"), 4U);  // an emoji
  for (const char* wrong : {"", "\x80", "\xC3", "\xC3(", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_EQ(utf8_length(wrong), 0U) << wrong;
  }
}

TEST(StationUtf8Test, CutsBetweenCharacters) {
  const std::string text = "a\xE2\x82\xAC";
  EXPECT_EQ(cut_utf8(text, 4), text);
  EXPECT_EQ(cut_utf8(text, 3), "a");
  EXPECT_EQ(cut_utf8(text, 1), "a");
  EXPECT_EQ(cut_utf8(text, 0), "");
}

TEST(StationJsonTextTest, IsReadBackByAnotherReader) {
  std::string text;
  JsonText writer(text);
  writer.field("text", "quote \" back \\ line \n nul \x01 \xE2\x82\xAC").field("yes", true).field("no", false);
  writer.field("least", std::numeric_limits<std::int64_t>::min())
      .field("most", std::numeric_limits<std::uint64_t>::max());
  writer.key("nothing").value(nullptr).key("list").begin_array().value(1).value("two").begin_array().end_array();
  writer.begin_object().end().end_array().key("inner").begin_object().field("a", 1).field("b", 0.1).end();
  writer.field("nan", std::nan("")).end();
  const json value = json::parse(text);
  EXPECT_EQ(value["text"], "quote \" back \\ line \n nul \x01 \xE2\x82\xAC");
  EXPECT_EQ(value["yes"], true);
  EXPECT_EQ(value["no"], false);
  EXPECT_EQ(value["least"], std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(value["most"], std::numeric_limits<std::uint64_t>::max());
  EXPECT_TRUE(value["nothing"].is_null());
  EXPECT_EQ(value["list"], json::parse(R"([1, "two", [], {}])"));
  EXPECT_EQ(value["inner"], json::parse(R"({"a": 1, "b": 0.1})"));
  EXPECT_TRUE(value["nan"].is_null());
}

TEST(StationJsonTextTest, AnyBytesGiveJson) {
  std::mt19937 random(2);
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    std::string wild(random() % 40, '\0');
    for (char& letter : wild) letter = static_cast<char>(random());
    JsonText(text).field("wild", wild).end();
    ASSERT_FALSE(json::parse(text, nullptr, false).is_discarded()) << text;
  }
}

TEST(StationJsonTextTest, NumbersAreReadBackTheSame) {
  std::mt19937_64 random(3);
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    const auto number = std::bit_cast<double>(random());
    if (!std::isfinite(number)) continue;
    JsonText(text).field("x", number).end();
    EXPECT_EQ(json::parse(text)["x"].get<double>(), number);
  }
}

TEST(StationJsonTextTest, Base64IsThatOfTheStandard) {
  const std::vector<std::pair<std::string, std::string>> vectors = {// RFC 4648, section 10
                                                                    {"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    std::string text;
    JsonText writer(text);
    writer.key("x").base64(bytes_of(plain));
    writer.end();
    EXPECT_EQ(text, "{\"x\":\"" + coded + "\"}");
  }
}

TEST(StationCountersTest, AddUp) {
  Counters counters;
  counters.begin();
  counters.finish(Verdict::kAccept, Reason::kNone);
  counters.begin();
  counters.finish(Verdict::kReject, Reason::kDefect);
  counters.begin();
  EXPECT_EQ(counters.triggers, 3U);
  EXPECT_EQ(counters.accepted, 1U);
  EXPECT_EQ(counters.rejected[1], 1U);
  EXPECT_EQ(counters.in_flight, 1U);
}

// 64 bytes of a trigger, put together from the description.
std::string trigger_packet() {
  std::string packet = "VSM1";
  packet += std::string("\1\0\0\0", 4) + std::string("\x2A\0\0\0\0\0\0\0", 8);
  packet += std::string("\x10\x27\0\0\0\0\0\0", 8) + std::string("\7\0\0\0\0\0\0\0", 8);
  packet.resize(64, '\0');
  return packet;
}

TEST(StationMachinePacketTest, ATriggerIsRead) {
  const auto request = parse_machine_request(bytes_of(trigger_packet()));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->type, MachineRequest::Type::kTrigger);
  EXPECT_EQ(request->strip_id, 42U);
  EXPECT_EQ(request->time_ns, 10'000);
  EXPECT_EQ(request->count, 7U);
}

TEST(StationMachinePacketTest, AnAcknowledgementIsRead) {
  std::string packet = trigger_packet();
  packet[4] = 2;
  EXPECT_EQ(parse_machine_request(bytes_of(packet))->type, MachineRequest::Type::kAcknowledge);
}

TEST(StationMachinePacketTest, WhatIsNoneIsRefused) {
  const auto refused = [](const std::string& packet) { return !parse_machine_request(bytes_of(packet)).has_value(); };
  const auto spoilt = [](std::size_t at, char byte) {
    std::string packet = trigger_packet();
    packet[at] = byte;
    return packet;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused(trigger_packet().substr(0, 63)));
  EXPECT_TRUE(refused(trigger_packet() + '\0'));
  EXPECT_TRUE(refused(spoilt(0, 'X')));      // magic
  EXPECT_TRUE(refused(spoilt(4, 0)));        // type
  EXPECT_TRUE(refused(spoilt(4, 3)));        // type
  EXPECT_TRUE(refused(spoilt(4, 16)));       // the station's own
  EXPECT_TRUE(refused(spoilt(15, '\x80')));  // a strip id that no database holds
  EXPECT_TRUE(refused(spoilt(23, '\x80')));  // a time before the clock began
  EXPECT_TRUE(refused(spoilt(31, '\x80')));  // count
  EXPECT_TRUE(refused(spoilt(63, 1)));       // filled up with something else
}

TEST(StationMachinePacketTest, AReplyLiesAsDescribed) {
  MachineReply reply;
  reply.strip_id = 0x0102030405060708;
  reply.heartbeat = 9;
  reply.ready = 1;
  reply.accept = 1;
  reply.reason = 5;
  reply.mode = 2;
  reply.hindrance = 8;
  reply.triggers = 11;
  reply.accepted = 10;
  const auto packet = make_packet(reply);
  std::string text(static_cast<const char*>(static_cast<const void*>(packet.data())), packet.size());
  EXPECT_EQ(text.substr(0, 4), "VSM1");
  EXPECT_EQ(text[4], 16);
  EXPECT_EQ(text.substr(8, 8), "\x08\x07\x06\x05\x04\x03\x02\x01");
  EXPECT_EQ(text[16], 9);
  EXPECT_EQ(text.substr(24, 6), std::string("\1\0\0\1\5\2", 6));
  EXPECT_EQ(text[32], 8);
  EXPECT_EQ(text[40], 11);
  EXPECT_EQ(text[48], 10);
  EXPECT_EQ(text.substr(56), std::string(8, '\0'));
}

Status parse(const std::string& text, ControlCommand& command) {
  return parse_control_command(bytes_of(text), command);
}

TEST(StationControlCommandTest, EachIsRead) {
  ControlCommand command;
  ASSERT_TRUE(parse(R"({"command_id": 1, "command": "produce", "batch": 7})", command).ok());
  EXPECT_EQ(command.kind, ControlCommand::Kind::kProduce);
  EXPECT_EQ(command.id, 1);
  EXPECT_EQ(command.batch, 7U);
  ASSERT_TRUE(parse(R"({"command_id": 9223372036854775807, "command": "halt"})", command).ok());
  EXPECT_EQ(command.kind, ControlCommand::Kind::kHalt);
  ASSERT_TRUE(parse(R"({"kit": "/a/b", "command": "challenge", "batch": 4294967295, "command_id": 3})", command).ok());
  EXPECT_EQ(command.kind, ControlCommand::Kind::kChallenge);
  EXPECT_EQ(command.kit, "/a/b");
  EXPECT_EQ(command.batch, 4294967295U);
  ASSERT_TRUE(parse(R"({"command_id": 4, "command": "shutdown"})", command).ok());
  EXPECT_EQ(command.kind, ControlCommand::Kind::kShutdown);
}

TEST(StationControlCommandTest, WhatIsNoneIsRefusedAndSaidWhy) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "one JSON object"},
      {"[]", "one JSON object"},
      {"{", "one JSON object"},
      {"\xFF", "one JSON object"},
      {R"({"command_id": 1, "command": "halt"} x)", "one JSON object"},
      {std::string(4000, '[') + std::string(4000, ']'), "one JSON object"},
      {R"({"command": "halt"})", "\"command_id\""},
      {R"({"command_id": 0, "command": "halt"})", "\"command_id\""},
      {R"({"command_id": -1, "command": "halt"})", "\"command_id\""},
      {R"({"command_id": 1.0, "command": "halt"})", "\"command_id\""},
      {R"({"command_id": "1", "command": "halt"})", "\"command_id\""},
      {R"({"command_id": 9223372036854775808, "command": "halt"})", "\"command_id\""},
      {R"({"command_id": 1})", "\"command\""},
      {R"({"command_id": 1, "command": "stop"})", "\"command\""},
      {R"({"command_id": 1, "command": 3})", "\"command\""},
      {R"({"command_id": 1, "command": "halt", "batch": 1})", "2 keys"},
      {R"({"command_id": 1, "command": "produce"})", "\"batch\""},
      {R"({"command_id": 1, "command": "produce", "batch": 0})", "\"batch\""},
      {R"({"command_id": 1, "command": "produce", "batch": 4294967296})", "\"batch\""},
      {R"({"command_id": 1, "command": "produce", "batch": 1, "kit": "x"})", "3 keys"},
      {R"({"command_id": 1, "command": "challenge", "batch": 1})", "\"kit\""},
      {R"({"command_id": 1, "command": "challenge", "batch": 1, "kit": ""})", "\"kit\""},
      {R"({"command_id": 1, "command": "challenge", "batch": 1, "kit": "a\u0000b"})", "\"kit\""},
      {R"({"command_id": 1, "command": "challenge", "batch": 1, "kit": 5})", "\"kit\""},
  };
  for (const auto& [text, what] : wrong) {
    ControlCommand command;
    const Status status = parse(text, command);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr(what)) << text;
  }
}

TEST(StationControlCommandTest, AnAnswerIsJson) {
  std::string text;
  write_control_answer(5, Status(), text);
  EXPECT_EQ(json::parse(text), json::parse(R"({"command_id": 5, "ok": true, "error": null})"));
  write_control_answer(0, {Code::kInvalidArgument, "so \"what\""}, text);
  EXPECT_EQ(json::parse(text), json::parse(R"({"command_id": null, "ok": false, "error": "so \"what\""})"));
}

}  // namespace
}  // namespace vialsight::station
