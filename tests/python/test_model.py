"""Shapes, widths and operations of the networks."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from vialsight.models.drae.network import (
    NetworkOptions,
    build_generator,
    build_networks,
    deployed_part,
)
from vialsight.models.drae.section import Preset
from vialsight.models.drae.topology import TOPOLOGIES
from vialsight.models.layers import (
    DepthToSpace,
    FusedBatchNormalization,
    NearestUpsampling,
    SpaceToDepth,
)

pytestmark = pytest.mark.tensorflow


def test_widths_double_up_to_the_preset() -> None:
    assert NetworkOptions(patch_size=256, preset="drae-64").topology.widths == (8, 16, 32, 64)
    assert NetworkOptions(patch_size=256, preset="drae-1024").topology.widths == (
        *(128, 256, 512, 1024),
    )
    assert NetworkOptions(patch_size=256, preset="drae-1024").code_shape == (16, 16, 1024)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch_size": 40}, "positive multiple of 16; got 40"),
        ({"patch_size": 0}, "positive multiple of 16; got 0"),
        ({"patch_size": 48, "preset": "line-S"}, "of line-S must be.*multiple of 32; got 48"),
        ({"patch_size": 32, "preset": "drae-65"}, "drae-64.*got 'drae-65'"),
        ({"patch_size": 32, "activation": "gelu"}, "relu or leaky_relu; got 'gelu'"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkOptions(**wrong)  # type: ignore[arg-type]


CODES = {"drae-16": (2, 2, 16), "line-S": (1, 1, 96), "line-M": (1, 1, 96)}


@pytest.fixture(scope="module", params=CODES)
def preset(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def networks(preset: str) -> object:
    return build_networks(NetworkOptions(patch_size=32, preset=preset))


def test_shapes_and_ranges(networks: object, preset: str) -> None:
    x = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    reconstruction, z = networks.generator(x, training=False)
    assert reconstruction.shape == (3, 32, 32, 1)
    assert z.shape == (3, 64)
    assert float(reconstruction.numpy().min()) >= 0
    assert float(reconstruction.numpy().max()) <= 1
    assert networks.encoder(x, training=False).shape == (3, 64)
    logit, features = networks.discriminator(x, training=False)
    assert logit.shape == (3, 1)
    assert features.shape == (3, *CODES[preset])
    assert deployed_part(networks.generator)(x)["reconstruction"].shape == x.shape


def test_second_encoder_has_its_own_weights(networks: object) -> None:
    generator = {id(v) for v in networks.generator.variables}
    assert not generator & {id(v) for v in networks.encoder.variables}
    assert not generator & {id(v) for v in networks.discriminator.variables}


def test_no_pointwise_convolution_has_a_stride(networks: object) -> None:
    """Its gradient crashes the process on AVX-512 CPUs."""
    for model in (networks.generator, networks.encoder, networks.discriminator):
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1):
                assert layer.strides == (1, 1)


def test_every_3x3_convolution_is_pre_activated(networks: object) -> None:
    for layer in networks.generator.layers:
        if getattr(layer, "kernel_size", None) == (3, 3):
            if isinstance(layer.input._keras_history.operation, SpaceToDepth):
                continue  # the folded image itself
            activation = layer.input._keras_history.operation
            assert isinstance(activation, keras.layers.ReLU)
            assert isinstance(
                activation.input._keras_history.operation, keras.layers.BatchNormalization
            )


@pytest.mark.parametrize(
    ("preset", "gigaflop"),
    [("drae-64", 3.1), ("drae-128", 12.5), ("drae-256", 50), ("line-S", 0.69), ("line-M", 1.55)],
)
def test_forward_cost_is_the_specified_one(preset: str, gigaflop: float) -> None:
    generator = build_generator(NetworkOptions(patch_size=256, preset=preset))
    cost = sum(convolution_flop(layer) for layer in generator.layers) / 1e9
    assert cost == pytest.approx(gigaflop, rel=0.05)


def convolution_flop(layer: object) -> float:
    """Two per multiply-add; a transposed convolution multiplies once per input pixel."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        _, height, width, _ = layer.input.shape
    elif isinstance(layer, keras.layers.Conv2D):
        _, height, width, _ = layer.output.shape
    else:
        return 0.0
    return 2.0 * height * width * float(np.prod(layer.kernel.shape))


def test_leaky_relu_has_slope_one_fifth() -> None:
    options = NetworkOptions(patch_size=16, preset="drae-16", activation="leaky_relu")
    slopes = [
        float(layer.negative_slope)
        for layer in build_generator(options).layers
        if isinstance(layer, keras.layers.LeakyReLU)
    ]
    assert slopes
    assert slopes == pytest.approx([0.2] * len(slopes))


@pytest.mark.parametrize("preset", [name for name in TOPOLOGIES if name.startswith("drae-")])
def test_paper_presets_are_named_after_their_last_width(preset: str) -> None:
    assert TOPOLOGIES[preset].widths[-1] == int(preset[5:])


def test_the_configuration_offers_every_preset() -> None:
    assert typing.get_args(Preset) == tuple(TOPOLOGIES)


@pytest.mark.parametrize("preset", ["line-S", "line-M"])
def test_line_presets_fill_vectors_with_channels(preset: str) -> None:
    generator = build_generator(NetworkOptions(patch_size=64, preset=preset))
    kernels = [layer for layer in generator.layers if hasattr(layer, "kernel_size")]
    assert len(kernels) > 20
    assert all(layer.output.shape[-1] % 16 == 0 for layer in kernels)


def test_fused_batch_norm_equals_keras() -> None:
    random = np.random.default_rng(2)
    x = random.normal(2, 3, (4, 5, 5, 6)).astype(np.float32)
    ours, theirs = (
        FusedBatchNormalization(momentum=0.9),
        keras.layers.BatchNormalization(momentum=0.9),
    )
    ours.build(x.shape)
    theirs.build(x.shape)
    for layer in (ours, theirs):
        layer.gamma.assign(np.linspace(0.5, 2, 6))
        layer.beta.assign(np.linspace(-1, 1, 6))
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-5)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-5)
    # The fused kernel averages the unbiased variance: 100 values per channel.
    unbiased = 0.9 + 0.1 * x.var(axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(ours.moving_variance, unbiased, rtol=1e-4)
    theirs.moving_variance.assign(ours.moving_variance)
    np.testing.assert_allclose(ours(x, training=False), theirs(x, training=False), atol=1e-5)


def test_nearest_upsampling_repeats_pixels() -> None:
    x = np.random.default_rng(3).random((2, 3, 4, 5), np.float32)
    expected = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(NearestUpsampling()(x), expected)


def test_folding_is_tensorflows_space_to_depth() -> None:
    x = np.random.default_rng(4).random((2, 8, 12, 3), np.float32)
    folded = SpaceToDepth(4)(x)
    np.testing.assert_array_equal(folded, tf.nn.space_to_depth(x, 4))
    np.testing.assert_array_equal(DepthToSpace(4)(folded), x)
    y = np.random.default_rng(5).random((2, 3, 5, 32), np.float32)
    np.testing.assert_array_equal(DepthToSpace(4)(y), tf.nn.depth_to_space(y, 4))
