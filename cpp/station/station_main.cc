// vialsight-station: the inspector process of a line. See vialsight-station --help and docs/station.md.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <span>

#include "station/file_descriptor.h"
#include "station/log.h"
#include "station/source_factory.h"
#include "station/spool_folder.h"
#include "station/start_record.h"
#include "station/station.h"
#include "station/station_options.h"
#include "station/system_error.h"

namespace vialsight::station {
namespace {

constexpr int kCouldNotStart = 2;
constexpr std::chrono::seconds kPatience{5};  // with a disk that stands still, at the end
constexpr int kMostFrames = 32;               // bits of a picture block

// Before any thread exists, so that all have them blocked.
FileDescriptor block_signals() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return FileDescriptor(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
}

Status make_folder(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return system_error("--dir: cannot make '" + path.string() + "'", errno);
}

// Held while the process lives, however it dies.
Result<FileDescriptor> lock_folder(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "station.lock";
  FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return system_error("--dir: cannot open '" + path.string() + "'", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return Status(Code::kFailedPrecondition,
                "--dir: another station holds '" + path.string() + "'; stop it, or use another folder");
}

// Above what inspects, which may compute on all cores: a deadline must be seen. After the Inspector was made, so that
// its threads have their own.
Status raise_priority(int priority) {
  if (priority == 0) return {};
  sched_param parameters = {};
  parameters.sched_priority = priority + 1;
  const int error = ::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &parameters);
  return error == 0 ? Status() : system_error("--priority: cannot have SCHED_FIFO priority for this thread", error);
}

std::size_t largest_entry(const Layout& layout) {
  const std::size_t frames = static_cast<std::size_t>(layout.frames) * (frame_bytes(layout) + 8);
  const std::size_t maps = kMaxMaps * (sizeof(MapHead) + layout.pixels_per_patch());
  return kEntryHeaderBytes + 64 + frames + maps + layout.patches_per_strip() * 8 + 64 * SpoolItem::kTextBytes;
}

// All that lives while the station does, in the order in which it is made.
class Program {
 public:
  explicit Program(StationOptions options) : options_(std::move(options)) {}

  Status prepare();
  Status run(int end_descriptor);

 private:
  Status make_spool();
  Status make_inspector(const Bundle& bundle);
  Status make_ports();
  [[nodiscard]] Station make_station(int end_descriptor);
  void record_start();

