#include "c_api/c_api_handles.h"

#include <pthread.h>

#include <atomic>
#include <mutex>

namespace vialsight {
namespace {

constexpr std::uintptr_t kKinds = 4;

struct Entry {
  std::atomic<std::uintptr_t> handle = 0;  // 0: free
  std::uintptr_t generation = 0;
  std::atomic<void*> object = nullptr;
};

Entry entries[kMaxHandles];
std::mutex entries_mutex;

// A fork waits until no other thread holds the lock: nobody would release it in the child, which may add and remove
// handles as any process may. What fails is the registration, for want of memory, and then the wait.
[[maybe_unused]] const int kForks =
    ::pthread_atfork([] { entries_mutex.lock(); }, [] { entries_mutex.unlock(); }, [] { entries_mutex.unlock(); });

// The entry a living handle names, or null.
Entry* entry_of(const void* handle, HandleKind kind) noexcept {
  const auto value = reinterpret_cast<std::uintptr_t>(handle);
  if (value % kKinds != static_cast<std::uintptr_t>(kind)) return nullptr;
  Entry& entry = entries[value / kKinds % kMaxHandles];
  return entry.handle == value ? &entry : nullptr;
}

}  // namespace

void* add_handle(void* object, HandleKind kind) noexcept {
  const std::lock_guard lock(entries_mutex);
  for (std::size_t i = 0; i < kMaxHandles; ++i) {
    Entry& entry = entries[i];
    if (entry.handle != 0) continue;
    ++entry.generation;
    entry.object = object;
    entry.handle = (entry.generation * kMaxHandles + i) * kKinds + static_cast<std::uintptr_t>(kind);
    return reinterpret_cast<void*>(entry.handle.load());  // NOLINT(performance-no-int-to-ptr): never dereferenced
  }
  return nullptr;
}

void* find_handle(const void* handle, HandleKind kind) noexcept {
  const Entry* entry = entry_of(handle, kind);
  return entry != nullptr ? entry->object.load() : nullptr;
}

void* remove_handle(const void* handle, HandleKind kind) noexcept {
  const std::lock_guard lock(entries_mutex);
  Entry* entry = entry_of(handle, kind);
  if (entry == nullptr) return nullptr;
  entry->handle = 0;
  return entry->object.exchange(nullptr);
}

}  // namespace vialsight
