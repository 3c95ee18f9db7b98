// Sequences of C API calls in any order: living, destroyed, foreign and null handles, structs and arrays of any size.
//
// A model of what was called runs beside. Claims: nothing crashes or reads beyond what it was given (every struct and
// array lies in memory of exactly the size the call is told); every call returns a known code; an error names the call;
// a handle that does not live is always refused; a strip is accepted only when every frame of it was taken and nothing
// about it was refused; a failed call leaves a reject; counters are exact.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "c_api_model.h"
#include "fuzz_input.h"
#include "vialsight/c_api.h"

using vialsight::fuzz::Array;
using vialsight::fuzz::ended;
using vialsight::fuzz::HandshakeModel;
using vialsight::fuzz::Input;
using vialsight::fuzz::InspectorModel;
using vialsight::fuzz::kFrames;
using vialsight::fuzz::opened;
using vialsight::fuzz::require;
using vialsight::fuzz::Sized;
using vialsight::fuzz::Slot;
using vialsight::fuzz::submitted;
using vialsight::fuzz::take_deadline;
using vialsight::fuzz::take_frame;
using vialsight::fuzz::take_stamp;
using vialsight::fuzz::world;

namespace {

constexpr std::size_t kPatchPixels = 144;
constexpr int kMostSteps = 64;
constexpr std::size_t kMostHandles = 4;  // creating an Inspector takes a millisecond

class Session {
 public:
  explicit Session(Input input) : input_(input) {}

  void run() {
    for (int step = 0; step < kMostSteps && !input_.empty(); ++step) {
      const std::size_t choice = input_.take<std::uint8_t>() % kSteps.size();
      (this->*kSteps[choice])();
    }
    end();
  }

 private:
  using Step = void (Session::*)();
  static const std::array<Step, 21> kSteps;

  // `alive`: the handle lives, so that the call may succeed.
  vialsight_status check(vialsight_status status, const char* call, bool alive) {
    require(status >= VIALSIGHT_OK && status <= VIALSIGHT_PERMISSION_DENIED, "every call returns a known code");
    if (status != VIALSIGHT_OK) {
      const std::string message = vialsight_last_error();
      require(message.starts_with(std::string(call) + ": "), "an error names the call");
      require(message.size() > std::strlen(call) + 10, "an error says what is wrong");
    }
    require(alive || status == VIALSIGHT_INVALID_ARGUMENT, "a handle that does not live is refused");
    return status;
  }

  // A handle, and the model behind it where it is one of ours; destroyed ones stay in the lists.
  template <typename Model, typename Handle>
  Model* pick(std::vector<Model>& models, Handle*& handle) {
    const std::size_t choice = input_.take<std::uint8_t>() % (models.size() + 4);
    handle = nullptr;
    if (choice == models.size() + 1) handle = reinterpret_cast<Handle*>(&input_);
    if (choice == models.size() + 2) handle = reinterpret_cast<Handle*>(world().bundle);
    if (choice == models.size() + 3 && !models.empty()) return pick_at(models, 0, handle);
    return choice < models.size() ? pick_at(models, choice, handle) : nullptr;
  }
  template <typename Model, typename Handle>
  static Model* pick_at(std::vector<Model>& models, std::size_t index, Handle*& handle) {
    handle = models[index].handle;
    return models[index].alive ? &models[index] : nullptr;
  }
  InspectorModel* pick_inspector(vialsight_inspector*& handle) { return pick(inspectors_, handle); }

  // Slots ----------------------------------------------------------------------------------------------------------

