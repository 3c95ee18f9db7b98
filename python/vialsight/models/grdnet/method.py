"""GRD-Net as a method: a linear model is fitted, then a segmenting network trained in steps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vialsight import scores
from vialsight.aliases import Patches, Progress, Tensor
from vialsight.bundle import MAP, RECONSTRUCTION
from vialsight.data.sources import PatchSource, even_groups, expect
from vialsight.models.anomalies.drawing import LABEL_SCALE, REDUCED_SCALE, Drawing
from vialsight.models.configuration import Config, section_of
from vialsight.models.gaussian_fit import complete
from vialsight.models.gaussians import DISTANCE, LATENT, Inside
from vialsight.models.grdnet.expectation import Arrays, Expectation, differences, fit_expectation
from vialsight.models.grdnet.generator import trained_generator
from vialsight.models.grdnet.network import build_segmentation
from vialsight.models.grdnet.roi import read_roi
from vialsight.models.grdnet.section import GrdnetSection
from vialsight.models.grdnet.step import GrdnetTraining, segmentation_options
from vialsight.models.method import Fitted, Method, SavedState
from vialsight.models.optimization import AVERAGE, CYCLES_ENDED, numbered, values
from vialsight.pinned import tf
from vialsight.scores import Component

ANOMALY = "anomaly"

_DRAWING_STREAM = 3
# Patches of each region whose texture may appear in others.
_TEXTURES = 32
# Pixels of the map: what the lens spreads, so that one noisy logit is no anomaly.
_SMOOTHING = 1.0


class DrawnExamples:
    """Examples for training: each a function of the seed, the step and its row in the batch."""

    def __init__(self, config: Config, training: PatchSource, regions: int, fitted: Arrays) -> None:
        section = section_of(config, GrdnetSection)
        crop = section.crop or training.patch_size
        # What a generator is to make of the image; Perlin noise is laid over clean ones later.
        with_clean = section.generator is not None and section.anomalies.kind == "mixed"
        self._drawing = Drawing(
            section.anomalies,
            np.asarray(fitted["spreads"]),
            crop,
            np.asarray(fitted["roi"]),
            with_clean,
        )
        self._seed, self._regions = config.training.seed, regions
        self._textures = _textures(training, regions)
        half, reduced = crop // LABEL_SCALE, training.patch_size // REDUCED_SCALE
        signature = (
            tf.TensorSpec((crop, crop), tf.float32),
            tf.TensorSpec((half, half), tf.float32),
            tf.TensorSpec((reduced, reduced), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        )
        self.signature = (*signature, signature[0]) if with_clean else signature

    def __call__(
        self, images: Patches, indices: npt.NDArray[np.int64], step: int, first_row: int
    ) -> tuple[npt.NDArray[np.generic], ...]:
        """Return images, labels, averages, origins, and clean images, as `signature` says."""
        drawn = []
        for row, (image, index) in enumerate(zip(images, indices, strict=True), first_row):
            random = np.random.default_rng([self._seed, _DRAWING_STREAM, step, row])
            region = int(index) % self._regions
            drawn.append(self._drawing(random, image, self._other(random, region), region))
        columns = list(zip(*drawn, strict=True))[: len(self.signature)]
        kinds = (spec.dtype.as_numpy_dtype for spec in self.signature)
        return tuple(np.array(c, kind) for c, kind in zip(columns, kinds, strict=True))

    def _other(self, random: np.random.Generator, region: int) -> Patches:
        """Return a patch of another region, if there is another."""
        away = int(random.integers(1, self._regions)) if self._regions > 1 else 0
        others = self._textures[(region + away) % self._regions]
        return np.asarray(others[int(random.integers(len(others)))])


class TrainedNetwork(tf.Module):  # type: ignore[misc]
    """Patches (n,P,P,1) to the map of anomalies and the reconstruction."""

    def __init__(self, config: Config, patch_size: int, saved: SavedState) -> None:
        super().__init__(name="grdnet")
        fitted = saved.fitted()
        self._expectation = Expectation(fitted)
        self._segmentation = build_segmentation(
            segmentation_options(config, patch_size, len(fitted["means"]), deployed=True)
        )
        averaged = saved.arrays().get(CYCLES_ENDED, 0.0) > 0.0
        weights = values(self._segmentation.variables)
        saved.restore(numbered(AVERAGE if averaged else "network", weights))
        self._generator = trained_generator(config, patch_size, saved)

    def __call__(self, patches: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return `reconstruction` (n,P,P,1) in [0,1] and `anomaly`, logits (n,P/2,P/2,1)."""
        return dict(self.inside(patches).outputs)

    def inside(self, patches: Tensor) -> Inside:
        """Return outputs, region, codes of what is expected, and features (n,P/16,P/16,C)."""
        reduced = tf.nn.avg_pool2d(patches, REDUCED_SCALE, REDUCED_SCALE, "VALID")
        expected = self._expectation.of(reduced)
        if self._generator is None:
            reconstruction = self._expectation.reconstruction(expected)
            codes = self._expectation.own_codes(expected)
        else:
            reconstruction, codes = self._generator(patches)
            expected = expected.taught(reconstruction)
        seen = differences(patches, self._expectation.planes(expected))
        logits, features = self._segmentation([patches, seen, expected.region], training=False)
        outputs = {RECONSTRUCTION: reconstruction, ANOMALY: logits}
        return Inside(outputs, expected.region, codes, features)


def _fit(config: Config, training: PatchSource, regions: int, progress: Progress) -> Fitted:
    section = section_of(config, GrdnetSection)
    # Read first: a wrong file should not cost a pass over the data.
    roi = read_roi(section.roi, regions, training.patch_size)
    found = fit_expectation(section.components, training, regions, progress)
    return Fitted(arrays={**found.arrays, "roi": roi}, figures=found.figures)


def _textures(training: PatchSource, regions: int) -> Patches:
    """Return patches of each region, (R,k,P,P), evenly from the data."""
    chosen = even_groups(len(training), regions, _TEXTURES).T
    expect(training, chosen.ravel())
    size = training.patch_size
    return training.read(chosen.ravel()).reshape(*chosen.shape, size, size)


def _scores(config: Config, patch_size: int) -> Sequence[Component]:
    del config
    return (
        scores.map_of(ANOMALY, smoothing=_SMOOTHING),
        # What is usual at a location, the network has seen.
        *scores.of_reconstruction(patch_size, local=False),
        scores.map_of(LATENT),
        scores.map_of(DISTANCE),
    )


METHOD = Method(
    fit=_fit,
    steps=GrdnetTraining,
    examples=DrawnExamples,
    network=TrainedNetwork,
    completed=complete,
    outputs={RECONSTRUCTION: RECONSTRUCTION, ANOMALY: MAP, LATENT: MAP, DISTANCE: MAP},
    scores=_scores,
)
