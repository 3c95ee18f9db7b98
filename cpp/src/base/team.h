// Team: threads that share the work on a frame's patches. They sleep while there is none, so that the inference library
// has the cores for itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace vialsight {

class Team {
 public:
  // `members` ≥ 1 with the caller of run(); the others are started here. Throws std::system_error where they cannot be.
  explicit Team(std::size_t members);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  [[nodiscard]] std::size_t members() const noexcept { return threads_.size() + 1; }

  // Calls work(task, member) for each task below `tasks` once, member below members(): a member has one task at a time.
  // Returns when all are done. One caller at a time; `work` must not throw. Does not allocate.
  template <typename Work>
  void run(std::size_t tasks, const Work& work) noexcept {
    run_all(tasks, {&work, [](const void* self, std::size_t task, std::size_t member) noexcept {
                      (*static_cast<const Work*>(self))(task, member);
                    }});
  }

 private:
  struct Call {
    const void* self = nullptr;
    void (*function)(const void* self, std::size_t task, std::size_t member) noexcept = nullptr;
  };
  void run_all(std::size_t tasks, Call call) noexcept;
  void help(std::size_t member) noexcept;
  void take_tasks(std::size_t member) noexcept;
  void end() noexcept;

  std::mutex mutex_;
  std::condition_variable begin_;
  std::condition_variable done_;
  std::uint64_t round_ = 0;  // guarded by mutex_, as what follows
  std::size_t busy_ = 0;     // helpers that have not ended this round
  bool stop_ = false;
  Call call_;
  std::size_t tasks_ = 0;  // written before a round begins
  std::atomic<std::size_t> next_{0};
  std::vector<std::thread> threads_;
};

}  // namespace vialsight
