// Journal: the control thread's end of the spool. Gives every entry its sequence number, and counts what finds no room.
//
// Strips that do not fit are told of by one gap entry, before anything else is recorded; events that do not fit are
// counted, and the event that says that the spool has caught up names how many. Nothing here waits or allocates.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "station/json_text.h"
#include "station/spool_ring.h"
#include "station/spool_writer.h"

namespace vialsight::station {

[[nodiscard]] std::int64_t unix_now_ns() noexcept;

class Journal {
 public:
  // Borrows both. `last_seq`: that was given to an entry before.
  Journal(SpoolRing& ring, SpoolWriter& writer, std::uint64_t last_seq) noexcept
      : ring_(ring), writer_(writer), last_seq_(last_seq) {}

  // Its seq, and seq + 1 of its pictures, if any; 0: no room, and a gap will tell of it, unless it is of a challenge.
  // `pictures` is handed over only
  // where the strip is recorded.
  std::uint64_t record_strip(const StripEntry& entry, Pictures* pictures, std::int64_t unix_ns) noexcept;

  // A note of one of the other kinds, whose fields `write` adds to an open object. False: no room.
  template <typename Write>
  bool record(EntryKind kind, const Write& write) {
    SpoolItem* const item = settle_gap() ? ring_.room_for_note() : nullptr;
    if (item == nullptr) return false;
    JsonText json(item->text);
    write(json);
    json.end();
    push(*item, kind, unix_now_ns());
    return true;
  }
  template <typename Write>
  void record_event(std::string_view name, std::string_view text, const Write& write) {
    const bool recorded = record(EntryKind::kEvent, [&](JsonText& json) {
      json.field("event", name).field("text", text);
      write(json);
    });
    if (!recorded) ++events_left_out_;
  }
  void record_event(std::string_view name, std::string_view text) {
    record_event(name, text, [](JsonText&) {});
  }
  // Whether a note would find room now.
  [[nodiscard]] bool has_room() noexcept { return settle_gap() && ring_.room_for_note() != nullptr; }

  // So much waits for the disk that strips must be refused: from three quarters of the ring on, until half of it, or
  // while the disk refuses what waits.
  [[nodiscard]] bool is_lagging() noexcept;

  [[nodiscard]] std::uint64_t last_seq() const noexcept { return last_seq_; }
  [[nodiscard]] std::uint64_t spooled_seq() const noexcept { return writer_.spooled_seq(); }
  [[nodiscard]] std::uint64_t gaps() const noexcept { return gaps_; }  // strips told of by gap entries alone
  // Since this was last asked.
  [[nodiscard]] std::uint64_t take_events_left_out() noexcept { return std::exchange(events_left_out_, 0); }

 private:
  struct Gap {
    std::uint64_t from = 0, to = 0, count = 0;  // count 0: none
    std::uint32_t batch = 0;
  };
  [[nodiscard]] bool settle_gap() noexcept;
  void extend_gap(const StripEntry& entry) noexcept;
  void push(SpoolItem& item, EntryKind kind, std::int64_t unix_ns) noexcept;

  SpoolRing& ring_;
  SpoolWriter& writer_;
  std::uint64_t last_seq_;
  std::uint64_t gaps_ = 0;
  std::uint64_t events_left_out_ = 0;
  bool was_lagging_ = false;
  Gap gap_;
};

}  // namespace vialsight::station
