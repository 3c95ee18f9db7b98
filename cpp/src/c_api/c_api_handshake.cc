// The C API of a Handshake.
#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "c_api/c_api_support.h"

using vialsight::Code;
using vialsight::guarded;
using vialsight::Handshake;
using vialsight::HandshakeObject;
using vialsight::InspectorObject;
using vialsight::Result;
using vialsight::Status;
using vialsight::StripVerdict;
using vialsight::with_object;
using vialsight::with_output;

namespace {

vialsight_signals signals_of(const vialsight::Signals& signals) noexcept {
  vialsight_signals result = {};
  result.ready = signals.ready ? 1 : 0;
  result.busy = signals.busy ? 1 : 0;
  result.result_valid = signals.result_valid ? 1 : 0;
  result.accept = signals.accept ? 1 : 0;
  result.reason = static_cast<std::int32_t>(signals.reason);
  result.strip_id = signals.strip_id;
  result.heartbeat = signals.heartbeat;
  return result;
}

}  // namespace

vialsight_status vialsight_handshake_create(vialsight_inspector* inspector, vialsight_handshake** handshake) {
  return guarded(__func__, [&]() -> Status {
    if (handshake == nullptr) return vialsight::null_pointer("handshake");
    *handshake = nullptr;
    InspectorObject* found = vialsight::find(inspector);
    if (found == nullptr) return vialsight::not_a_handle(inspector);
    if (Status status = vialsight::usable(*found); !status.ok()) return status;
    if (found->driven) return {Code::kFailedPrecondition, "another handshake drives this inspector; destroy it first"};
    if (found->open) return {Code::kFailedPrecondition, "a slot of this inspector is open; close it first"};
    Result<Handshake> created = Handshake::create(found->inspector);
    if (!created.ok()) return created.status();
    auto object = std::make_unique<HandshakeObject>(HandshakeObject{std::move(created).value(), *found});
    Status status = vialsight::give_handle(std::move(object), handshake);
    found->driven = status.ok();
    return status;
  });
}

vialsight_status vialsight_handshake_destroy(vialsight_handshake* handshake) {
  return guarded(__func__, [&]() -> Status {
    if (handshake == nullptr) return {};
    const auto object = vialsight::take_back(handshake);
    if (object == nullptr) return vialsight::not_a_handle(handshake);
    object->inspector.driven = false;
    return {};
  });
}

vialsight_status vialsight_handshake_trigger(vialsight_handshake* handshake, uint64_t strip_id, int64_t deadline_ns) {
  return with_object(__func__, handshake, [&](HandshakeObject& object) {
    return object.handshake.trigger(strip_id, vialsight::time_of(deadline_ns));
  });
}

vialsight_status vialsight_handshake_submit(vialsight_handshake* handshake, int32_t frame_index,
                                            const vialsight_frame* frame) {
  return with_object(__func__, handshake, [&](HandshakeObject& object) {
    return vialsight::submit_frame(object.handshake, frame_index, frame);
  });
}

vialsight_status vialsight_handshake_submit_stamped(vialsight_handshake* handshake, int32_t frame_index,
                                                    const vialsight_frame* frame, const vialsight_stamp* stamp) {
  return with_object(__func__, handshake, [&](HandshakeObject& object) {
    return vialsight::submit_frame(object.handshake, frame_index, frame, stamp);
  });
}

vialsight_status vialsight_handshake_finish(vialsight_handshake* handshake, vialsight_verdict* verdict) {
  const auto prepare = [&] { return vialsight::start_rejected(0, verdict); };
  return with_output(__func__, handshake, prepare, [&](HandshakeObject& object) -> Status {
    const bool busy = object.handshake.signals().busy;
    StripVerdict came = object.handshake.finish();
    vialsight::write_struct(vialsight::verdict_of(came), verdict);
    if (!busy) return {Code::kFailedPrecondition, "no strip is busy; trigger one first"};
    object.inspector.last = std::move(came);
    object.inspector.has_closed = true;
    return {};
  });
}

vialsight_status vialsight_handshake_acknowledge(vialsight_handshake* handshake, uint64_t strip_id) {
  return with_object(__func__, handshake,
                     [&](HandshakeObject& object) { return object.handshake.acknowledge(strip_id); });
}

vialsight_status vialsight_handshake_signals(const vialsight_handshake* handshake, vialsight_signals* signals) {
  const auto prepare = [&] { return vialsight::start_zeroed(signals, "signals"); };
  return with_output(__func__, handshake, prepare, [&](const HandshakeObject& object) -> Status {
    vialsight::write_struct(signals_of(object.handshake.signals()), signals);
    return {};
  });
}

vialsight_status vialsight_handshake_counters(const vialsight_handshake* handshake, vialsight_counters* counters) {
  const auto prepare = [&] { return vialsight::start_zeroed(counters, "counters"); };
  return with_output(__func__, handshake, prepare, [&](const HandshakeObject& object) -> Status {
    const vialsight::HandshakeCounters came = object.handshake.counters();
    vialsight_counters result = {};
    result.triggers = came.triggers;
    result.accepted = came.accepted;
    std::copy(std::begin(came.rejected), std::end(came.rejected), result.rejected);
    result.in_flight = came.in_flight;
    vialsight::write_struct(result, counters);
    return {};
  });
}
