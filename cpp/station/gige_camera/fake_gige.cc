#include "station/gige_camera/fake_gige.h"

#include <arv.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "station/gige_camera/loopback_address.h"

namespace vialsight::station {
namespace {

using std::chrono::nanoseconds;

constexpr std::uint32_t kSoftwareSource = 1;  // the only trigger source that the fake camera heeds
constexpr int kLargestBlockId = 65535;

guint32 pixel_format(int bit_depth) {
  switch (bit_depth) {
    case 8:
      return ARV_PIXEL_FORMAT_MONO_8;
    case 10:
      return ARV_PIXEL_FORMAT_MONO_10;
    case 12:
      return ARV_PIXEL_FORMAT_MONO_12;
    case 14:
      return ARV_PIXEL_FORMAT_MONO_14;
    default:
      return ARV_PIXEL_FORMAT_MONO_16;
  }
}

struct ObjectDeleter {
  void operator()(ArvGvFakeCamera* camera) const noexcept { g_object_unref(camera); }
};
using CameraHandle = std::unique_ptr<ArvGvFakeCamera, ObjectDeleter>;

struct Numbered {
  Exposure exposure;
  std::uint16_t block_id = 0;
};

// What the next filled buffer is: not ours (of the client's own trigger), a lost first frame, or an exposure.
struct Armed {
  bool armed = false;
  std::optional<Numbered> frame;
};

}  // namespace

struct FakeGige::Impl {
  std::string address;
  std::string serial;
  StreamFormat format;

  mutable std::mutex mutex;  // all below, but handle
  std::deque<Numbered> waiting;
  Armed next;
  std::vector<Pixels> shown;
  std::size_t shown_next = 0;
  std::uint16_t next_block_id = kFirstBlockId;
  guint32 clients_source = kSoftwareSource;
  Clock::time_point powered;
  bool leaving = false;
  FakeGigeCounts counts;

  std::atomic<bool> wanted_plugged{true};
  std::atomic<bool> is_plugged{false};
  std::atomic<bool> is_acquiring{false};
  std::atomic<bool> stopped{false};
  bool warm = false;    // shutter's thread
  CameraHandle handle;  // shutter's thread, once it runs
  std::thread shutter;

  ~Impl() {
    stopped = true;
    if (shutter.joinable()) shutter.join();
    power_down();
  }

  [[nodiscard]] ArvFakeCamera* registers() const { return arv_gv_fake_camera_get_fake_camera(handle.get()); }
  [[nodiscard]] guint32 get(guint32 address_of) const {
    guint32 value = 0;
    arv_fake_camera_read_register(registers(), address_of, &value);
    return value;
  }
  void set(guint32 address_of, guint32 value) const { arv_fake_camera_write_register(registers(), address_of, value); }

  bool power_up();
  void power_down();
  std::uint16_t take_block_id();
  void run_shutter();
  void step();
  void follow_plug();
  [[nodiscard]] bool is_triggered() const;
  void ignore_due();
  void arm();
  void fire();
  void lose(double share);
  void fill(ArvBuffer* buffer);
  void fill_exposure(ArvBuffer* buffer, const Numbered& frame);
  void fill_shown(ArvBuffer* buffer);
  void copy(ArvBuffer* buffer, const Pixels& pixels) const;
};

bool FakeGige::Impl::power_up() {
  if (!is_free_for_camera(address)) return false;
  handle.reset(arv_gv_fake_camera_new(address.c_str(), serial.c_str()));
  if (handle == nullptr || !arv_gv_fake_camera_is_running(handle.get())) return false;
  const auto width = static_cast<guint32>(format.width);
  const auto height = static_cast<guint32>(format.height);
  set(ARV_FAKE_CAMERA_REGISTER_SENSOR_WIDTH, width);
  set(ARV_FAKE_CAMERA_REGISTER_SENSOR_HEIGHT, height);
  set(ARV_FAKE_CAMERA_REGISTER_WIDTH, width);
  set(ARV_FAKE_CAMERA_REGISTER_HEIGHT, height);
  set(ARV_FAKE_CAMERA_REGISTER_PIXEL_FORMAT, pixel_format(format.bit_depth));
  arv_fake_camera_set_trigger_frequency(registers(), 1.0 / std::chrono::duration<double>(kTick).count());
  {
    const std::lock_guard lock(mutex);
    powered = Clock::now();
    next = {};
    leaving = false;
  }
  warm = false;
  arv_fake_camera_set_fill_pattern(
      registers(),
      [](ArvBuffer* buffer, void* self, guint32, guint32, ArvPixelFormat) { static_cast<Impl*>(self)->fill(buffer); },
      this);
  is_plugged = true;
  return true;
}

// Aravis' thread may be filling a buffer, or come to it before it sees that it is to end: it sends nothing from here
// on, and finds the handle until it has ended.
void FakeGige::Impl::power_down() {
  if (handle == nullptr) return;
  {
    const std::lock_guard lock(mutex);
    leaving = true;
    lose(1.0);
  }
  g_object_unref(handle.get());
  static_cast<void>(handle.release());
  is_plugged = false;
}

// Of the packets that Aravis' thread sends from here on.
void FakeGige::Impl::lose(double share) { g_object_set(handle.get(), "gvsp-lost-ratio", share, nullptr); }

std::uint16_t FakeGige::Impl::take_block_id() {
  const std::uint16_t id = next_block_id;
  next_block_id = static_cast<std::uint16_t>(id == kLargestBlockId ? 1 : id + 1);
  return id;
}

void FakeGige::Impl::run_shutter() {
  while (!stopped) {
    std::this_thread::sleep_for(kTick / 4);
    step();
  }
}

void FakeGige::Impl::step() {
  follow_plug();
  if (handle != nullptr && is_triggered()) {
    arm();
  } else {
    is_acquiring = warm = false;
    ignore_due();
  }
}

void FakeGige::Impl::follow_plug() {
  if (is_plugged && !wanted_plugged) {
    power_down();
  } else if (!is_plugged && wanted_plugged) {
    if (!power_up()) power_down();  // tried again at the next tick
  }
}

bool FakeGige::Impl::is_triggered() const {
  return arv_fake_camera_get_control_channel_privilege(registers()) != 0 &&
         arv_fake_camera_get_acquisition_status(registers()) != 0 && get(ARV_FAKE_CAMERA_REGISTER_TRIGGER_MODE) == 1;
}

void FakeGige::Impl::ignore_due() {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex);
  if (next.frame) ++counts.ignored;
  next = {};
  while (!waiting.empty() && waiting.front().exposure.sent <= now) {
    waiting.pop_front();
    ++counts.ignored;
  }
}

