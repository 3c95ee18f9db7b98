#include "station/control_command.h"

#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "station/json_text.h"

namespace vialsight::station {
namespace {

using nlohmann::json;
using Kind = ControlCommand::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 4> kCommands = {{{"produce", Kind::kProduce},
                                                                         {"halt", Kind::kHalt},
                                                                         {"challenge", Kind::kChallenge},
                                                                         {"shutdown", Kind::kShutdown}}};
constexpr std::size_t kMaxDepth = 4;

Status wrong(const std::string& message) { return {Code::kInvalidArgument, "command: " + message}; }

// Stops at nesting that no command has, before memory or stack is spent on it.
json parse(std::string_view text) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > static_cast<int>(kMaxDepth);
    return !too_deep;
  };
  json value = json::parse(text.begin(), text.end(), watch, false);
  return too_deep ? json(json::value_t::discarded) : value;
}

// An integer literal in [minimum, maximum]; what is wrong otherwise.
Status read_integer(const json& object, const char* key, std::int64_t minimum, std::int64_t maximum,
                    std::int64_t& result) {
  const auto found = object.find(key);
  const bool is_one =
      found != object.end() && found->is_number_integer() &&
      !(found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(maximum));
  if (!is_one || found->get<std::int64_t>() < minimum || found->get<std::int64_t>() > maximum) {
    return wrong(std::string("\"") + key + "\": expected a whole number from " + std::to_string(minimum) + " to " +
                 std::to_string(maximum));
  }
  result = found->get<std::int64_t>();
  return {};
}

Status read_kind(const json& object, Kind& kind) {
  const auto found = object.find("command");
  if (found != object.end() && found->is_string()) {
    for (const auto& [name, known] : kCommands) {
      if (found->get_ref<const std::string&>() != name) continue;
      kind = known;
      return {};
    }
  }
  return wrong("\"command\": expected \"produce\", \"halt\", \"challenge\" or \"shutdown\"");
}

Status read_kit(const json& object, std::string& kit) {
  const auto found = object.find("kit");
  const bool is_one = found != object.end() && found->is_string() && !found->get_ref<const std::string&>().empty() &&
                      found->get_ref<const std::string&>().find('\0') == std::string::npos;
  if (!is_one) return wrong("\"kit\": expected the path of a folder");
  kit = found->get<std::string>();
  return {};
}

std::size_t keys_of(Kind kind) noexcept {
  if (kind == Kind::kChallenge) return 4;
  return kind == Kind::kProduce ? 3 : 2;
}

Status read_fields(const json& object, ControlCommand& command) {
  if (Status status = read_kind(object, command.kind); !status.ok()) return status;
  if (command.kind == Kind::kProduce || command.kind == Kind::kChallenge) {
    std::int64_t batch = 0;
    if (Status status = read_integer(object, "batch", 1, std::numeric_limits<std::uint32_t>::max(), batch);
        !status.ok()) {
      return status;
    }
    command.batch = static_cast<std::uint32_t>(batch);
  }
  if (command.kind == Kind::kChallenge) {
    if (Status status = read_kit(object, command.kit); !status.ok()) return status;
  }
  if (object.size() == keys_of(command.kind)) return {};
  return wrong(std::string("\"") + name_of(command.kind) + "\": expected " + std::to_string(keys_of(command.kind)) +
               " keys, got " + std::to_string(object.size()));
}

}  // namespace

const char* name_of(Kind kind) noexcept {
  for (const auto& [name, known] : kCommands) {
    if (kind == known) return name.data();
  }
  return "unknown";
}

Status parse_control_command(std::span<const std::byte> packet, ControlCommand& command) {
  command = ControlCommand();
  const std::string_view text(static_cast<const char*>(static_cast<const void*>(packet.data())), packet.size());
  try {
    const json object = parse(text);
    if (object.is_discarded() || !object.is_object()) {
      return wrong("expected one JSON object in a packet of at most 8192 bytes");
    }
    if (Status status = read_integer(object, "command_id", 1, std::numeric_limits<std::int64_t>::max(), command.id);
        !status.ok()) {
      return status;
    }
    return read_fields(object, command);
  } catch (const std::exception& error) {  // no memory
    return {Code::kResourceExhausted, std::string("command: ") + error.what()};
  }
}

void write_control_answer(std::int64_t id, const Status& status, std::string& text) {
  JsonText answer(text);
  answer.key("command_id");
  id == 0 ? answer.value(nullptr) : answer.value(id);
  answer.field("ok", status.ok()).key("error");
  status.ok() ? answer.value(nullptr) : answer.value(status.message());
  answer.end();
}

}  // namespace vialsight::station
