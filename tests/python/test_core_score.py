"""Every component of a score against scikit-image, SciPy and NumPy in float64 (SPEC §5.2)."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

import vialsight
from vialsight.errors import BundleError

Array = np.ndarray
SSIM = {
    "window": "gaussian",
    "window_size": 11,
    "sigma": 1.5,
    "padding": "valid",
    "covariance": "population",
    "k1": 0.01,
    "k2": 0.03,
    "dynamic_range": 1.0,
}
MSGMS = {"c": 0.0026, "scales": 4, "window_size": 21}
POOLINGS = ["max", {"top": 1.0}, {"top": 0.05}, {"top": 1e-9}]
SMOOTHINGS = [0.0, 0.6, 1.5, 4.0]


def _images(edge: int = 64, count: int = 2, seed: int = 1) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(generator.random((count, edge, edge)), (0, 1, 1))
    y = np.clip(x + generator.normal(0, 0.05, x.shape), 0, 1)
    return x.astype(np.float32), y.astype(np.float32)


def _component(kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": fields.pop("name", kind), "component": kind, **fields}


def _filtered(kind: str, smoothing: float, pooling: Any, **fields: Any) -> dict[str, Any]:
    per_location = fields.pop("per_location", False)
    filtering = {"smoothing": smoothing, "pooling": pooling, "per_location": per_location}
    return _component(kind, **filtering, **fields)


def _single(component: dict[str, Any]) -> dict[str, Any]:
    return {
        "components": [component],
        "decide": [component["name"]],
        "combine": None,
        "normalisation": None,
    }


def _combined(
    components: list[dict[str, Any]], combine: str, normalisation: Any = None
) -> dict[str, Any]:
    names = [component["name"] for component in components]
    return {
        "components": components,
        "decide": names,
        "combine": combine,
        "normalisation": normalisation,
    }


def _smooth(d: Array, sigma: float) -> Array:
    return ndimage.gaussian_filter(d, sigma, mode="reflect", truncate=4.0) if sigma else d


def _pool(d: Array, pooling: Any) -> float:
    if pooling == "max":
        return float(d.max())
    count = math.ceil(pooling["top"] * d.size)
    return float(np.sort(d, axis=None)[-count:].mean())


def _ssim_map(x: Array, y: Array) -> Array:
    """1 - SSIM at every pixel, borders replicated."""
    _, full = structural_similarity(
        x.astype(np.float64),
        y.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    return np.pad(1 - full[5:-5, 5:-5], 5, mode="edge")


def _residual(x: Array, y: Array) -> Array:
    return np.abs(x.astype(np.float64) - y.astype(np.float64))


def _resize(d: Array, height: int, width: int) -> Array:
    """Bilinear, half-pixel centres."""

    def matrix(of: int, to: int) -> Array:
        position = np.clip((np.arange(to) + 0.5) * of / to - 0.5, 0, of - 1)
        return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(of)))

    return matrix(d.shape[0], height) @ d @ matrix(d.shape[1], width).T


def _gms(x: Array, y: Array) -> Array:
    prewitt = np.array([[1, 0, -1]] * 3) / 3

    def magnitude(image: Array) -> Array:
        gradients = [ndimage.correlate(image, h, mode="reflect") for h in (prewitt, prewitt.T)]
        return np.hypot(*gradients)

    g, h = magnitude(x), magnitude(y)
    return (2 * g * h + 0.0026) / (g**2 + h**2 + 0.0026)


def _msgms(x: Array, y: Array) -> Array:
    fine = (x.astype(np.float64), y.astype(np.float64))
    squares, scales = (fine[0] - fine[1]) ** 2, []
    for scale in range(4):
        scales.append(_resize(_gms(*fine), *x.shape))
        if scale == 3:
            break
        half = fine[0].shape[0] // 2
        fine = tuple(image.reshape(half, 2, half, 2).mean(axis=(1, 3)) for image in fine)
    return sum(
        ndimage.uniform_filter(d, 21, mode="reflect")
        for d in (1 - np.mean(scales, axis=0), squares)
    )


def _assert_equal(
    result: tuple[Array, Array],
    numbers: list[float],
    maps: list[Array],
    amplified: tuple[float, float] = (1.0, 1.0),
) -> None:
    """1e-7 relative to max(1, |value|), and what float32 rounds off; of what is divided, more."""
    both = zip(result, (np.array(numbers), np.array(maps)), amplified, strict=True)
    for ours, oracle, factor in both:
        assert ours.dtype == np.float32
        assert ours.shape == oracle.shape
        error = np.abs(ours - oracle)
        rounding = np.spacing(np.abs(oracle).astype(np.float32)).astype(np.float64)
        allowed = factor * (1e-7 * np.maximum(1, np.abs(oracle)) + rounding / 2)
        assert (error <= allowed).all(), error.max()


def _score(definition: dict[str, Any], x: Array, y: Array, **kwargs: Any) -> tuple[Array, Array]:
    return vialsight.score(x, {"reconstruction": y}, definition, **kwargs)


def test_ssim_is_the_papers_score_to_the_last_bit() -> None:
    x, y = _images()
    numbers, maps = _score(_single(_component("ssim", **SSIM, reduction="mean")), x, y)
    np.testing.assert_allclose(numbers, 1.0 - vialsight.ssim(x, y).astype(np.float64), atol=6e-8)
    _assert_equal(
        (numbers, maps),
        [float(_ssim_map(a, b)[5:-5, 5:-5].mean()) for a, b in zip(x, y, strict=True)],
        [_residual(a, b) for a, b in zip(x, y, strict=True)],
    )


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize(
    ("kind", "constants", "oracle"),
    [("ssim_local", SSIM, _ssim_map), ("residual", {}, _residual)],
)
def test_filtered_maps(
    kind: str, constants: dict[str, Any], oracle: Any, smoothing: float, pooling: Any
) -> None:
    x, y = _images()
    definition = _single(_filtered(kind, smoothing, pooling, **constants))
    maps = [_smooth(oracle(a, b), smoothing) for a, b in zip(x, y, strict=True)]
    _assert_equal(_score(definition, x, y), [_pool(d, pooling) for d in maps], maps)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (28, 20), (100, 90)])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_maps_of_any_size(shape: tuple[int, int], smoothing: float, pooling: Any) -> None:
    x, _ = _images(16)
    heat = np.random.default_rng(2).normal(0, 3, (2, *shape)).astype(np.float32)
    definition = _single(_filtered("map", smoothing, pooling, output="heat"))
    maps = [_smooth(d.astype(np.float64), smoothing) for d in heat]
    result = vialsight.score(x, {"heat": heat}, definition)
    _assert_equal(result, [_pool(d, pooling) for d in maps], maps)


@pytest.mark.parametrize("edge", [8, 16, 40, 64, 256])
def test_msgms(edge: int) -> None:
    x, y = _images(edge)
    maps = [_msgms(a, b) for a, b in zip(x, y, strict=True)]
    result = _score(_single(_component("msgms", **MSGMS)), x, y)
    _assert_equal(result, [float(d.max()) for d in maps], maps)


@pytest.mark.parametrize("edge", [11, 12, 75, 139])
def test_ssim_local_of_any_size(edge: int) -> None:
    x, y = _images(edge)
    maps = [_smooth(_ssim_map(a, b), 1.0) for a, b in zip(x, y, strict=True)]
    result = _score(_single(_filtered("ssim_local", 1.0, "max", **SSIM)), x, y)
    _assert_equal(result, [float(d.max()) for d in maps], maps)


@pytest.mark.parametrize(
    ("kind", "constants", "oracle"),
    [("ssim_local", SSIM, _ssim_map), ("residual", {}, _residual)],
)
def test_each_location_is_measured_in_its_own_spread(
    kind: str, constants: dict[str, Any], oracle: Any
) -> None:
    x, y = _images()
    generator = np.random.default_rng(3)
    mean, spread = generator.random((2, 64, 64), dtype=np.float32)
    spread[::7] = 0.0
    definition = _single(_filtered(kind, 1.5, "max", per_location=True, **constants))
    deviation = np.maximum(spread.astype(np.float64), 1e-3)
    maps = [_smooth((oracle(a, b) - mean) / deviation, 1.5) for a, b in zip(x, y, strict=True)]
    result = _score(definition, x, y, locations={kind: np.stack([mean, spread])})
    _assert_equal(result, [float(d.max()) for d in maps], maps)


@pytest.mark.parametrize("combine", ["largest", "sum"])
def test_combination(combine: str) -> None:
    x, y = _images()
    heat = np.random.default_rng(4).normal(0, 1, (2, 10, 14)).astype(np.float32)
    components = [
        _component("ssim", **SSIM, reduction="mean"),
        _component("msgms", **MSGMS),
        _filtered("map", 1.0, {"top": 0.1}, output="heat"),
    ]
    offset, scale, map_scale = [0.02, 0.03, 0.9], [0.2, 0.1, 0.7], [0.5, 0.25, 2.0]
    normalisation = [
        {
            "component": component["name"],
            "offset": [9.0, offset[k]],
            "scale": [9.0, scale[k]],
            "map_scale": [9.0, map_scale[k]],
        }
        for k, component in enumerate(components)
    ]
    numbers, maps = [], []
    for a, b, h in zip(x, y, heat, strict=True):
        own = [_residual(a, b), _msgms(a, b), _smooth(h.astype(np.float64), 1.0)]
        s = [
            float(_ssim_map(a, b)[5:-5, 5:-5].mean()),
            float(own[1].max()),
            _pool(own[2], {"top": 0.1}),
        ]
        u = (np.array(s) - offset) / scale
        shown = np.stack([_resize(d, 64, 64) / m for d, m in zip(own, map_scale, strict=True)])
        largest = combine == "largest"
        numbers.append(float(u.max() if largest else np.maximum(0, u).sum()))
        maps.append(shown.max(axis=0) if largest else np.maximum(0, shown).sum(axis=0))
    definition = _combined(components, combine, normalisation)
    result = vialsight.score(x, {"reconstruction": y, "heat": heat}, definition, region=1)
    # φ is made of components as they are reported, in float32.
    _assert_equal(result, numbers, maps, (1 / min(scale), 1 / min(map_scale)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_nan(bad: float) -> None:
    x, y = _images()
    y[1, 5, 7] = bad
    numbers, _ = _score(_single(_component("msgms", **MSGMS)), x, y)
    assert np.isfinite(numbers[0])
    assert np.isnan(numbers[1])


def test_no_patches_give_no_numbers() -> None:
    x = np.zeros((0, 16, 16), np.float32)
    numbers, maps = _score(_single(_filtered("residual", 0.0, "max")), x, x)
    assert numbers.shape == (0,)
    assert maps.shape == (0, 16, 16)


def test_a_field_that_is_wrong_is_named() -> None:
    x, y = _images()
    definition = _single(_component("msgms", **{**MSGMS, "c": 1.0}))
    with pytest.raises(BundleError, match=r"components\[0\]\.c: expected 0\.0026, got 1\.0"):
        _score(definition, x, y)


def test_a_region_beyond_the_normalisation_is_refused() -> None:
    x, y = _images()
    components = [_filtered("residual", 0.0, "max", name=name) for name in ("a", "b")]
    normalisation = [
        {"component": name, "offset": [0.0] * 2, "scale": [1.0] * 2, "map_scale": [1.0] * 2}
        for name in ("a", "b")
    ]
    with pytest.raises(ValueError, match="regions: expected numbers below 2, got 2"):
        _score(_combined(components, "sum", normalisation), x, y, region=2)


RESIDUAL = _single(_filtered("residual", 0.0, "max"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda y: y.astype(np.float64),
            TypeError,
            "expected float32, got float64",
        ),
        (lambda y: y[0], ValueError, "expected 3 axes"),
        (lambda y: y.transpose(0, 2, 1), ValueError, "expected C-contiguous memory"),
        (lambda y: y[:1], ValueError, r"expected one of 64x64 per patch \(2\)"),
        (
            lambda y: y[:, :-1].copy(),
            ValueError,
            "a reconstruction of the patch's size 64",
        ),
        (lambda y: y.tolist(), TypeError, "expected a float32 array, got <class 'list'>"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    change: Any, error: type[Exception], message: str
) -> None:
    x, y = _images()
    with pytest.raises(error, match=message):
        _score(RESIDUAL, x, change(y))


def test_patches_that_are_not_square_are_refused() -> None:
    x, y = _images()
    with pytest.raises(ValueError, match="expected square patches"):
        _score(RESIDUAL, x[:, :-1].copy(), y)


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64)])
def test_locations_without_mean_and_spread_are_refused(shape: tuple[int, ...]) -> None:
    x, y = _images()
    definition = _single(_filtered("residual", 0.0, "max", per_location=True))
    with pytest.raises(ValueError, match=r"locations\['residual'\]: expected"):
        _score(definition, x, y, locations={"residual": np.zeros(shape, np.float32)})