// Early enough for a tick before it is to be sent.
void FakeGige::Impl::arm() {
  const Clock::time_point soon = Clock::now() + 2 * kTick;
  const std::lock_guard lock(mutex);
  if (next.armed) return;  // the camera's thread has not come to it yet
  if (!warm) {
    next = {true, std::nullopt};
    warm = true;
    fire();
  } else if (!waiting.empty() && waiting.front().exposure.sent <= soon) {
    next = {true, std::move(waiting.front())};
    waiting.pop_front();
    fire();
  }
}

// Also for a client that waits for a line: the source is its own again when the frame is filled.
void FakeGige::Impl::fire() {
  clients_source = get(ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOURCE);
  set(ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOURCE, kSoftwareSource);
  set(ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, 1);
}

void FakeGige::Impl::fill(ArvBuffer* buffer) {
  std::unique_lock lock(mutex);
  if (leaving) return;
  const Armed armed = std::exchange(next, {});
  if (!armed.armed) {
    fill_shown(buffer);
    return lose(0.0);
  }
  set(ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOURCE, clients_source);
  is_acquiring = true;  // from here on, its thread looks at every tick
  if (!armed.frame) return lose(1.0);
  lock.unlock();
  std::this_thread::sleep_until(armed.frame->exposure.sent);
  lock.lock();
  if (leaving) return;
  fill_exposure(buffer, *armed.frame);
  lose(armed.frame->exposure.lost_packets);
}

void FakeGige::Impl::fill_exposure(ArvBuffer* buffer, const Numbered& frame) {
  const auto since = std::max(frame.exposure.exposed - powered, Clock::duration::zero());
  arv_buffer_set_frame_id(buffer, frame.block_id);
  arv_buffer_set_timestamp(buffer, static_cast<guint64>(nanoseconds(since).count()));
  copy(buffer, frame.exposure.pixels);
  ++counts.sent;
}

void FakeGige::Impl::fill_shown(ArvBuffer* buffer) {
  arv_buffer_set_frame_id(buffer, take_block_id());
  arv_buffer_set_timestamp(buffer, static_cast<guint64>(nanoseconds(Clock::now() - powered).count()));
  if (!shown.empty()) copy(buffer, shown[shown_next++ % shown.size()]);
  ++counts.sent;
}

// Of the size that the client has set, which may be less than the frame's.
void FakeGige::Impl::copy(ArvBuffer* buffer, const Pixels& pixels) const {
  std::size_t unused = 0;
  // The buffer is the camera's own, and writable; its size as Aravis tells it is that of what was received.
  auto* to = static_cast<std::uint8_t*>(const_cast<void*>(arv_buffer_get_data(buffer, &unused)));
  const std::size_t depth = format.bit_depth > 8 ? 2 : 1;
  const auto width = static_cast<std::size_t>(std::max(arv_buffer_get_image_width(buffer), 0)) * depth;
  const auto rows = static_cast<std::size_t>(std::clamp(arv_buffer_get_image_height(buffer), 0, format.height));
  const std::size_t row = static_cast<std::size_t>(format.width) * depth;
  for (std::size_t y = 0; y < rows; ++y) std::memcpy(to + y * width, pixels->data() + y * row, std::min(width, row));
}

FakeGige::FakeGige(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
FakeGige::~FakeGige() = default;

Result<std::unique_ptr<FakeGige>> FakeGige::create(const std::string& address, const std::string& serial,
                                                   const StreamFormat& format) {
  auto impl = std::make_unique<Impl>();
  impl->address = address;
  impl->serial = serial;
  impl->format = format;
  if (!impl->power_up()) {
    return Status(Code::kNotFound, "expected a camera on " + address +
                                       ", got none: no interface has this address, or another camera has its UDP port "
                                       "3956; choose another --address, such as 127.0.0.2");
  }
  impl->shutter = std::thread([own = impl.get()] { own->run_shutter(); });
  return std::unique_ptr<FakeGige>(new FakeGige(std::move(impl)));
}

void FakeGige::expose(Exposure exposure) {
  const std::lock_guard lock(impl_->mutex);
  const std::uint16_t id = impl_->take_block_id();
  impl_->waiting.push_back({std::move(exposure), id});
}

void FakeGige::skip_block_id() {
  const std::lock_guard lock(impl_->mutex);
  impl_->take_block_id();
}

void FakeGige::show(std::vector<Pixels> frames) {
  const std::lock_guard lock(impl_->mutex);
  impl_->shown = std::move(frames);
}

void FakeGige::unplug() { impl_->wanted_plugged = false; }
void FakeGige::plug() { impl_->wanted_plugged = true; }
bool FakeGige::plugged() const { return impl_->is_plugged; }
bool FakeGige::acquiring() const { return impl_->is_acquiring; }

FakeGigeCounts FakeGige::counts() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}

}  // namespace vialsight::station
