#include "station/gige_connection.h"

#include <arv.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <mutex>
#include <utility>

#include "station/gige_network.h"

namespace vialsight::station {
namespace {

constexpr int kSmallestSocketBuffer = 4 << 20;
constexpr int kFramesInSocketBuffer = 3;
// Frames of ordinary jumbo packets; on the loopback, whose packets may be larger, fewer and larger ones cost less.
constexpr int kJumbo = 9000;
constexpr int kLoopbackMtu = 65536;
constexpr int kLoopbackPacket = 32768;
// How long a frame's next packet is waited for. Not less: who receives may be kept from the processor meanwhile, and
// then finds the time over before it looks at what has arrived.
constexpr guint kFrameRetentionUs = 200'000;

struct Unref {
  void operator()(void* object) const noexcept { g_object_unref(object); }
};
template <typename T>
using Handle = std::unique_ptr<T, Unref>;

// Collects what Aravis says of a call that failed.
class Error {
 public:
  Error() = default;
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;
  ~Error() { g_clear_error(&error_); }
  [[nodiscard]] GError** out() {
    g_clear_error(&error_);
    return &error_;
  }
  [[nodiscard]] bool set() const noexcept { return error_ != nullptr; }
  [[nodiscard]] std::string text() const { return error_ != nullptr ? error_->message : "no reason"; }

 private:
  GError* error_ = nullptr;
};

struct Format {
  ArvPixelFormat value;
  const char* name;
  int bit_depth;  // 0: of all depths above 8 without a format of their own
};
constexpr Format kFormats[] = {{ARV_PIXEL_FORMAT_MONO_8, "Mono8", 8},
                               {ARV_PIXEL_FORMAT_MONO_10, "Mono10", 10},
                               {ARV_PIXEL_FORMAT_MONO_12, "Mono12", 12},
                               {ARV_PIXEL_FORMAT_MONO_14, "Mono14", 14},
                               {ARV_PIXEL_FORMAT_MONO_16, "Mono16", 0}};

const Format& format_of(int bit_depth) {
  const auto found = std::ranges::find(kFormats, bit_depth, &Format::bit_depth);
  return found != std::end(kFormats) ? *found : *std::prev(std::end(kFormats));
}

std::string name_of_format(ArvPixelFormat value) {
  const auto found = std::ranges::find(kFormats, value, &Format::value);
  return found != std::end(kFormats) ? found->name : "pixel format " + std::to_string(value);
}

std::string size_text(int width, int height) { return std::to_string(width) + "x" + std::to_string(height); }

std::string camera_name(const GigeOptions& options) {
  return options.camera.empty() ? "camera" : "camera " + options.camera;
}

// Only GigE Vision: looking for others takes time, and they are not what is asked for.
void disable_other_interfaces() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const char* other : {"USB3Vision", "Fake"}) arv_disable_interface(other);
  });
}

}  // namespace

struct GigeConnection::Impl {
  GigeOptions options;
  Layout layout;
  GigeListener& listener;
  Handle<ArvCamera> camera;
  Handle<ArvStream> stream;
  gulong lost_handler = 0;
  bool started = false;
  std::size_t payload = 0;
  std::string description;
  std::deque<Clock::time_point> begun;  // frames that Aravis' thread is at

  Impl(const GigeOptions& given, const Layout& expected, GigeListener& told)
      : options(given), layout(expected), listener(told) {}

  ~Impl() {
    if (lost_handler != 0) g_signal_handler_disconnect(device(), lost_handler);
    // One that is lost does not answer; asking it to stop would take seconds.
    if (started && arv_gv_device_is_controller(gv_device()) != 0) arv_camera_stop_acquisition(camera.get(), nullptr);
  }

  [[nodiscard]] ArvDevice* device() const { return arv_camera_get_device(camera.get()); }
  [[nodiscard]] ArvGvDevice* gv_device() const { return ARV_GV_DEVICE(device()); }
  [[nodiscard]] Status invalid(const std::string& text) const {
    return {Code::kInvalidArgument, camera_name(options) + ": " + text};
  }
  [[nodiscard]] Status not_there(const std::string& text) const {
    return {Code::kNotFound, camera_name(options) + ": " + text};
  }

  Status find();
  Status check_images();
  Status set_trigger();
  Status set_packets();
  [[nodiscard]] int largest_packet() const;
  [[nodiscard]] int wanted_socket_buffer() const {
    return std::max(kSmallestSocketBuffer, kFramesInSocketBuffer * static_cast<int>(payload));
  }
  Status make_stream();
  Status describe(int socket_buffer);

