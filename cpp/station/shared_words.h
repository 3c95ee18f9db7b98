// Memory that another process reads while it is written, under a sequence lock: stores a compiler may neither leave out
// nor move in front of the lock.
//
// Every word of data is stored with release order: whoever reads a new word with acquire order sees the odd number that
// was stored before it. So no fence is needed; on x86 these are plain moves.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vialsight::station {

static_assert(std::endian::native == std::endian::little, "the snapshot is little-endian");
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free &&
                  std::atomic_ref<std::uint32_t>::is_always_lock_free,
              "a lock of this process would mean nothing to another one");

inline void store_byte(std::byte* target, std::byte value) noexcept {
  std::atomic_ref<std::byte>(*target).store(value, std::memory_order_release);
}

// Any alignment.
inline void store_bytes(std::byte* target, const void* source, std::size_t size) noexcept {
  const auto* from = static_cast<const std::byte*>(source);
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  while (size > 0 && std::bit_cast<std::uintptr_t>(target) % kWord != 0) {
    store_byte(target++, *from++);
    --size;
  }
  for (; size >= kWord; size -= kWord, target += kWord, from += kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, kWord);
    // Mapped memory: whatever type lies there is the one it is read and written as.
    std::atomic_ref<std::uint64_t>(*static_cast<std::uint64_t*>(static_cast<void*>(target)))
        .store(word, std::memory_order_release);
  }
  for (; size > 0; --size) store_byte(target++, *from++);
}

inline void store_zeros(std::byte* target, std::size_t size) noexcept {
  constexpr std::byte kZeros[512] = {};
  for (; size > sizeof kZeros; size -= sizeof kZeros, target += sizeof kZeros)
    store_bytes(target, kZeros, sizeof kZeros);
  store_bytes(target, kZeros, size);
}

// The lock at the begin of a block, one writer. Locked from construction until unlock() or destruction.
class SequenceLock {
 public:
  explicit SequenceLock(std::byte* block) noexcept : number_(static_cast<std::uint32_t*>(static_cast<void*>(block))) {
    const std::atomic_ref<std::uint32_t> number(*number_);
    number.store(number.load(std::memory_order_relaxed) | 1U, std::memory_order_release);
  }
  SequenceLock(const SequenceLock&) = delete;
  SequenceLock& operator=(const SequenceLock&) = delete;
  ~SequenceLock() {
    const std::atomic_ref<std::uint32_t> number(*number_);
    number.store(number.load(std::memory_order_relaxed) + 1U, std::memory_order_release);
  }

 private:
  std::uint32_t* number_;
};

}  // namespace vialsight::station
