#include "base/scheduling.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "base/messages.h"

namespace vialsight {
namespace {

constexpr int kMaxPriority = 99;  // of SCHED_FIFO on Linux

Status refused(const std::string& what, int error, const char* remedy) {
  const std::string text = what + ": " + std::generic_category().message(error);
  const bool permission = error == EPERM || error == EACCES || error == ENOMEM;
  if (permission) return {Code::kPermissionDenied, text + "; " + remedy};
  return {Code::kInvalidArgument, text};
}

Status pin(const std::vector<int>& cpus) {
  if (cpus.empty()) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
  if (error == 0) return {};
  return refused("Scheduling::cpus: cannot stay on CPUs " + joined(cpus), error,
                 "name CPUs that exist and that this process may use (taskset -p, cpuset of its control group)");
}

Status set_priority(int priority) {
  if (priority == 0) return {};
  sched_param parameters = {};
  parameters.sched_priority = priority;
  const int error = ::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &parameters);
  if (error == 0) return {};
  return refused("Scheduling::priority: cannot have SCHED_FIFO priority " + std::to_string(priority), error,
                 "allow it: LimitRTPRIO= of its systemd unit, rtprio in /etc/security/limits.conf, or CAP_SYS_NICE");
}

Status lock_memory(bool wanted) {
  if (!wanted || ::mlockall(MCL_CURRENT | MCL_FUTURE) == 0) return {};
  return refused("Scheduling::lock_memory: mlockall", errno,
                 "allow it: LimitMEMLOCK=infinity of its systemd unit, memlock in /etc/security/limits.conf, or "
                 "CAP_IPC_LOCK");
}

}  // namespace

Status check_scheduling(const Scheduling& scheduling) {
  if (scheduling.priority < 0 || scheduling.priority > kMaxPriority) {
    return {Code::kInvalidArgument,
            "Scheduling::priority: expected 1 to 99, or 0 for none, got " + std::to_string(scheduling.priority)};
  }
  for (const int cpu : scheduling.cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) continue;
    return {Code::kInvalidArgument, "Scheduling::cpus: expected numbers from 0 to " + std::to_string(CPU_SETSIZE - 1) +
                                        ", got " + std::to_string(cpu)};
  }
  return {};
}

bool is_wanted(const Scheduling& scheduling) noexcept {
  return scheduling.priority != 0 || !scheduling.cpus.empty() || scheduling.lock_memory;
}

Status apply_scheduling(const Scheduling& scheduling) {
  if (Status status = check_scheduling(scheduling); !status.ok()) return status;
  if (Status status = pin(scheduling.cpus); !status.ok()) return status;
  if (Status status = set_priority(scheduling.priority); !status.ok()) return status;
  return lock_memory(scheduling.lock_memory);
}

}  // namespace vialsight