  static void on_stream(void* self, ArvStreamCallbackType type, ArvBuffer*) {
    static_cast<Impl*>(self)->on_stream(type);
  }
  void on_stream(ArvStreamCallbackType type);
  [[nodiscard]] Clock::time_point take_begin();
};

Status GigeConnection::Impl::find() {
  disable_other_interfaces();
  Error error;
  camera.reset(arv_camera_new(options.camera.empty() ? nullptr : options.camera.c_str(), error.out()));
  if (camera == nullptr) return not_there("expected one that answers, got: " + error.text());
  if (arv_camera_is_gv_device(camera.get()) == 0) return invalid("expected a GigE Vision camera, got another kind");
  if (arv_gv_device_is_controller(gv_device()) != 0) return {};
  return not_there("another program controls it; end that program, or wait until the camera gives it up");
}

Status GigeConnection::Impl::check_images() {
  Error error;
  gint x = 0;
  gint y = 0;
  gint width = 0;
  gint height = 0;
  arv_camera_get_region(camera.get(), &x, &y, &width, &height, error.out());
  if (error.set()) return not_there("its region cannot be read: " + error.text());
  const ArvPixelFormat format = arv_camera_get_pixel_format(camera.get(), error.out());
  if (error.set()) return not_there("its pixel format cannot be read: " + error.text());
  const Format& expected = format_of(layout.bit_depth);
  if (width != layout.frame_width || height != layout.frame_height || format != expected.value) {
    return invalid("expected images of " + size_text(layout.frame_width, layout.frame_height) + " " + expected.name +
                   ", which the bundle's layout says, got " + size_text(width, height) + " " + name_of_format(format) +
                   "; set the camera's region and pixel format, or use the bundle that is made for it");
  }
  payload = arv_camera_get_payload(camera.get(), error.out());
  if (error.set()) return not_there("its payload cannot be read: " + error.text());
  return {};
}

Status GigeConnection::Impl::set_trigger() {
  Error error;
  arv_camera_set_acquisition_mode(camera.get(), ARV_ACQUISITION_MODE_CONTINUOUS, error.out());
  if (error.set()) return invalid("it cannot take frames continuously: " + error.text());
  if (options.trigger == "off") {
    arv_camera_clear_triggers(camera.get(), error.out());
    return error.set() ? invalid("its triggers cannot be switched off: " + error.text()) : Status();
  }
  std::string source = options.trigger;
  if (source.empty()) {
    const char* current = arv_camera_get_trigger_source(camera.get(), error.out());
    if (error.set() || current == nullptr) return invalid("its trigger source cannot be read: " + error.text());
    source = current;
  }
  arv_camera_set_trigger(camera.get(), source.c_str(), error.out());
  return error.set() ? invalid("trigger source " + source + " cannot be set: " + error.text()) : Status();
}

