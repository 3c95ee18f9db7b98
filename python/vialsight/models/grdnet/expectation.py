"""What is expected of a patch: a linear model of its region, and how far patches usually differ.

The graph is not told of which region a patch is: it takes the region whose mean is nearest. The
linear model works on averages of 4 by 4 pixels; means are kept in full.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vialsight.aliases import Progress, Tensor
from vialsight.data.sources import PatchSource, expect, spread
from vialsight.errors import TrainingError
from vialsight.models.anomalies.drawing import LABEL_SCALE, REDUCED_SCALE
from vialsight.models.grdnet.section import EDGE_MULTIPLE
from vialsight.models.method import Fitted
from vialsight.models.passes import read_in_order
from vialsight.models.pca.fit import OVERSAMPLING, StreamingComponents
from vialsight.models.pooling import block_means
from vialsight.models.regions import NearestMean, own_places
from vialsight.pinned import tf

Arrays = Mapping[str, npt.NDArray[Any]]
Float32 = npt.NDArray[np.float32]

# Planes that `Expectation.planes` makes beside the patch.
PLANES: Final = 5
# Patches of a region that say how far patches usually differ from what is expected.
_SPREAD_SAMPLE: Final = 400
_READ_GROUPS: Final = 120
# No camera measures a grey value better than this; also keeps quotients finite.
_LEAST_SPREAD: Final = 2e-3


class Expected(NamedTuple):
    """Of patches: their region as one-hot (n,R), codes (n,K), and X̂ at half size (n,P/2,P/2,1)."""

    region: Tensor
    codes: Tensor
    half: Tensor

    def taught(self, reconstruction: Tensor) -> "Expected":
        """Return what is expected where X̂ (n,P,P,1) is another model's; the region stays."""
        half = tf.nn.avg_pool2d(reconstruction, LABEL_SCALE, LABEL_SCALE, "VALID")
        return self._replace(half=half)


class Expectation(tf.Module):  # type: ignore[misc]
    """The linear model in a graph.

    `arrays`: means (R,P,P), components (K,(P/4)²) of all regions one after the other, region (K,)
    of which region each is, spreads (R,P/2,P/2).
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(name="expectation")
        means = np.asarray(arrays["means"], np.float64)
        regions, self.size = len(means), means.shape[1]
        reduced = block_means(means, REDUCED_SCALE).reshape(regions, -1)
        components = np.asarray(arrays["components"], np.float64)
        belongs = np.asarray(arrays["region"])
        self._regions = NearestMean(reduced)
        self._means = tf.constant(means.reshape(regions, -1), tf.float32)
        self._half_means = tf.constant(
            block_means(means, LABEL_SCALE).reshape(regions, -1), tf.float32
        )
        self._components = tf.constant(components, tf.float32)
        self._belongs = tf.constant(np.equal.outer(np.arange(regions), belongs), tf.float32)
        self._own_places = tf.constant(own_places(belongs))
        spreads = np.maximum(np.asarray(arrays["spreads"], np.float64), _LEAST_SPREAD)
        self._inverse_spreads = tf.constant((1.0 / spreads).reshape(regions, -1), tf.float32)
        self._up2, self._up4 = (tf.constant(_enlarging(self.size, n), tf.float32) for n in (2, 4))
        self._places = tf.constant(_coordinates(self.size // LABEL_SCALE), tf.float32)

    def of(self, reduced: Tensor) -> Expected:
        """Return what is expected, from averages (n,P/4,P/4,1) of 4 by 4 pixels."""
        side = self.size // REDUCED_SCALE
        flat = tf.reshape(reduced, (-1, side * side))
        region = self._regions.of(flat)
        codes = _exact_codes(flat - self._regions.mean_of(region), self._components)
        codes *= tf.matmul(region, self._belongs)
        half = tf.matmul(region, self._half_means) + self._deviation(codes, self._up2)
        return Expected(region, codes, _images(half, self.size // LABEL_SCALE))

    def own_codes(self, expected: Expected) -> Tensor:
        """Return codes (n,k) of the patch's own region alone; k is the most of a region."""
        return tf.matmul(expected.codes, self._own_places)

    def reconstruction(self, expected: Expected) -> Tensor:
        """Return X̂ (n,P,P,1), clipped to [0,1]."""
        whole = tf.matmul(expected.region, self._means)
        whole += self._deviation(expected.codes, self._up4)
        return _images(tf.minimum(tf.maximum(whole, 0.0), 1.0), self.size)

    def planes(self, expected: Expected) -> Tensor:
        """Return X̂, the inverse of the usual difference, and coordinates, (n,P/2,P/2,4)."""
        side = self.size // LABEL_SCALE
        inverse = _images(tf.matmul(expected.region, self._inverse_spreads), side)
        # One for each patch, of operations that a bundle may hold.
        places = 0.0 * expected.half + self._places
        return tf.concat([expected.half, inverse, places], -1)

    def _deviation(self, codes: Tensor, enlarging: Tensor) -> Tensor:
        """Return the deviation from the mean, enlarged, (n, side²)."""
        small, side = self.size // REDUCED_SCALE, int(enlarging.shape[1])
        flat = tf.matmul(codes, self._components)
        wide = tf.matmul(tf.reshape(flat, (-1, small)), enlarging)
        turned = tf.transpose(tf.reshape(wide, (-1, small, side)), (0, 2, 1))
        both = tf.matmul(tf.reshape(turned, (-1, small)), enlarging)
        whole = tf.transpose(tf.reshape(both, (-1, side, side)), (0, 2, 1))
        return tf.reshape(whole, (-1, side * side))


