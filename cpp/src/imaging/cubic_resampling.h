// Resampling of a box that lies anyhow in a frame: from frame to patch in one step, with Keys' cubic (1981, a = −1/2).
//
// The sample at (x, y) is Σ k((r − y) / s_y) k((c − x) / s_x) · pixel(r, c) over all rows r and columns c, divided by
// the sum of the weights; s is the box's edge over the patch's, at least 1: a patch that shrinks its box is
// antialiased.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace vialsight {

// Weights along one axis, from a table over the position between two pixels. Immutable.
class CubicWeights {
 public:
  explicit CubicWeights(double step);  // pixels from one sample to the next, positive

  // 4, or a multiple of 8, for vectors; the last weights may be zeros.
  [[nodiscard]] std::size_t taps() const noexcept { return taps_; }
  // The first tap of a sample in pixel floor(position) is pixel floor(position) − before().
  [[nodiscard]] int before() const noexcept { return before_; }

  // Weights of a sample at a fraction, position − floor(position), lie between rows whole(phase) and whole(phase) + 1
  // of the table, phase = fraction · phases(). The fraction is 1 where a position hardly below a pixel is rounded.
  [[nodiscard]] double phases() const noexcept { return phases_; }
  [[nodiscard]] const float* table() const noexcept { return table_.data(); }  // [phase][tap]

 private:
  int before_ = 0;
  std::size_t taps_ = 0;
  double phases_ = 0.0;       // a power of two, so that a phase is exact
  std::vector<float> table_;  // one row more than phases + 1, which only a fraction of 1 reads, with weight 0
};

// Where the samples of a patch lie, in pixel indices of the frame: monotonic in row and column.
struct SampleGrid {
  double x = 0.0;  // of the first sample
  double y = 0.0;
  double step_x = 1.0;  // pixels from column to column
  double step_y = 1.0;
  double turn = 0.0;
  int size = 0;  // samples per row and column

  [[nodiscard]] double row_x(int row) const noexcept { return x + turn * (step_y * row); }
  [[nodiscard]] double row_y(int row) const noexcept { return y + step_y * row; }
  [[nodiscard]] double x_at(int row, int column) const noexcept { return row_x(row) + step_x * column; }
  [[nodiscard]] double y_at(int row, int column) const noexcept { return row_y(row) - turn * (step_x * column); }
};

// Pixels (x, y) to (x + width − 1, y + height − 1) of a frame, some of them perhaps beyond its edge.
struct Window {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// All that the samples of `grid` need.
[[nodiscard]] Window window_of(const SampleGrid& grid, const CubicWeights& columns, const CubicWeights& rows) noexcept;

// Values of a window as they are in the frame, row by row; `limit` becomes 1 in the patch.
struct WindowPixels {
  Window window;
  const float* values = nullptr;
  float limit = 1.0F;
};

// Writes size × size samples, clipped to [0, 1]. `scratch` has room for columns.taps() + rows.taps() floats.
void resample(const WindowPixels& pixels, const SampleGrid& grid, const CubicWeights& columns, const CubicWeights& rows,
              float* scratch, float* patch) noexcept;

// The same where both steps are 1, faster: exact weights, and an exact copy where samples meet pixels.
void resample_equal(const WindowPixels& pixels, const SampleGrid& grid, float* patch) noexcept;

}  // namespace vialsight
