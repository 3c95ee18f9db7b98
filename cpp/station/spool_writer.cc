#include "station/spool_writer.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <cerrno>

#include "station/log.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

constexpr std::chrono::milliseconds kRetry{200};  // after the disk refused an entry
constexpr std::chrono::milliseconds kIdle{100};   // a wake that was missed costs so much
constexpr int kNice = 10;

// A thread inherits the priority of the one that starts it, which may be real time.
void take_low_priority() noexcept {
  sched_param parameters = {};
  (void)::sched_setscheduler(0, SCHED_OTHER, &parameters);
  (void)::setpriority(PRIO_PROCESS, 0, kNice);
}

}  // namespace

SpoolWriter::SpoolWriter(SpoolRing& ring, PicturePool& pool, SpoolDisk& disk, const SpoolWriterStart& start)
    : ring_(ring), pool_(pool), disk_(disk), appended_(start.last_seq), spooled_seq_(start.last_seq) {
  entry_.reserve(start.most_bytes);
}

SpoolWriter::~SpoolWriter() { stop(std::chrono::milliseconds(0)); }

Status SpoolWriter::start() {
  wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return system_error("spool: eventfd", errno);
  thread_ = std::thread([this] { run(); });
  return {};
}

void SpoolWriter::wake() noexcept {
  const std::uint64_t one = 1;
  // It fails only where the thread was woken 2^64 times and has not looked.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

bool SpoolWriter::stop(std::chrono::milliseconds patience) {
  if (thread_.joinable()) {
    give_up_ = std::chrono::steady_clock::now() + patience;
    stopping_ = true;
    wake();
    thread_.join();
  }
  return ring_.waiting() == 0;
}

void SpoolWriter::pause(std::chrono::milliseconds time) const noexcept {
  pollfd woken{wake_.get(), POLLIN, 0};
  std::uint64_t count = 0;
  if (::poll(&woken, 1, static_cast<int>(time.count())) <= 0) return;
  [[maybe_unused]] const ssize_t taken = ::read(wake_.get(), &count, sizeof count);
}

void SpoolWriter::run() {
  take_low_priority();
  for (;;) {
    drain();
    if (stopping_ && (ring_.waiting() == 0 || must_end())) return;
    pause(failing_ ? kRetry : kIdle);
  }
}

void SpoolWriter::drain() {
  while (SpoolItem* item = ring_.front()) {
    if (must_end() || !write(*item)) return;
    if (item->pictures != nullptr) pool_.give_back(item->pictures);
    item->pictures = nullptr;
    ring_.pop();
  }
}

bool SpoolWriter::succeeded(const Status& status) {
  if (status.ok()) return true;
  if (!failing_.exchange(true)) log_line(status.message());
  return false;
}

bool SpoolWriter::append(std::uint64_t seq) {
  if (seq <= appended_) return true;  // done before something else of the item failed
  if (!succeeded(disk_.append(seq, std::as_bytes(std::span(entry_))))) return false;
  appended_ = seq;
  return true;
}

bool SpoolWriter::write(const SpoolItem& item) {
  if (item.kind == EntryKind::kStrip) {
    entry_.clear();
    write_strip_json(item.strip, entry_);
    entry_.insert(0, kEntryHeaderBytes, '\0');
  } else {
    entry_.assign(kEntryHeaderBytes, '\0');
    entry_ += item.text;
  }
  seal_entry(entry_, item.kind, item.seq, item.unix_ns);
  if (!append(item.seq)) return false;
  if (item.pictures != nullptr) {
    entry_.assign(kEntryHeaderBytes, '\0');
    append_pictures(*item.pictures, item.seq, entry_);
    seal_entry(entry_, EntryKind::kPictures, item.seq + 1, item.unix_ns);
    if (!append(item.seq + 1)) return false;
  }
  if (!succeeded(disk_.sync())) return false;
  failing_ = false;
  spooled_seq_ = appended_;
  return true;
}

}  // namespace vialsight::station
