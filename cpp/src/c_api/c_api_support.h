// What every function of the C API does alike: no exception out, an error kept, structs of another version read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "c_api/c_api_handles.h"
#include "vialsight/c_api.h"
#include "vialsight/handshake.h"
#include "vialsight/inspector.h"

namespace vialsight {

// What a handle stands for. `last` is the strip closed last; `open` and `driven` belong to the control thread.
struct InspectorObject {
  Inspector inspector;
  StripVerdict last;
  bool has_closed = false;
  bool open = false;
  bool driven = false;  // a handshake lives
};
struct HandshakeObject {
  Handshake handshake;
  InspectorObject& inspector;
};

// What the handles of one type name, and how messages call it.
template <typename Handle>
struct HandleType;
template <>
struct HandleType<vialsight_bundle> {
  using Object = Bundle;
  static constexpr HandleKind kKind = HandleKind::kBundle;
  static constexpr const char* kName = "bundle";
};
template <>
struct HandleType<vialsight_inspector> {
  using Object = InspectorObject;
  static constexpr HandleKind kKind = HandleKind::kInspector;
  static constexpr const char* kName = "inspector";
};
template <>
struct HandleType<vialsight_handshake> {
  using Object = HandshakeObject;
  static constexpr HandleKind kKind = HandleKind::kHandshake;
  static constexpr const char* kName = "handshake";
};
template <typename Handle>
using ObjectOf = typename HandleType<Handle>::Object;

// Keeps the message for vialsight_last_error, in memory that this thread has, and returns the code.
vialsight_status report(const Status& status, const char* call) noexcept;
vialsight_status report(Code code, const char* message, const char* call) noexcept;
[[nodiscard]] const char* last_error() noexcept;

// Runs `body`, which returns a Status; nothing it throws gets out.
template <typename Body>
vialsight_status guarded(const char* call, Body body) noexcept {
  try {
    return report(body(), call);
  } catch (const std::bad_alloc&) {
    return report(Code::kResourceExhausted, "no memory", call);
  } catch (const std::exception& error) {
    return report(Code::kResourceExhausted, error.what(), call);
  } catch (...) {
    return report(Code::kResourceExhausted, "an exception that is no std::exception", call);
  }
}

[[nodiscard]] Status null_pointer(const char* name);
[[nodiscard]] Status wrong_count(const char* name, std::uint64_t expected, std::uint64_t came);
[[nodiscard]] Status too_many_handles();

[[nodiscard]] Status not_a_handle(const char* name, const void* handle);
template <typename Handle>
[[nodiscard]] Status not_a_handle(const Handle* handle) {
  return not_a_handle(HandleType<Handle>::kName, handle);
}

// Moves `object` behind a new handle.
template <typename Handle>
[[nodiscard]] Status give_handle(std::unique_ptr<ObjectOf<Handle>> object, Handle** handle) {
  void* added = add_handle(object.get(), HandleType<Handle>::kKind);
  if (added == nullptr) return too_many_handles();
  static_cast<void>(object.release());
  *handle = static_cast<Handle*>(added);
  return {};
}
// What a handle named, to be destroyed; null when it names nothing.
template <typename Handle>
[[nodiscard]] std::unique_ptr<ObjectOf<Handle>> take_back(const Handle* handle) noexcept {
  using Object = ObjectOf<Handle>;
  return std::unique_ptr<Object>(static_cast<Object*>(remove_handle(handle, HandleType<Handle>::kKind)));
}

// The object of a living handle; null for any other pointer.
template <typename Handle>
[[nodiscard]] ObjectOf<Handle>* find(const Handle* handle) noexcept {
  return static_cast<ObjectOf<Handle>*>(find_handle(handle, HandleType<Handle>::kKind));
}

// Ok where calls may reach the object: a Bundle is constant, all else is of the process that made it.
[[nodiscard]] inline Status usable(const Bundle&) { return {}; }
[[nodiscard]] inline Status usable(const InspectorObject& object) { return object.inspector.usable(); }
[[nodiscard]] inline Status usable(const HandshakeObject& object) { return usable(object.inspector); }

// Runs `body` on the object of a living handle, when it is usable.
template <typename Handle, typename Body>
vialsight_status with_object(const char* call, const Handle* handle, Body body) noexcept {
  return guarded(call, [&]() -> Status {
    ObjectOf<Handle>* object = find(handle);
    if (object == nullptr) return not_a_handle(handle);
    Status status = usable(*object);
    return status.ok() ? body(*object) : status;
  });
}
// The same; `prepare` makes the output a reject, or zero, before anything else is looked at.
template <typename Handle, typename Prepare, typename Body>
vialsight_status with_output(const char* call, const Handle* handle, Prepare prepare, Body body) noexcept {
  const vialsight_status prepared = guarded(call, prepare);
  return prepared == VIALSIGHT_OK ? with_object(call, handle, body) : prepared;
}

// Copies `text` and its final zero.
[[nodiscard]] Status copy_text(std::string_view text, char* target, std::uint64_t capacity);

template <typename T>
[[nodiscard]] Status copy_values(const char* name, std::span<const T> values, T* target, std::uint64_t count) {
  if (target == nullptr) return null_pointer(name);
  if (count != values.size()) return wrong_count(name, values.size(), count);
  std::memcpy(target, values.data(), values.size_bytes());
  return {};
}

// Structs (c_api_types.h says the rules). Bytes are copied: the caller's memory may be smaller than T, and unaligned.
[[nodiscard]] Status check_struct(const void* bytes, const char* name, std::size_t known);
[[nodiscard]] Status check_input(const void* bytes, const char* name, std::size_t known);
[[nodiscard]] std::uint64_t struct_size_of(const void* bytes) noexcept;
void copy_struct(const void* from, void* to, std::size_t known) noexcept;
void fill_struct(const void* from, void* to, std::size_t known) noexcept;

// Reads over the defaults in `target`.
template <typename T>
[[nodiscard]] Status read_struct(const T* source, const char* name, T& target) {
  if (Status status = check_input(source, name, sizeof(T)); !status.ok()) return status;
  copy_struct(source, &target, sizeof(T));
  return {};
}
// Zeroes what will be written.
template <typename T>
[[nodiscard]] Status start_zeroed(T* target, const char* name) {
  if (Status status = check_struct(target, name, sizeof(T)); !status.ok()) return status;
  const T zeros = {};
  fill_struct(&zeros, target, sizeof(T));
  return {};
}
// After start_zeroed.
template <typename T>
void write_struct(const T& value, T* target) noexcept {
  fill_struct(&value, target, sizeof(T));
}

// VIALSIGHT_NO_DEADLINE becomes time_point::max().
[[nodiscard]] Clock::time_point time_of(std::int64_t nanoseconds) noexcept;
[[nodiscard]] Result<FrameView> frame_of(const vialsight_frame* frame);
[[nodiscard]] Result<FrameStamp> stamp_of(const vialsight_stamp* stamp);
[[nodiscard]] Result<InspectorOptions> options_of(const vialsight_options* options);
[[nodiscard]] vialsight_options default_options() noexcept;
// Whatever fails afterwards, an earlier accept does not stay in the caller's memory.
[[nodiscard]] Status start_rejected(std::uint64_t strip_id, vialsight_verdict* verdict);
[[nodiscard]] vialsight_verdict verdict_of(const StripVerdict& verdict) noexcept;
[[nodiscard]] vialsight_location location_of(const Location& location) noexcept;

// Hands frame and stamp to `target` (an Inspector or a Handshake). What cannot be read is handed over as a frame
// without pixels, so that the strip is a reject.
template <typename Target>
[[nodiscard]] Status submit_frame(Target& target, std::int32_t index, const vialsight_frame* frame) {
  const Result<FrameView> view = frame_of(frame);
  if (view.ok()) return target.submit(index, view.value());
  Status status = target.submit(index, FrameView{});
  return status.code() == Code::kFailedPrecondition ? status : view.status();
}
template <typename Target>
[[nodiscard]] Status submit_frame(Target& target, std::int32_t index, const vialsight_frame* frame,
                                  const vialsight_stamp* stamp) {
  const Result<FrameView> view = frame_of(frame);
  const Result<FrameStamp> known = stamp_of(stamp);
  if (view.ok() && known.ok()) return target.submit(index, view.value(), known.value());
  Status status = target.submit(index, FrameView{});
  if (status.code() == Code::kFailedPrecondition) return status;
  return view.ok() ? known.status() : view.status();
}

}  // namespace vialsight
