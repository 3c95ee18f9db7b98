// GigeKeeper: keeps a camera connected, in a thread of its own; see gige_source.h.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "station/file_descriptor.h"
#include "station/gige_buffers.h"
#include "station/gige_connection.h"
#include "station/gige_options.h"
#include "station/pointer_queue.h"
#include "vialsight/layout.h"

namespace vialsight::station {

class GigeKeeper final : private GigeListener {
 public:
  // What has become of the camera.
  struct Notice {
    bool found = false;
    std::string text;
  };

  GigeKeeper(const GigeOptions& options, const Layout& layout);
  GigeKeeper(const GigeKeeper&) = delete;
  GigeKeeper& operator=(const GigeKeeper&) = delete;
  ~GigeKeeper() { stop(); }

  // Looks for the camera once, and goes on looking afterwards. kInvalidArgument: it is there and not what was expected.
  [[nodiscard]] Status start();
  void stop();

  // Control thread; none of them waits.
  [[nodiscard]] int wake_descriptor() const noexcept { return wake_.get(); }
  void wake() const noexcept;
  void clear_wake() const noexcept;
  [[nodiscard]] std::unique_ptr<Notice> next_notice();
  [[nodiscard]] ArvBuffer* next_buffer() noexcept { return filled_.pop(); }
  void give_back(ArvBuffer* buffer) noexcept;
  // After the last of several give_back.
  void wake_keeper() const noexcept;

 private:
  void buffer_came(ArvBuffer* buffer, Clock::time_point arrived) noexcept override;
  void control_lost() noexcept override;
  void run();
  void wait(bool looking);
  void take_returned();
  void drop_lost();
  [[nodiscard]] Status connect();
  void look();
  void notify(bool found, std::string text);

  const GigeOptions options_;
  const Layout layout_;
  FileDescriptor wake_;    // control thread: something waits
  FileDescriptor keeper_;  // keeper: returned buffers, lost, or stop
  PointerQueue<ArvBuffer> filled_;
  PointerQueue<ArvBuffer> returned_;
  PointerQueue<Notice> notices_;
  std::atomic<int> notices_waiting_ = 0;
  std::atomic<bool> lost_ = false;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<GigeBuffers> buffers_;
  std::unique_ptr<GigeConnection> connection_;
  std::string last_failure_;
  std::thread thread_;
};

}  // namespace vialsight::station
