// A backend and a clock for fault injection: what goes wrong is said strip by strip.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

#include "backend/backend.h"
#include "base/time_source.h"

namespace vialsight::test {

// Stands still until a test moves it, also backwards. While a test calls what may hang, the calling thread's waits end
// at once, at the time they wait for.
class JumpingClock final : public TimeSource {
 public:
  [[nodiscard]] Clock::time_point now() const noexcept override { return Clock::time_point(Clock::duration(ticks_)); }
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  Clock::time_point until) override {
    if (waiter_ == std::this_thread::get_id()) {
      move_on_to(until);
    } else {
      changed.wait_for(lock, std::chrono::microseconds(100));  // of real time: whoever waits looks at this clock again
    }
  }
  void advance(Clock::duration duration) noexcept { ticks_ += duration.count(); }
  void move_on_to(Clock::time_point time) noexcept {
    ticks_ = std::max(ticks_.load(), time.time_since_epoch().count());
  }
  void skip_waits_of_this_thread(bool skip) noexcept {
    waiter_ = skip ? std::this_thread::get_id() : std::thread::id();
  }

 private:
  std::atomic<Clock::rep> ticks_ = std::chrono::duration_cast<Clock::duration>(std::chrono::hours(1000)).count();
  std::atomic<std::thread::id> waiter_;
};

enum class Behaviour : std::uint8_t {
  kGood,           // reconstructs a patch as itself: φ = 0
  kError,          // returns an error, having written nothing
  kErrorAfterAll,  // returns an error, having written everything
  kHang,           // returns when the test says so
  kSlow,           // returns at Orders::until
  kWriteNothing,
  kWritePart,  // the patches before Orders::patch
  kNan,        // of Orders::patch, as are those below
  kOnePixelNan,
  kInfinity,
  kMinusInfinity,
  kNegative,  // 1 - pixel: φ is large
  kBlend,     // blend(pixel)
};

// A reconstruction that is somewhat wrong: its φ is what the boundary of a threshold is tested with.
inline float blend(float pixel) noexcept { return 0.3F + 0.35F * pixel; }

// What a backend does with one batch of a strip; the others are good.
struct Orders {
  Behaviour behaviour = Behaviour::kGood;
  int batch = 0;  // of the strip, from 0, in the order of submission
  std::size_t patch = 0;
  Clock::time_point until;
};

// Shared by a test and the backend inside its Inspector.
class BackendOrders {
 public:
  explicit BackendOrders(std::shared_ptr<JumpingClock> clock) : clock_(std::move(clock)) {}

  void begin_strip(const Orders& orders) {
    const std::lock_guard lock(mutex_);
    orders_ = orders;
    batches_ = 0;
    hanging_ = orders.behaviour == Behaviour::kHang;
  }
  // The batches that hang end.
  void release() {
    {
      const std::lock_guard lock(mutex_);
      hanging_ = false;
    }
    changed_.notify_all();
  }
  [[nodiscard]] Orders next_batch() {
    const std::lock_guard lock(mutex_);
    return batches_++ == orders_.batch ? orders_ : Orders{};
  }
  void hang() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !hanging_; });
  }
  [[nodiscard]] JumpingClock& clock() noexcept { return *clock_; }

 private:
  std::shared_ptr<JumpingClock> clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Orders orders_;
  int batches_ = 0;
  bool hanging_ = false;
};

class OrderedBackend final : public Backend {
 public:
  OrderedBackend(std::shared_ptr<BackendOrders> orders, std::size_t pixels)
      : orders_(std::move(orders)), pixels_(pixels) {}

  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    float* reconstructions = outputs[0];
    const Orders orders = orders_->next_batch();
    if (orders.behaviour == Behaviour::kError) return {Code::kBackendFault, "told to fail"};
    if (orders.behaviour == Behaviour::kHang) orders_->hang();
    if (orders.behaviour == Behaviour::kSlow) orders_->clock().move_on_to(orders.until);
    if (orders.behaviour == Behaviour::kWriteNothing) return {};
    const std::size_t written = orders.behaviour == Behaviour::kWritePart ? orders.patch : count;
    std::copy(patches, patches + written * pixels_, reconstructions);
    if (orders.patch < count) spoil(orders.behaviour, {reconstructions + orders.patch * pixels_, pixels_});
    if (orders.behaviour == Behaviour::kErrorAfterAll) return {Code::kBackendFault, "told to fail"};
    return {};
  }

 private:
  static void spoil(Behaviour behaviour, std::span<float> patch) noexcept {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const auto set_all = [patch](float value) { std::fill(patch.begin(), patch.end(), value); };
    if (behaviour == Behaviour::kNan) set_all(kNan);
    if (behaviour == Behaviour::kOnePixelNan) patch[patch.size() / 2] = kNan;
    if (behaviour == Behaviour::kInfinity) set_all(kInfinity);
    if (behaviour == Behaviour::kMinusInfinity) set_all(-kInfinity);
    if (behaviour == Behaviour::kBlend) std::transform(patch.begin(), patch.end(), patch.begin(), blend);
    if (behaviour != Behaviour::kNegative) return;
    std::transform(patch.begin(), patch.end(), patch.begin(), [](float pixel) { return 1.0F - pixel; });
  }

  std::shared_ptr<BackendOrders> orders_;
  std::size_t pixels_;
};

}  // namespace vialsight::test