def differences(images: Tensor, planes: Tensor) -> Tensor:
    """Return what a network sees beside images (n,S,S,1): (n,S/2,S/2,5).

    `planes` are those of `Expectation.planes`, or their crop. X̂, the difference from it in grey
    values and in usual differences, both limited, and coordinates.
    """
    half = tf.nn.avg_pool2d(images, LABEL_SCALE, LABEL_SCALE, "VALID")
    expected, inverse, places = planes[..., 0:1], planes[..., 1:2], planes[..., 2:4]
    difference = half - expected
    grey, usual = 8.0 * difference, 0.3 * difference * inverse
    limited = [tf.minimum(tf.maximum(plane, -3.0), 3.0) for plane in (grey, usual)]
    return tf.concat([2.0 * expected - 1.0, *limited, places], -1)


def fit_expectation(
    components: int, training: PatchSource, regions: int, progress: Progress
) -> Fitted:
    """Fit to all patches in one pass, then measure on a sample how far they differ.

    Patch i is of region i modulo `regions`. Raises TrainingError for data that do not allow it.
    """
    if len(training) < 2 * regions:
        raise TrainingError(
            f"a linear model needs two patches of each region at least; the data hold "
            f"{len(training)} of {regions} regions: add images"
        )
    if training.patch_size % EDGE_MULTIPLE:
        raise TrainingError(
            f"grdnet needs patches whose edge is a multiple of {EDGE_MULTIPLE}; got "
            f"{training.patch_size}: prepare them with another --patch-size"
        )
    size = training.patch_size
    streams = [
        StreamingComponents((size // REDUCED_SCALE) ** 2, components + OVERSAMPLING)
        for _ in range(regions)
    ]
    sums = np.zeros((regions, size, size))
    for patches in read_in_order(training, _READ_GROUPS * regions, progress):
        small = block_means(patches, REDUCED_SCALE).reshape(len(patches), -1)
        for region in range(min(regions, len(patches))):
            streams[region].merge(small[region::regions])
            sums[region] += patches[region::regions].sum(axis=0, dtype=np.float64)
    found = [stream.components()[0][:components] for stream in streams]
    counts = np.array([stream.count for stream in streams])
    arrays = {
        "means": (sums / counts[:, None, None]).astype(np.float32),
        "components": np.concatenate(found).astype(np.float32),
        "region": np.repeat(np.arange(regions), [len(rows) for rows in found]),
    }
    arrays["spreads"] = _usual_differences(arrays, training, regions)
    figures = {
        f"region_{number}_usual_difference": float(np.median(arrays["spreads"][number - 1]))
        for number in range(1, regions + 1)
    }
    return Fitted(arrays=arrays, figures=figures)


def _usual_differences(
    arrays: Mapping[str, npt.NDArray[Any]], training: PatchSource, regions: int
) -> Float32:
    """Return the deviation that the median of |X - X̂| stands for, (R,P/2,P/2)."""
    size = training.patch_size // LABEL_SCALE
    unknown = np.ones((regions, size, size), np.float32)
    model = Expectation({**arrays, "spreads": unknown})
    sampled = spread(training, min(_SPREAD_SAMPLE, len(training) // regions) * regions)
    groups = np.unique(sampled // regions)[:_SPREAD_SAMPLE]
    kept: list[list[Float32]] = [[] for _ in range(regions)]
    for start in range(0, len(groups), _READ_GROUPS // 4):
        chosen = groups[start : start + _READ_GROUPS // 4, None] * regions + np.arange(regions)
        expect(training, chosen.ravel())
        patches = training.read(chosen.ravel())
        reduced = block_means(patches, REDUCED_SCALE)[..., None]
        half = np.asarray(model.of(tf.constant(reduced, tf.float32)).half)[..., 0]
        away = np.abs(block_means(patches, LABEL_SCALE) - half).astype(np.float32)
        for region in range(regions):
            kept[region].append(away[region::regions])
    return np.stack([1.4826 * np.median(np.concatenate(rows), axis=0) for rows in kept]).astype(
        np.float32
    )


def _exact_codes(away: Tensor, components: Tensor) -> Tensor:
    """Return the codes (n,K) of deviations from the mean (n,D) along components (K,D), float32.

    Summed in float64: in float32 the order of thousands of sums, another for every batch size and
    machine, moves a code by 3e-6, and a logit by 100 times that: differences from X̂ are amplified.
    """
    pair = [tf.cast(values, tf.float64) for values in (away, components)]
    return tf.cast(tf.matmul(*pair, transpose_b=True), tf.float32)


def _images(flat: Tensor, side: int) -> Tensor:
    return tf.reshape(flat, (-1, side, side, 1))


def _enlarging(size: int, times: int) -> npt.NDArray[np.float64]:
    """Return the matrix (P/4, P/4·times) that enlarges a row, bilinearly, edges repeated."""
    small = size // REDUCED_SCALE
    position = (np.arange(small * times) + 0.5) / times - 0.5
    position = np.clip(position, 0.0, small - 1.0)
    return np.maximum(0.0, 1.0 - np.abs(position[None, :] - np.arange(small)[:, None]))


def _coordinates(side: int) -> npt.NDArray[np.float64]:
    """Return y and x from -1 to 1, (1,side,side,2)."""
    line = np.linspace(-1.0, 1.0, side)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1)[None]
