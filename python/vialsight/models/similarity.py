"""Structural similarity in TensorFlow: part of losses, and the golden scores of a bundle."""

from typing import Final

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Tensor
from vialsight.pinned import tf

SSIM_WINDOW: Final = 11
SSIM_SIGMA: Final = 1.5
SSIM_K1: Final = 0.01
SSIM_K2: Final = 0.03


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity (n,) of images (n,P,P,1) in [0,1], as `tf.image.ssim`.

    Gaussian 11x11 window, sigma 1.5, valid padding, population covariance, L = 1; float32 or
    float64. The window is applied as two banded matrix products, whose gradient is far cheaper
    than a depthwise convolution's on CPUs.
    """
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    level_x, x = _centred(x[..., 0])
    level_y, y = _centred(y[..., 0])
    blurred = _blur(tf.stack([x, y, x * y, x * x + y * y]))
    mean_x, mean_y, mean_xy, mean_squares = tf.unstack(blurred, num=4)
    covariance = mean_xy - mean_x * mean_y
    variances = mean_squares - mean_x * mean_x - mean_y * mean_y
    mean_x, mean_y = mean_x + level_x, mean_y + level_y
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2.0 * covariance + c2) / (variances + c2)
    return tf.reduce_mean(luminance * structure, axis=(1, 2))


def _centred(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n,1,1) and images (n,P,P) less it: variances of flat images lose no digits then."""
    level = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return level, images - level


def _blur(images: Tensor) -> Tensor:
    """Gaussian-filter (k,n,P,P) with valid padding; the result is transposed, as a mean allows."""
    window = tf.constant(_window_matrix(int(images.shape[-1])).T, images.dtype)
    return _filter_columns(_filter_columns(images, window), window)


def _filter_columns(images: Tensor, window: Tensor) -> Tensor:
    """Multiply the last axis of (k,n,a,b) with the window (b,c) and swap: (k,n,c,a).

    Two-dimensional products only: TensorFlow 2.21's broadcast batch product on CPUs returns
    garbage for some shapes, (4,1,16,16) among them.
    """
    count, (rows, columns) = tf.shape(images)[1], images.shape[2:]
    flat = tf.matmul(tf.reshape(images, (-1, columns)), window)
    return tf.transpose(tf.reshape(flat, (-1, count, rows, window.shape[1])), (0, 1, 3, 2))


def _window_matrix(size: int) -> npt.NDArray[np.float64]:
    """Banded (size-10, size) matrix whose rows are the normalised window."""
    if size < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} pixels a side; got {size}")
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(offsets**2) / (2.0 * SSIM_SIGMA**2))
    matrix = np.zeros((size - SSIM_WINDOW + 1, size))
    for row in range(matrix.shape[0]):
        matrix[row, row : row + SSIM_WINDOW] = weights / weights.sum()
    return matrix