  StationOptions options_;
  std::filesystem::path folder_ = options_.folder;
  std::string session_ = make_session();
  std::int64_t started_ = unix_now_ns();
  FileDescriptor lock_;
  std::unique_ptr<SpoolFolder> disk_;
  std::unique_ptr<SnapshotWriter> snapshot_;
  std::optional<Inspector> inspector_;
  std::optional<Handshake> handshake_;
  std::unique_ptr<FrameSource> source_;
  std::optional<SpoolRing> ring_;
  std::optional<PicturePool> pool_;
  std::optional<SpoolWriter> writer_;
  std::optional<Journal> journal_;
  std::optional<MachinePort> machine_;
  std::optional<PacketServer> control_;
};

Status Program::make_spool() {
  for (const auto& path : {folder_, folder_ / "run"}) {
    if (Status status = make_folder(path); !status.ok()) return status;
  }
  Result<FileDescriptor> lock = lock_folder(folder_ / "run");
  if (!lock.ok()) return lock.status();
  lock_ = std::move(lock).value();
  Result<std::unique_ptr<SpoolFolder>> disk = SpoolFolder::open(folder_ / "spool");
  if (!disk.ok()) return disk.status();
  disk_ = std::move(disk).value();
  return {};
}

Status Program::make_inspector(const Bundle& bundle) {
  StatusBlock status = {};
  status.pid = static_cast<std::uint64_t>(::getpid());
  status.started_unix_ns = started_;
  status.hindrance = kStarting;
  snapshot_->write_status(status);
  Result<Inspector> inspector = Inspector::create(bundle, options_.inspector());
  if (!inspector.ok()) return inspector.status();
  inspector_.emplace(std::move(inspector).value());
  Result<Handshake> handshake = Handshake::create(*inspector_);
  if (!handshake.ok()) return handshake.status();
  handshake_.emplace(std::move(handshake).value());
  return {};
}

Status Program::make_ports() {
  Result<PacketServer> machine = PacketServer::listen(folder_ / "run" / "machine.sock");
  if (!machine.ok()) return machine.status();
  Result<PacketServer> control = PacketServer::listen(folder_ / "run" / "control.sock");
  if (!control.ok()) return control.status();
  machine_.emplace(std::move(machine).value());
  control_.emplace(std::move(control).value());
  return {};
}

Status Program::prepare() {
  const Result<Bundle> bundle = Bundle::load(options_.bundle);
  if (!bundle.ok()) return bundle.status();
  const Layout& layout = bundle.value().layout();
  if (layout.frames > kMostFrames) {
    return {Code::kUnsupported,
            "a station shows at most 32 frames per strip, this bundle has " + std::to_string(layout.frames)};
  }
  Result<std::unique_ptr<FrameSource>> source = make_source(options_.source, layout, nanoseconds_of(options_.slot_ms));
  if (!source.ok()) return source.status();
  source_ = std::move(source).value();
  if (Status status = make_spool(); !status.ok()) return status;
  Result<std::unique_ptr<SnapshotWriter>> snapshot =
      SnapshotWriter::create("/dev/shm/vialsight-" + options_.name, bundle.value());
  if (!snapshot.ok()) return snapshot.status();
  snapshot_ = std::move(snapshot).value();
  ring_.emplace(static_cast<std::size_t>(options_.ring_strips), layout);
  pool_.emplace(static_cast<std::size_t>(options_.kept_pictures), layout);
  const std::uint64_t last_seq = disk_->next_seq() - 1;
  writer_.emplace(*ring_, *pool_, *disk_, SpoolWriterStart{last_seq, largest_entry(layout)});
  journal_.emplace(*ring_, *writer_, last_seq);
  if (Status status = writer_->start(); !status.ok()) return status;
  if (Status status = make_inspector(bundle.value()); !status.ok()) return status;
  if (Status status = source_->start(); !status.ok()) return status;
  if (Status status = make_ports(); !status.ok()) return status;
  return raise_priority(options_.scheduling.priority);
}

void Program::record_start() {
  journal_->record(EntryKind::kStart,
                   [&](JsonText& json) { write_start(json, options_, *inspector_, session_, source_->describe()); });
  if (disk_->bytes_cut_off() == 0) return;
  journal_->record_event("spool_cut", "an entry that was cut short was taken off the spool",
                         [&](JsonText& json) { json.field("bytes", disk_->bytes_cut_off()); });
}

Status Program::run(int end_descriptor) {
  record_start();
  StationSettings settings;
  settings.budget = nanoseconds_of(options_.budget_ms);
  settings.margin = nanoseconds_of(options_.margin_ms);
  settings.self_acknowledge = options_.self_acknowledge;
  settings.end_descriptor = end_descriptor;
  settings.session = session_;
  settings.started_unix_ns = started_;
  Station station({*inspector_, *handshake_, *source_, *snapshot_, *journal_, *pool_, *machine_, *control_}, settings);
  log_line(options_.name + ": ready, " + source_->describe());
  if (options_.start_in_production) station.start_production();
  while (station.step()) {
  }
  const Status outcome = station.outcome();
  const Counters& counters = station.counters();
  journal_->record_event("stopped", outcome.ok() ? "stopped in order" : outcome.message(), [&](JsonText& json) {
    json.field("triggers", counters.triggers).field("accepted", counters.accepted);
  });
  source_->stop();
  if (!writer_->stop(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience))) {
    log_line("the disk did not take all that waited for it; the rest is lost");
  }
  return outcome;
}

int fail(const Status& status, int code) {
  log_line("error: " + status.message());
  return code;
}

int main_of(std::span<const char* const> arguments) {
  Result<StationOptions> options = parse_options(arguments);
  if (!options.ok()) return fail(options.status(), kCouldNotStart);
  if (options.value().wants_help) {
    std::fputs(help_text(), stdout);
    return 0;
  }
  const FileDescriptor signals = block_signals();
  Program program(std::move(options).value());
  if (Status status = program.prepare(); !status.ok()) return fail(status, kCouldNotStart);
  const Status outcome = program.run(signals.get());
  return outcome.ok() ? 0 : fail(outcome, 1);
}

}  // namespace
}  // namespace vialsight::station

int main(int argc, char** argv) {
  const std::span<const char* const> all(argv, static_cast<std::size_t>(argc));
  return vialsight::station::main_of(all.subspan(argc > 0 ? 1 : 0));
}