  void open() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    const auto strip_id = input_.take<std::uint8_t>();
    const auto status =
        check(vialsight_open(handle, strip_id, take_deadline(input_)), "vialsight_open", model != nullptr);
    if (model != nullptr && !model->driven) opened(model->slot, status == VIALSIGHT_OK);
    require(model == nullptr || !model->driven || status == VIALSIGHT_FAILED_PRECONDITION, "a handshake drives alone");
  }
  void submit() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    const std::int32_t index = input_.take<std::int8_t>() % 3;
    Sized<vialsight_frame> frame(input_, take_frame(input_, pixels_));
    const auto status = check(vialsight_submit(handle, index, frame.get()), "vialsight_submit", model != nullptr);
    if (model != nullptr && !model->driven) submitted(model, index, status == VIALSIGHT_OK);
  }
  void submit_stamped() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    const std::int32_t index = input_.take<std::int8_t>() % 3;
    Sized<vialsight_frame> frame(input_, take_frame(input_, pixels_));
    Sized<vialsight_stamp> stamp(input_, take_stamp(input_, input_.take<std::uint8_t>(), index));
    const auto status = check(vialsight_submit_stamped(handle, index, frame.get(), stamp.get()),
                              "vialsight_submit_stamped", model != nullptr);
    if (model != nullptr && !model->driven) submitted(model, index, status == VIALSIGHT_OK);
  }
  void close() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    Sized<vialsight_verdict> verdict(input_);
    const auto status = check(vialsight_close(handle, verdict.get()), "vialsight_close", model != nullptr);
    ended(model, status, verdict);
    if (model != nullptr && status == VIALSIGHT_OK) model->slot = Slot();
  }
  void inspect() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    std::vector<vialsight_frame> frames(static_cast<std::size_t>(kFrames) + 1);
    for (vialsight_frame& frame : frames) {
      frame = take_frame(input_, pixels_);
      frame.struct_size = sizeof frame;
    }
    const auto choice = input_.take<std::uint8_t>();
    if (choice == 1) frames[1].struct_size = 8;
    const std::uint64_t count = choice == 2 ? UINT64_MAX : choice % 4;  // at most F + 1 are looked at
    Sized<vialsight_verdict> verdict(input_);
    const auto status = check(vialsight_inspect(handle, choice, choice == 3 ? nullptr : frames.data(), count,
                                                take_deadline(input_), verdict.get()),
                              "vialsight_inspect", model != nullptr);
    if (model == nullptr || model->driven) return ended(nullptr, status, verdict);
    if (model->slot.open) {
      require(status != VIALSIGHT_OK, "nothing is inspected while a slot is open");
      model->slot.refused = model->slot.refused || verdict.get() != nullptr;
      return ended(nullptr, status, verdict);
    }
    if (status == VIALSIGHT_OK && count == kFrames) {
      model->slot.open = true;
      model->slot.refused = false;
      model->slot.taken.fill(true);
    }
    ended(model, status, verdict);
    if (!verdict.whole() && status == VIALSIGHT_OK) model->accepted = unknown();
    model->slot = Slot();
  }

  // Handshake ------------------------------------------------------------------------------------------------------
  InspectorModel* driven_by(const HandshakeModel* model) {
    return model != nullptr ? &inspectors_[model->inspector] : nullptr;
  }
  void trigger() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    const auto strip_id = input_.take<std::uint8_t>();
    const auto status = check(vialsight_handshake_trigger(handle, strip_id, take_deadline(input_)),
                              "vialsight_handshake_trigger", model != nullptr);
    if (model == nullptr) return;
    ++model->triggers;
    opened(driven_by(model)->slot, status == VIALSIGHT_OK);
  }
  void hand_over() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    const std::int32_t index = input_.take<std::int8_t>() % 3;
    Sized<vialsight_frame> frame(input_, take_frame(input_, pixels_));
    vialsight_status status = VIALSIGHT_OK;
    if (input_.take<std::uint8_t>() % 2 == 0) {
      status =
          check(vialsight_handshake_submit(handle, index, frame.get()), "vialsight_handshake_submit", model != nullptr);
    } else {
      Sized<vialsight_stamp> stamp(input_, take_stamp(input_, input_.take<std::uint8_t>(), index));
      status = check(vialsight_handshake_submit_stamped(handle, index, frame.get(), stamp.get()),
                     "vialsight_handshake_submit_stamped", model != nullptr);
    }
    submitted(driven_by(model), index, status == VIALSIGHT_OK);
  }
  void finish() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    Sized<vialsight_verdict> verdict(input_);
    const auto status =
        check(vialsight_handshake_finish(handle, verdict.get()), "vialsight_handshake_finish", model != nullptr);
    ended(driven_by(model), status, verdict);
    if (model == nullptr || status != VIALSIGHT_OK) return;
    if (!verdict.whole()) driven_by(model)->accepted = model->accepted = unknown();
    if (verdict.whole() && verdict.value().verdict == VIALSIGHT_ACCEPT) ++model->accepted;
    driven_by(model)->slot = Slot();
  }
  void acknowledge() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    check(vialsight_handshake_acknowledge(handle, input_.take<std::uint8_t>()), "vialsight_handshake_acknowledge",
          model != nullptr);
  }
  void look() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    Sized<vialsight_signals> signals(input_);
    check(vialsight_handshake_signals(handle, signals.get()), "vialsight_handshake_signals", model != nullptr);
    if (signals.whole()) {
      const vialsight_signals seen = signals.value();
      require(seen.ready + seen.busy + seen.result_valid <= 1, "a handshake is in one state");
      require(seen.accept <= seen.result_valid, "accept only with a valid result");
      require(model == nullptr || (seen.busy == 1) == driven_by(model)->slot.open, "busy while a slot is open");
    }
    Sized<vialsight_counters> counters(input_);
    const auto status =
        check(vialsight_handshake_counters(handle, counters.get()), "vialsight_handshake_counters", model != nullptr);
    if (status == VIALSIGHT_OK && counters.whole()) check_counters(*model, counters.value());
  }
  void check_counters(const HandshakeModel& model, const vialsight_counters& counters) {
    const auto rejected = std::accumulate(std::begin(counters.rejected), std::end(counters.rejected), std::uint64_t{0});
    require(counters.triggers == counters.accepted + rejected + counters.in_flight, "every trigger is counted once");
    require(counters.triggers == model.triggers, "every trigger is counted");
    require(model.accepted == unknown() || counters.accepted == model.accepted, "what was accepted is counted");
  }

  // Objects --------------------------------------------------------------------------------------------------------
  void create_inspector() {
    if (inspectors_.size() == kMostHandles) return;
    const auto choice = input_.take<std::uint8_t>();
    vialsight_options options = {};
    options.struct_size = sizeof options;
    require(vialsight_options_init(&options) == VIALSIGHT_OK, "options are filled");
    constexpr std::array<const char*, 4> kModules = {NO_BACKEND, "no/such/module.so", OTHER_ABI_BACKEND, nullptr};
    constexpr std::int32_t kCpu = 100'000;
    options.backend_module = choice < kModules.size() ? kModules[choice] : FAKE_BACKEND;
    // Nothing that outlives this input: no priority, no locked memory, no worker.
    if (choice == 4) options.level = input_.take<std::int32_t>();
    if (choice == 5) options.priority = 100;
    if (choice == 6) options.margin_us = input_.take<std::int64_t>();
    if (choice == 7) options.threads = -1;
    if (choice == 8) options.lock_memory = 2;
    if (choice == 9) options.cpu_count = 1;
    if (choice == 10) options.isolation = 2;
    if (choice == 11) options.require_fresh_frames = 0;
    if (choice == 12) options.worker_batch_timeout_ms = input_.take<std::int64_t>();
    options.cpus = choice == 9 && input_.take<std::uint8_t>() % 2 == 0 ? &kCpu : nullptr;
    Sized<vialsight_options> sized(input_, options);
    vialsight_inspector* created = nullptr;
    const vialsight_options* given = sized.get();
    const bool lives = choice != 13;
    const auto status = check(vialsight_inspector_create(lives ? world().bundle : nullptr, given, &created),
                              "vialsight_inspector_create", lives);
    require((status == VIALSIGHT_OK) == (created != nullptr), "a handle comes with ok, and only then");
    if (created != nullptr) inspectors_.push_back({created, true, false, {}, 0});
  }
  void destroy_inspector() {
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    const auto status = check(vialsight_inspector_destroy(handle), "vialsight_inspector_destroy",
                              model != nullptr || handle == nullptr);
    if (model == nullptr) return;
    require((status == VIALSIGHT_OK) != model->driven, "an inspector outlives its handshake");
    model->alive = status != VIALSIGHT_OK;
  }
  void create_handshake() {
    if (handshakes_.size() == kMostHandles) return;
    vialsight_inspector* handle = nullptr;
    InspectorModel* model = pick_inspector(handle);
    vialsight_handshake* created = nullptr;
    const auto status =
        check(vialsight_handshake_create(handle, &created), "vialsight_handshake_create", model != nullptr);
    require((status == VIALSIGHT_OK) == (created != nullptr), "a handle comes with ok, and only then");
    if (created == nullptr) return;
    require(!model->driven && !model->slot.open, "one handshake per inspector, and no open slot");
    model->driven = true;
    handshakes_.push_back({created, true, static_cast<std::size_t>(model - inspectors_.data()), 0, 0});
  }
  void destroy_handshake() {
    vialsight_handshake* handle = nullptr;
    HandshakeModel* model = pick(handshakes_, handle);
    const auto status = check(vialsight_handshake_destroy(handle), "vialsight_handshake_destroy",
                              model != nullptr || handle == nullptr);
    if (model == nullptr) return;
    require(status == VIALSIGHT_OK, "a living handshake can be destroyed");
    model->alive = false;
    InspectorModel& inspector = *driven_by(model);
    inspector.driven = false;
    if (inspector.slot.open) inspector.accepted = unknown();  // finished by the destructor
    inspector.slot = Slot();
  }
  void load_bundle() {
    vialsight_bundle* loaded = nullptr;
    const std::string path = input_.take<std::uint8_t>() % 2 == 0 ? "no/such.vsb" : world().path;
    const auto status = check(vialsight_bundle_load(path.c_str(), &loaded), "vialsight_bundle_load", true);
    if (status != VIALSIGHT_OK) return;
    require(vialsight_bundle_destroy(loaded) == VIALSIGHT_OK, "a living bundle can be destroyed");
    check(vialsight_bundle_destroy(loaded), "vialsight_bundle_destroy", false);
  }

  // Results --------------------------------------------------------------------------------------------------------
  void read_bundle() {
    const vialsight_bundle* bundle = world().bundle;
    const std::int32_t vial = input_.take<std::int8_t>();
    const std::int32_t region = input_.take<std::int8_t>();
    Array<char> text(input_, 65);
    check(vialsight_bundle_name(bundle, text.get(), text.values.size()), "vialsight_bundle_name", true);
    check(vialsight_bundle_sha256(bundle, text.get(), text.values.size()), "vialsight_bundle_sha256", true);
    check(vialsight_bundle_region_name(bundle, region, text.get(), text.values.size()), "vialsight_bundle_region_name",
          true);
    std::array<std::int32_t, 4> box = {};
    check(vialsight_bundle_box(bundle, vial, region, box.data()), "vialsight_bundle_box", true);
    Array<double> thresholds(input_, 2);
    check(vialsight_bundle_thresholds(bundle, region, thresholds.get(), thresholds.count),
          "vialsight_bundle_thresholds", true);
    Sized<vialsight_layout> layout(input_);
    check(vialsight_bundle_layout(bundle, layout.get()), "vialsight_bundle_layout", true);
  }
  void read_results() {
    vialsight_inspector* handle = nullptr;
    const bool alive = pick_inspector(handle) != nullptr;
    Array<float> scores(input_, 8);
    check(vialsight_scores(handle, scores.get(), scores.count), "vialsight_scores", alive);
    Array<double> thresholds(input_, 2);
    check(vialsight_thresholds(handle, thresholds.get(), thresholds.count), "vialsight_thresholds", alive);
    Array<std::int32_t> vials(input_, 2);
    check(vialsight_vials(handle, vials.get(), vials.count), "vialsight_vials", alive);
    Array<float> input(input_, kPatchPixels);
    std::vector<float> output(input.values.size());
    const std::int32_t frame = input_.take<std::int8_t>();
    const std::int32_t vial = input_.take<std::int8_t>();
    const std::int32_t region = input_.take<std::int8_t>();
    check(vialsight_images(handle, frame, vial, region, input.get(), output.data(), input.count), "vialsight_images",
          alive);
    check(vialsight_map(handle, frame, vial, region, output.data(), output.size()), "vialsight_map", alive);
  }
  void score_patches() {
    vialsight_inspector* handle = nullptr;
    const bool alive = pick_inspector(handle) != nullptr;
    const auto choice = input_.take<std::uint8_t>();
    const std::size_t count = choice % 8;
    std::vector<float> patches(count * kPatchPixels, 0.5F);
    std::vector<float> scores(count);
    std::vector<float> reconstructions(patches.size());
    const std::uint64_t told = choice == 255 ? UINT64_MAX / 2 : count;
    const std::uint64_t batch = input_.take<std::uint8_t>() % 20;
    check(vialsight_score_patches(handle, patches.data(), told, batch, scores.data(),
                                  choice % 16 < 8 ? nullptr : reconstructions.data()),
          "vialsight_score_patches", alive);
  }
  void read_state() {
    vialsight_inspector* handle = nullptr;
    const InspectorModel* model = pick_inspector(handle);
    Sized<vialsight_statistics> statistics(input_);
    const auto status =
        check(vialsight_get_statistics(handle, statistics.get()), "vialsight_get_statistics", model != nullptr);
    if (status == VIALSIGHT_OK && statistics.whole()) {
      const vialsight_statistics came = statistics.value();
      const auto rejected = std::accumulate(std::begin(came.rejected), std::end(came.rejected), std::uint64_t{0});
      require(came.strips == came.accepted + rejected, "every strip is counted once");
      require(model->accepted == unknown() || came.accepted == model->accepted, "what was accepted is counted");
    }
    Sized<vialsight_health> health(input_);
    check(vialsight_get_health(handle, health.get()), "vialsight_get_health", model != nullptr);
    Array<char> text(input_, 16);
    check(vialsight_last_fault(handle, text.get(), text.values.size()), "vialsight_last_fault", model != nullptr);
    const auto number = input_.take<std::int32_t>();
    for (const char* name : {vialsight_status_name(number), vialsight_reason_name(number),
                             vialsight_verdict_name(number), vialsight_level_name(number)}) {
      require(name != nullptr && *name != '\0', "every number has a name");
    }
  }

  void end() {
    for (const HandshakeModel& model : handshakes_) {
      const bool destroyed = vialsight_handshake_destroy(model.handle) == VIALSIGHT_OK;
      require(destroyed == model.alive, "each handshake is destroyed once");
    }
    for (const InspectorModel& model : inspectors_) {
      const bool destroyed = vialsight_inspector_destroy(model.handle) == VIALSIGHT_OK;
      require(destroyed == model.alive, "each inspector is destroyed once");
    }
  }

  // Accepts whose verdict the caller did not ask for, or could not read.
  static constexpr std::uint64_t unknown() { return UINT64_MAX; }

  Input input_;
  std::vector<InspectorModel> inspectors_;
  std::vector<HandshakeModel> handshakes_;
  std::vector<std::vector<unsigned char>> pixels_;  // of frames: borrowed during calls
};

const std::array<Session::Step, 21> Session::kSteps = {&Session::create_inspector,
                                                       &Session::open,
                                                       &Session::submit,
                                                       &Session::submit,
                                                       &Session::close,
                                                       &Session::inspect,
                                                       &Session::trigger,
                                                       &Session::hand_over,
                                                       &Session::hand_over,
                                                       &Session::finish,
                                                       &Session::acknowledge,
                                                       &Session::look,
                                                       &Session::create_handshake,
                                                       &Session::read_results,
                                                       &Session::read_state,
                                                       &Session::destroy_handshake,
                                                       &Session::submit_stamped,
                                                       &Session::score_patches,
                                                       &Session::read_bundle,
                                                       &Session::destroy_inspector,
                                                       &Session::load_bundle};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Session(Input(data, size)).run();
  return 0;
}
