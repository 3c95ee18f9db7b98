// Commands of the recorder, carried out between strips and recorded.
#include "station/challenge_run.h"
#include "station/log.h"
#include "station/station.h"

namespace vialsight::station {
namespace {

using Kind = ControlCommand::Kind;

Status refused(const std::string& why) { return {Code::kFailedPrecondition, "command: " + why}; }

// To halt once more does no harm, and not to halt might.
bool is_again(const ControlCommand& command, const ControlCommand& before) noexcept {
  return command.kind != Kind::kHalt && command.id == before.id && command.kind == before.kind &&
         command.batch == before.batch;
}

void write_balance(JsonText& json, const Counters& counters) {
  json.key("balance").begin_object();
  json.field("triggers", counters.triggers).field("accepted", counters.accepted).key("rejected").begin_object();
  for (std::size_t i = 1; i < counters.rejected.size(); ++i) {
    json.field(name_of(static_cast<Reason>(i)), counters.rejected[i]);
  }
  json.end().end();
}

}  // namespace

Station::~Station() = default;

void Station::serve_control() {
  const auto packet = parts_.control.receive();
  if (!packet) return;
  if (Status status = parse_control_command(*packet, command_); !status.ok()) {
    return tell(command_.id, status);
  }
  // Sent again by a recorder that was killed before it had read the answer.
  if (challenge_ != nullptr && is_again(command_, challenge_->command)) return;
  if (is_again(command_, answered_command_)) return tell(command_.id, answered_);
  if (!parts_.journal.has_room()) {
    return tell(command_.id, refused("the spool is full; wait until the disk has caught up"));
  }
  const ControlCommand command = command_;
  const Status status = carry_out(command);
  // A challenge that has begun is answered when it has ended.
  if (!status.ok() || command.kind != Kind::kChallenge) answer(command, status);
  if (status.ok() && command.kind == Kind::kShutdown) ending_ = true;
}

Status Station::carry_out(const ControlCommand& command) {
  switch (command.kind) {
    case Kind::kProduce:
      return produce(command);
    case Kind::kChallenge:
      return start_challenge(command);
    case Kind::kHalt:
    case Kind::kShutdown:
      break;
  }
  if (challenge_ != nullptr) end_challenge(refused("the challenge was ended by another command"));
  enter(Mode::kHalted);
  return {};
}

Status Station::produce(const ControlCommand& command) {
  if (mode_ != Mode::kHalted) {
    return refused(std::string("\"produce\": expected mode halted, it is ") + name_of(mode_) + "; halt first");
  }
  name_batch(command.batch);
  enter(Mode::kProduction);
  return {};
}

Status Station::start_challenge(const ControlCommand& command) {
  if (mode_ != Mode::kHalted) {
    return refused(std::string("\"challenge\": expected mode halted, it is ") + name_of(mode_) + "; halt first");
  }
  if (!parts_.inspector.ready()) return refused("\"challenge\": the inspector is being started again; wait");
  Result<ChallengeKit> kit = ChallengeKit::load(command.kit, parts_.inspector.bundle());
  if (!kit.ok()) return kit.status();
  name_batch(command.batch);
  challenge_ = std::make_unique<ChallengeRun>(std::move(kit).value(), layout_, command);
  enter(Mode::kChallenge);
  return {};
}

void Station::name_batch(std::uint32_t batch) noexcept {
  if (batch != batch_) batch_counters_ = Counters();
  batch_ = batch;
}

void Station::enter(Mode mode) {
  if (parts_.handshake.signals().result_valid) acknowledge_for_machine();
  mode_ = mode;
  update_hindrances();
  publish();
}

void Station::answer(const ControlCommand& command, const Status& status, std::string_view note) {
  const bool recorded = parts_.journal.record(EntryKind::kCommand, [&](JsonText& json) {
    json.field("command_id", command.id).field("command", name_of(command.kind)).field("ok", status.ok()).key("error");
    status.ok() ? json.value(nullptr) : json.value(status.message());
    json.field("batch", batch_);
    write_balance(json, batch_counters_);
    if (!note.empty()) json.field("note", note);
  });
  if (!recorded) log_line("a command found no room in the spool");
  answered_command_ = command;
  answered_ = status;
  tell(command.id, status);
}

void Station::tell(std::int64_t command_id, const Status& status) {
  write_control_answer(command_id, status, text_);
  parts_.control.send(std::as_bytes(std::span(text_)));
}

void Station::start_production() {
  enter(Mode::kProduction);
  ControlCommand command;
  command.kind = Kind::kProduce;
  answer(command, Status(), "production from the start on, without a batch, by --start");
}

}  // namespace vialsight::station
