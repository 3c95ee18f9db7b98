// The handles of the C API: numbers that look like pointers and are never dereferenced.
//
// A handle is an entry of a fixed table, the entry's generation and the kind of object. A generation is used once, so
// that a destroyed handle never names the object that took its place. Kinds are 1 to 3 in the two lowest bits: no NULL
// and no aligned pointer is ever a handle. find() takes no lock; add() and remove() do, outside slots.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vialsight {

enum class HandleKind : std::uintptr_t { kBundle = 1, kInspector = 2, kHandshake = 3 };

// Lines of one machine are few; who has more objects than this alive does not destroy them.
inline constexpr std::size_t kMaxHandles = 1024;

// The handle of `object`, or null when kMaxHandles are alive.
[[nodiscard]] void* add_handle(void* object, HandleKind kind) noexcept;
// The object of a living handle of this kind, or null.
[[nodiscard]] void* find_handle(const void* handle, HandleKind kind) noexcept;
// The same; the handle lives no longer.
[[nodiscard]] void* remove_handle(const void* handle, HandleKind kind) noexcept;

}  // namespace vialsight
