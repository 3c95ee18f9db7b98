"""What the benchmark of training counts and how it names parts."""

import runpy
from pathlib import Path

import pytest
import tensorflow as tf

pytestmark = pytest.mark.tensorflow

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark_training.py"


@pytest.fixture(scope="module")
def tool() -> dict[str, object]:
    return runpy.run_path(str(TOOL))


@pytest.mark.parametrize(
    ("path", "operation", "part"),
    [
        ("discriminator_1/conv2d_3_1/convolution", "_MklNativeConv2D", "discriminator forward"),
        ("gradient_tape/generator_1/x/ReluGrad", "ReluGrad", "generator backward"),
        ("gradient_tape/encoder_1/x/Grad", "_MklNativeFusedBatchNormGradV3", "encoder backward"),
        ("ResourceApplyAdam_7", "ResourceApplyAdam", "outside"),
        ("MatMul", "_MklMatMul", "outside"),
    ],
)
def test_operations_belong_to_networks_and_kinds(
    tool: dict[str, object], path: str, operation: str, part: str
) -> None:
    kinds = {
        "_MklNativeConv2D": "convolutions",
        "ReluGrad": "activations",
        "_MklNativeFusedBatchNormGradV3": "batch norm",
        "ResourceApplyAdam": "optimizers",
        "_MklMatMul": "others",
    }
    assert tool["part_of"](path, operation) == f"{part}: {kinds[operation]}"


def test_only_what_counts_is_counted(tool: dict[str, object]) -> None:
    kernel = tf.Variable(tf.zeros((3, 3, 4, 8)))

    @tf.function(input_signature=[tf.TensorSpec((2, 16, 16, 4))])
    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.conv2d(x, kernel, 2, "SAME")
            tf.nn.conv2d(x, kernel, 1, "SAME")  # of no use to anything
        return tape.gradient(y, kernel)

    graph = step.get_concrete_function().graph
    counted = sum(map(tool["convolution_flop"], tool["needed"](graph)))
    # The gradient of the kernel alone: y itself is not needed, its 2x8x8 places are.
    assert counted == 2 * (2 * 8 * 8) * (3 * 3 * 4 * 8)
