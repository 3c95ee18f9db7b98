#include "station/journal.h"

#include "vialsight/decision.h"

namespace vialsight::station {

std::int64_t unix_now_ns() noexcept {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void Journal::push(SpoolItem& item, EntryKind kind, std::int64_t unix_ns) noexcept {
  item.kind = kind;
  item.seq = ++last_seq_;
  item.unix_ns = unix_ns;
  ring_.push();
  writer_.wake();
}

// A gap is of one batch: a command that changes the batch needs room for its own entry, behind the gap's.
void Journal::extend_gap(const StripEntry& entry) noexcept {
  if (gap_.count == 0) {
    gap_.from = entry.strip_id;
    gap_.batch = entry.batch;
  }
  gap_.to = entry.strip_id;
  ++gap_.count;
  ++gaps_;
}

bool Journal::settle_gap() noexcept {
  if (gap_.count == 0) return true;
  // Only once strips fit again, so that one gap does not become many.
  if (ring_.room_for_strip() == nullptr) return false;
  SpoolItem& item = *ring_.room_for_note();
  JsonText json(item.text);
  json.field("from_strip", gap_.from).field("to_strip", gap_.to).field("count", gap_.count);
  json.field("batch", gap_.batch).field("reason", name_of(Reason::kNotReady)).end();
  push(item, EntryKind::kGap, unix_now_ns());
  gap_ = Gap();
  return true;
}

std::uint64_t Journal::record_strip(const StripEntry& entry, Pictures* pictures, std::int64_t unix_ns) noexcept {
  SpoolItem* const item = settle_gap() ? ring_.room_for_strip() : nullptr;
  if (item == nullptr) {
    if (entry.mode != Mode::kChallenge) extend_gap(entry);
    return 0;
  }
  item->strip = entry;
  item->pictures = pictures;
  push(*item, EntryKind::kStrip, unix_ns);
  const std::uint64_t seq = last_seq_;
  if (pictures != nullptr) ++last_seq_;
  return seq;
}

bool Journal::is_lagging() noexcept {
  const std::size_t waiting = ring_.waiting();
  const std::size_t limit = was_lagging_ ? ring_.capacity() / 2 : ring_.capacity() * 3 / 4;
  was_lagging_ = writer_.failing() || waiting >= limit;
  return was_lagging_;
}

}  // namespace vialsight::station