// What arrives, tried out with the camera where it can send test packets; else what leaves the interface whole.
int GigeConnection::Impl::largest_packet() const {
  if (arv_device_is_feature_available(device(), "GevSCPSFireTestPacket", nullptr) != 0) {
    Error error;
    const guint tried = arv_gv_device_auto_packet_size(gv_device(), error.out());
    if (!error.set()) return static_cast<int>(tried);
  }
  GSocketAddress* address = arv_gv_device_get_interface_address(gv_device());  // the device's own
  gchar* text = g_inet_address_to_string(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
  const int mtu = mtu_of(text);
  g_free(text);
  return mtu >= kLoopbackMtu ? kLoopbackPacket : std::min(mtu, kJumbo);
}

Status GigeConnection::Impl::set_packets() {
  arv_gv_device_set_packet_size_adjustment(gv_device(), ARV_GV_PACKET_SIZE_ADJUSTMENT_NEVER);
  const int packet = options.packet != 0 ? options.packet : largest_packet();
  if (packet == 0) return {};  // not known: as the camera has it
  Error error;
  arv_gv_device_set_packet_size(gv_device(), packet, error.out());
  return error.set() ? invalid("packets of " + std::to_string(packet) + " bytes cannot be set: " + error.text())
                     : Status();
}

Status GigeConnection::Impl::make_stream() {
  // Needs rights, and as root it is the way by which frames were lost.
  arv_gv_device_set_stream_options(gv_device(), ARV_GV_STREAM_OPTION_PACKET_SOCKET_DISABLED);
  Error error;
  stream.reset(arv_camera_create_stream(camera.get(), &Impl::on_stream, this, error.out()));
  if (stream == nullptr) return not_there("no stream can be opened: " + error.text());
  g_object_set(stream.get(), "frame-retention", kFrameRetentionUs, nullptr);
  const int bytes = options.socket_buffer != 0 ? options.socket_buffer : wanted_socket_buffer();
  // Here and not by Aravis, which does it at the first frame, when its packets are already on their way.
  const int got = enlarge_receive_buffer(arv_gv_stream_get_port(ARV_GV_STREAM(stream.get())), bytes);
  lost_handler = g_signal_connect(
      device(), "control-lost",
      G_CALLBACK(+[](ArvGvDevice*, gpointer self) { static_cast<Impl*>(self)->listener.control_lost(); }), this);
  return describe(got);
}

Status GigeConnection::Impl::describe(int socket_buffer) {
  Error error;
  const char* vendor = arv_camera_get_vendor_name(camera.get(), error.out());
  const std::string maker = error.set() ? "" : vendor;
  const char* model = arv_camera_get_model_name(camera.get(), error.out());
  const std::string kind = error.set() ? "" : model;
  const char* serial = arv_camera_get_device_serial_number(camera.get(), error.out());
  const std::string number = error.set() ? "" : serial;
  const guint packet = arv_gv_device_get_packet_size(gv_device(), error.out());
  if (error.set()) return not_there("its packet size cannot be read: " + error.text());
  description = "GigE camera " + maker + " " + kind + " " + number + ", " +
                size_text(layout.frame_width, layout.frame_height) + " " + format_of(layout.bit_depth).name +
                ", packets of " + std::to_string(packet) + " bytes, socket buffer of " + std::to_string(socket_buffer) +
                " bytes";
  if (static_cast<std::size_t>(socket_buffer) < 2 * payload)
    description += ", which loses frames: raise net.core.rmem_max to " + std::to_string(wanted_socket_buffer());
  return {};
}

// Aravis has put the buffer into its queue before it says so.
void GigeConnection::Impl::on_stream(ArvStreamCallbackType type) {
  if (type == ARV_STREAM_CALLBACK_TYPE_INIT && options.priority > 0) {
    const sched_param parameters{options.priority};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
  }
  if (type == ARV_STREAM_CALLBACK_TYPE_START_BUFFER) begun.push_back(Clock::now());
  if (type != ARV_STREAM_CALLBACK_TYPE_BUFFER_DONE || stream == nullptr) return;
  while (ArvBuffer* buffer = arv_stream_try_pop_buffer(stream.get())) {
    listener.buffer_came(buffer, take_begin());
    g_object_unref(buffer);  // the listener has a reference of its own
  }
}

// Aravis closes frames in the order in which they began, and does not say which begins. (It notes the time in the
// buffer, too, but on the wall clock, which may be set meanwhile.)
Clock::time_point GigeConnection::Impl::take_begin() {
  if (begun.empty()) return Clock::now();
  const Clock::time_point time = begun.front();
  begun.pop_front();
  return time;
}

GigeConnection::GigeConnection(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
GigeConnection::~GigeConnection() = default;

Result<std::unique_ptr<GigeConnection>> GigeConnection::open(const GigeOptions& options, const Layout& layout,
                                                             GigeListener& listener) {
  auto impl = std::make_unique<Impl>(options, layout, listener);
  for (const auto step : {&Impl::find, &Impl::check_images, &Impl::set_trigger, &Impl::set_packets, &Impl::make_stream})
    if (Status status = ((*impl).*step)(); !status.ok()) return status;
  return std::unique_ptr<GigeConnection>(new GigeConnection(std::move(impl)));
}

std::size_t GigeConnection::payload() const noexcept { return impl_->payload; }
const std::string& GigeConnection::description() const noexcept { return impl_->description; }

void GigeConnection::push(ArvBuffer* buffer) {
  arv_buffer_set_frame_id(buffer, 0);  // none, should its first packet be lost
  arv_stream_push_buffer(impl_->stream.get(), ARV_BUFFER(g_object_ref(buffer)));
}

Status GigeConnection::start() {
  Error error;
  arv_camera_start_acquisition(impl_->camera.get(), error.out());
  if (error.set()) return impl_->not_there("it does not start taking frames: " + error.text());
  impl_->started = true;
  return {};
}

}  // namespace vialsight::station
