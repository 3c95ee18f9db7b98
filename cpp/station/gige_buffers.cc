#include "station/gige_buffers.h"

#include <arv.h>

#include <cstring>
#include <new>

namespace vialsight::station {
namespace {

constexpr std::size_t kAlignment = 64;  // of a cache line

struct AlignedDeleter {
  void operator()(std::byte* memory) const noexcept { ::operator delete (memory, std::align_val_t{kAlignment}); }
};

}  // namespace

struct GigeBuffers::Slot {
  std::unique_ptr<std::byte, AlignedDeleter> memory;
  ArvBuffer* buffer = nullptr;
  std::atomic<bool> idle{true};  // in the stream, or given back: nobody of ours reads it

  Clock::time_point arrived;  // its first packet

  static Slot& of(ArvBuffer* buffer) noexcept {
    return *static_cast<Slot*>(const_cast<void*>(arv_buffer_get_user_data(buffer)));
  }
};

GigeBuffers::GigeBuffers(int count, std::size_t bytes) : bytes_(bytes) {
  for (int i = 0; i < count; ++i) {
    auto& slot = slots_.emplace_back(std::make_unique<Slot>());
    slot->memory.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment})));
    std::memset(slot->memory.get(), 0, bytes);
    slot->buffer = arv_buffer_new_full(bytes, slot->memory.get(), slot.get(), nullptr);
  }
}

GigeBuffers::~GigeBuffers() {
  for (const auto& slot : slots_) g_object_unref(slot->buffer);
}

void GigeBuffers::give(ArvBuffer* buffer, GigeConnection& connection) {
  keep_idle(buffer);
  connection.push(buffer);
}

void GigeBuffers::give_all_idle(GigeConnection& connection) {
  for (const auto& slot : slots_)
    if (slot->idle) connection.push(slot->buffer);
}

void GigeBuffers::keep_idle(ArvBuffer* buffer) noexcept { Slot::of(buffer).idle = true; }

void GigeBuffers::note_came(ArvBuffer* buffer, Clock::time_point arrived) noexcept {
  Slot::of(buffer).arrived = arrived;
  Slot::of(buffer).idle = false;
}

Clock::time_point GigeBuffers::arrival(ArvBuffer* buffer) noexcept { return Slot::of(buffer).arrived; }

}  // namespace vialsight::station
