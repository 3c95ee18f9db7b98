// PointerQueue: a queue of fixed size between two threads, one at each end; neither locks, waits or allocates.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vialsight::station {

template <typename T>
class PointerQueue {
 public:
  explicit PointerQueue(std::size_t capacity) : places_(capacity) {}

  [[nodiscard]] T* pop() noexcept {
    const std::uint64_t first = popped_.load(std::memory_order_relaxed);
    if (first == pushed_.load(std::memory_order_acquire)) return nullptr;
    T* const value = places_[first % places_.size()];
    popped_.store(first + 1, std::memory_order_release);
    return value;
  }
  // Never more than `capacity` at a time.
  void push(T* value) noexcept {
    const std::uint64_t end = pushed_.load(std::memory_order_relaxed);
    places_[end % places_.size()] = value;
    pushed_.store(end + 1, std::memory_order_release);
  }

 private:
  std::vector<T*> places_;
  std::atomic<std::uint64_t> pushed_ = 0;
  std::atomic<std::uint64_t> popped_ = 0;
};

}  // namespace vialsight::station
