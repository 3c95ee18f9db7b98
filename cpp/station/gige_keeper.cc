#include "station/gige_keeper.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace vialsight::station {
namespace {

constexpr int kLookEveryMs = 1000;
constexpr int kMostNotices = 16;

void add_one(const FileDescriptor& counter) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(counter.get(), &one, sizeof one);
}

void clear(const FileDescriptor& counter) noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(counter.get(), &count, sizeof count);
}

}  // namespace

GigeKeeper::GigeKeeper(const GigeOptions& options, const Layout& layout)
    : options_(options),
      layout_(layout),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      keeper_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      filled_(static_cast<std::size_t>(options.buffers)),
      returned_(static_cast<std::size_t>(options.buffers)),
      notices_(kMostNotices) {}

Status GigeKeeper::start() {
  if (!wake_.valid() || !keeper_.valid())
    return {Code::kResourceExhausted, std::string("gige: no event descriptor: ") + std::strerror(errno)};
  Status found = connect();
  if (!found.ok() && found.code() != Code::kNotFound) return found;
  if (!found.ok()) notify(false, found.message());
  thread_ = std::thread([this] { run(); });
  return {};
}

void GigeKeeper::stop() {
  stopping_ = true;
  add_one(keeper_);
  if (thread_.joinable()) thread_.join();
  connection_.reset();
  while (next_notice() != nullptr) {
  }
}

void GigeKeeper::wake() const noexcept { add_one(wake_); }
void GigeKeeper::clear_wake() const noexcept { clear(wake_); }
void GigeKeeper::wake_keeper() const noexcept { add_one(keeper_); }

std::unique_ptr<GigeKeeper::Notice> GigeKeeper::next_notice() {
  std::unique_ptr<Notice> notice(notices_.pop());
  if (notice != nullptr) --notices_waiting_;
  return notice;
}

void GigeKeeper::give_back(ArvBuffer* buffer) noexcept { returned_.push(buffer); }

// When nobody takes them, the newest are left out: an unheard "lost" says as much.
void GigeKeeper::notify(bool found, std::string text) {
  if (notices_waiting_ >= kMostNotices) return;
  ++notices_waiting_;
  notices_.push(std::make_unique<Notice>(Notice{found, std::move(text)}).release());
  add_one(wake_);
}

void GigeKeeper::buffer_came(ArvBuffer* buffer, Clock::time_point arrived) noexcept {
  GigeBuffers::note_came(buffer, arrived);
  filled_.push(buffer);
  add_one(wake_);
}

void GigeKeeper::control_lost() noexcept {
  lost_ = true;
  add_one(keeper_);
}

void GigeKeeper::run() {
  while (!stopping_) {
    wait(connection_ == nullptr);
    take_returned();
    drop_lost();
    if (connection_ == nullptr && !stopping_) look();
  }
}

// With no camera, once a second; returned buffers do not make it look earlier.
void GigeKeeper::wait(bool looking) {
  pollfd waited{keeper_.get(), POLLIN, 0};
  static_cast<void>(::poll(&waited, 1, looking ? kLookEveryMs : -1));
  clear(keeper_);
}

void GigeKeeper::take_returned() {
  while (ArvBuffer* buffer = returned_.pop()) {
    if (connection_ != nullptr) {
      buffers_->give(buffer, *connection_);
    } else {
      GigeBuffers::keep_idle(buffer);
    }
  }
}

void GigeKeeper::drop_lost() {
  if (connection_ == nullptr || !lost_) return;
  notify(false, "the camera does not answer any more: " + connection_->description());
  connection_.reset();
  last_failure_.clear();
}

void GigeKeeper::look() {
  const Status status = connect();
  if (status.ok() || status.message() == last_failure_) return;
  last_failure_ = status.message();
  notify(false, last_failure_);
}

Status GigeKeeper::connect() {
  auto opened = GigeConnection::open(options_, layout_, *this);
  if (!opened.ok()) return opened.status();
  connection_ = std::move(opened).value();
  if (buffers_ == nullptr) buffers_ = std::make_unique<GigeBuffers>(options_.buffers, connection_->payload());
  if (connection_->payload() != buffers_->bytes()) {
    connection_.reset();
    return {Code::kInvalidArgument, "camera: expected frames of as many bytes as before, got others; start again"};
  }
  buffers_->give_all_idle(*connection_);
  lost_ = false;
  notify(true, connection_->description());  // before the first frame: ids and timestamps begin anew
  Status started = connection_->start();
  if (!started.ok()) connection_.reset();
  return started;
}

}  // namespace vialsight::station
