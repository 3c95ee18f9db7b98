// What a Station is tested with: a source, a disk and a gateway that do what a test says.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "station/frame_source.h"
#include "station/spool_folder.h"

namespace vialsight::test {

using station::SourceEvent;

class FakeSource final : public station::FrameSource {
 public:
  explicit FakeSource(bool triggers_itself)
      : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), itself_(triggers_itself) {}
  ~FakeSource() override { ::close(wake_); }

  void push(SourceEvent event) {
    events_.push_back(std::move(event));
    signal();
  }
  void trigger(std::uint64_t strip_id) {
    SourceEvent event;
    event.kind = SourceEvent::Kind::kTrigger;
    event.strip_id = strip_id;
    push(event);
  }
  // Exposed when it is taken.
  void frame(std::uint64_t strip_id, int index, const FrameView& view) {
    SourceEvent event;
    event.kind = SourceEvent::Kind::kFrame;
    event.strip_id = strip_id;
    event.frame_index = index;
    event.pixels = view;
    push(event);
  }
  void tell(SourceEvent::Kind kind, const std::string& text = "") {
    SourceEvent event;
    event.kind = kind;
    event.text = text;
    push(event);
  }
  [[nodiscard]] bool is_empty() const { return events_.empty(); }
  [[nodiscard]] std::uint64_t open_strip() const { return open_; }

  Status start() override { return {}; }
  void stop() override {}
  [[nodiscard]] int wake_descriptor() const override { return wake_; }
  SourceEvent next() override {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(wake_, &count, sizeof count);
    if (events_.empty()) return {};
    SourceEvent event = std::move(events_.front());
    events_.pop_front();
    if (!events_.empty()) signal();
    if (event.exposed == Clock::time_point()) event.exposed = Clock::now();
    if (event.kind == SourceEvent::Kind::kFrame) ++received_;
    return event;
  }
  void strip_opened(std::uint64_t strip_id, Clock::time_point) override {
    if (open_ != 0) throw std::logic_error("a strip was opened before the one before was closed");
    open_ = strip_id;
  }
  void strip_closed() override {
    if (open_ == 0) throw std::logic_error("a strip was closed that was not open");
    open_ = 0;
  }
  [[nodiscard]] bool triggers_itself() const noexcept override { return itself_; }
  [[nodiscard]] std::string describe() const override { return "fake source"; }
  [[nodiscard]] station::SourceStatistics statistics() const noexcept override { return {received_, 0}; }

 private:
  void signal() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
  }

  int wake_;
  bool itself_;
  std::deque<SourceEvent> events_;
  std::uint64_t open_ = 0;
  std::uint64_t received_ = 0;
};

// A real folder behind a door: it may be held shut, or refuse.
class FakeDisk final : public station::SpoolDisk {
 public:
  explicit FakeDisk(const std::filesystem::path& folder) : folder_(station::SpoolFolder::open(folder).value()) {}

  Status append(std::uint64_t seq, std::span<const std::byte> entry) override {
    ++attempts;
    while (held) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (refuses) return {Code::kResourceExhausted, "told to"};
    return folder_->append(seq, entry);
  }
  Status sync() override {
    while (held) std::this_thread::sleep_for(std::chrono::microseconds(200));
    return folder_->sync();
  }
  [[nodiscard]] std::uint64_t next_seq() const { return folder_->next_seq(); }

  std::atomic<bool> held = false;
  std::atomic<bool> refuses = false;
  std::atomic<int> attempts = 0;

 private:
  std::unique_ptr<station::SpoolFolder> folder_;
};

// One end of a SOCK_SEQPACKET connection.
class PacketClient {
 public:
  explicit PacketClient(const std::filesystem::path& path)
      : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::connect(socket_, generic, sizeof address) != 0) throw std::runtime_error("cannot connect");
  }
  PacketClient(const PacketClient&) = delete;
  PacketClient& operator=(const PacketClient&) = delete;
  ~PacketClient() { ::close(socket_); }

  // False: the other end has gone, or takes no more.
  bool send(const std::string& packet) const {
    return ::send(socket_, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }
  // Nothing: none waits.
  [[nodiscard]] std::optional<std::string> receive() const {
    std::string packet(65536, '\0');
    const ssize_t size = ::recv(socket_, packet.data(), packet.size(), MSG_DONTWAIT);
    if (size <= 0) return std::nullopt;
    packet.resize(static_cast<std::size_t>(size));
    return packet;
  }
  [[nodiscard]] bool is_closed() const {
    char byte = 0;
    return ::recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
  }

 private:
  int socket_;
};

}  // namespace vialsight::test
