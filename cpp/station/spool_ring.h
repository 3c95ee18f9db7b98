// SpoolRing: what shall be recorded, on its way from the control thread to the spool writer.
//
// A queue of fixed size whose items are allocated once. One thread pushes, one pops; neither locks, waits or allocates.
// The last kReserved places are for what must not be lost when strips no longer fit: gaps, commands and events.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "station/pictures.h"
#include "station/pointer_queue.h"
#include "station/spool_format.h"
#include "station/strip_entry.h"

namespace vialsight::station {

struct SpoolItem {
  explicit SpoolItem(const Layout& layout) : strip(layout) { text.reserve(kTextBytes); }

  static constexpr std::size_t kTextBytes = 2048;  // a longer one costs an allocation

  EntryKind kind = EntryKind::kEvent;
  std::uint64_t seq = 0;
  std::int64_t unix_ns = 0;
  std::string text;              // JSON, but for kStrip
  StripEntry strip;              // kStrip
  Pictures* pictures = nullptr;  // of a strip, borrowed from a PicturePool; their entry has seq + 1
};

// Pictures that are free: the control thread takes, the spool writer gives back; what was taken and not handed over is
// put back by the control thread.
class PicturePool {
 public:
  PicturePool(std::size_t count, const Layout& layout) : free_(count) {
    pictures_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) free_.push(&pictures_.emplace_back(layout));
  }
  [[nodiscard]] Pictures* take() noexcept {
    Pictures* const pictures = spare_ != nullptr ? std::exchange(spare_, nullptr) : free_.pop();
    if (pictures != nullptr) pictures->clear();
    return pictures;
  }
  // At most one at a time.
  void put_back(Pictures* pictures) noexcept { spare_ = pictures; }
  void give_back(Pictures* pictures) noexcept { free_.push(pictures); }

 private:
  std::vector<Pictures> pictures_;
  PointerQueue<Pictures> free_;
  Pictures* spare_ = nullptr;
};

class SpoolRing {
 public:
  static constexpr std::size_t kReserved = 32;

  SpoolRing(std::size_t capacity, const Layout& layout) {
    items_.reserve(capacity + kReserved);
    for (std::size_t i = 0; i < capacity + kReserved; ++i) items_.emplace_back(layout);
  }

  // Control thread: an item to fill, null where there is no room; push() hands it over.
  [[nodiscard]] SpoolItem* room_for_strip() noexcept { return room(kReserved); }
  [[nodiscard]] SpoolItem* room_for_note() noexcept { return room(0); }
  void push() noexcept { pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Spool writer: the oldest item, null where there is none; pop() gives its place back.
  [[nodiscard]] SpoolItem* front() noexcept {
    const std::uint64_t first = popped_.load(std::memory_order_relaxed);
    return first == pushed_.load(std::memory_order_acquire) ? nullptr : &items_[first % items_.size()];
  }
  void pop() noexcept { popped_.store(popped_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  [[nodiscard]] std::size_t waiting() const noexcept {
    const std::uint64_t popped = popped_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(pushed_.load(std::memory_order_acquire) - popped);
  }
  // Room for strips.
  [[nodiscard]] std::size_t capacity() const noexcept { return items_.size() - kReserved; }

 private:
  [[nodiscard]] SpoolItem* room(std::size_t spare) noexcept {
    const std::uint64_t end = pushed_.load(std::memory_order_relaxed);
    const std::uint64_t used = end - popped_.load(std::memory_order_acquire);
    return used + spare < items_.size() ? &items_[end % items_.size()] : nullptr;
  }

  std::vector<SpoolItem> items_;
  std::atomic<std::uint64_t> pushed_ = 0;
  std::atomic<std::uint64_t> popped_ = 0;
};

}  // namespace vialsight::station
