// GigeConnection: one connection to a GigE Vision camera, from opening it to losing it. Compiled only where Aravis is.
//
// Threads: everything here is called by one thread at a time, and may take seconds: a camera that does not answer is
// asked several times. The listener is called by Aravis' threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "station/gige_options.h"
#include "vialsight/clock.h"
#include "vialsight/layout.h"
#include "vialsight/status.h"

typedef struct _ArvBuffer ArvBuffer;  // as <arv.h> has it, which stays out of our headers

namespace vialsight::station {

class GigeListener {
 public:
  // The thread that receives: a buffer that was pushed, complete or not, is the listener's again. `arrived`: when its
  // first packet came.
  virtual void buffer_came(ArvBuffer* buffer, Clock::time_point arrived) noexcept = 0;
  // The thread that keeps the control of the camera: it answers no more, or obeys somebody else.
  virtual void control_lost() noexcept = 0;

 protected:
  ~GigeListener() = default;
};

class GigeConnection {
 public:
  // kNotFound: no such camera answers, or another program controls it; it may come later. kInvalidArgument: it is
  // there, but its images are not what `layout` says, or it cannot be set up as asked for.
  [[nodiscard]] static Result<std::unique_ptr<GigeConnection>> open(const GigeOptions& options, const Layout& layout,
                                                                    GigeListener& listener);
  GigeConnection(const GigeConnection&) = delete;
  GigeConnection& operator=(const GigeConnection&) = delete;
  ~GigeConnection();  // no buffer comes afterwards; those that were pushed and did not come are nobody's

  // Bytes of a frame's buffer.
  [[nodiscard]] std::size_t payload() const noexcept;
  // Takes a reference of its own.
  void push(ArvBuffer* buffer);
  // Frames come from here on. kNotFound: the camera does not answer.
  [[nodiscard]] Status start();
  // "GigE camera Aravis-Fake-GV01 at 127.0.0.1, 1408x1152 Mono8, packets of 9000 bytes, socket buffer of 8 MiB".
  [[nodiscard]] const std::string& description() const noexcept;

 private:
  struct Impl;
  explicit GigeConnection(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight::station
