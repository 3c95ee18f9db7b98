// Commands of the recorder: a JSON object per packet, with just the keys that the command has.
//
//   {"command_id": n, "command": "produce", "batch": n}           {"command_id": n, "command": "halt"}
//   {"command_id": n, "command": "challenge", "batch": n, "kit": folder}   {"command_id": n, "command": "shutdown"}
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "vialsight/status.h"

namespace vialsight::station {

struct ControlCommand {
  enum class Kind : std::uint8_t { kProduce, kHalt, kChallenge, kShutdown };

  Kind kind = Kind::kHalt;
  std::int64_t id = 0;
  std::uint32_t batch = 0;  // kProduce, kChallenge: from 1
  std::string kit;          // kChallenge: a folder
};

[[nodiscard]] const char* name_of(ControlCommand::Kind kind) noexcept;

// kInvalidArgument: what is wrong with it. `id` is filled in as far as it could be read, for the answer.
[[nodiscard]] Status parse_control_command(std::span<const std::byte> packet, ControlCommand& command);

// {"command_id": n or null, "ok": bool, "error": text or null}
void write_control_answer(std::int64_t id, const Status& status, std::string& text);

}  // namespace vialsight::station
