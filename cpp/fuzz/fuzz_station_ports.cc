// The station's ports: any packet of the machine's gateway and of the recorder is read as one, or refused with a
// reason, and what it becomes can be told again.
#include <nlohmann/json.hpp>
#include <string>

#include "fuzz_input.h"
#include "station/control_command.h"
#include "station/json_text.h"
#include "station/machine_packet.h"
#include "station/spool_format.h"

using vialsight::fuzz::Input;
using vialsight::fuzz::require;
namespace station = vialsight::station;

namespace {

void check_machine(std::span<const std::byte> packet) {
  const auto request = station::parse_machine_request(packet);
  if (!request) return;
  require(packet.size() == station::kMachinePacketBytes, "a packet has 64 bytes");
  require(request->time_ns >= 0 && request->strip_id >> 63U == 0, "what is read is in range");
}

void check_control(std::span<const std::byte> packet) {
  station::ControlCommand command;
  const vialsight::Status status = station::parse_control_command(packet, command);
  std::string text;
  station::write_control_answer(command.id, status, text);
  const auto answer = nlohmann::json::parse(text, nullptr, false);
  require(answer.is_object() && answer["ok"] == status.ok(), "an answer is JSON");
  require(status.ok() || !status.message().empty(), "a refusal says why");
  require(!status.ok() || command.id >= 1, "a command has an id");
}

// Any bytes as a text of the record, and as an entry of the spool.
void check_record(std::span<const std::byte> bytes, std::string_view text) {
  std::string json;
  station::JsonText(json).field("text", text).end();
  require(!nlohmann::json::parse(json, nullptr, false).is_discarded(), "any text becomes JSON");
  station::EntryHeader header;
  if (station::read_entry_header(bytes, header))
    require(bytes.size() >= station::kEntryHeaderBytes, "a header is whole");
  if (station::read_segment_header(bytes) != 0) {
    require(bytes.size() >= station::kSegmentHeaderBytes, "a segment's header is whole");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Input input(data, size);
  const std::span<const std::byte> bytes = std::as_bytes(input.rest());
  check_machine(bytes);
  check_control(bytes);
  check_record(bytes, input.text());
  return 0;
}
