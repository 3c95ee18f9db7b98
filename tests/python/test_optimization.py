"""Schedule, Adam and loss scale against values worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vialsight.config import OptimizerConfig, ScheduleConfig
from vialsight.models.optimization import (
    GROWTH_INTERVAL,
    INITIAL_LOSS_SCALE,
    Adam,
    CycleAverage,
    LossScale,
    all_finite,
    cycle_share,
    learning_rate,
)

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.9),
        (25, 0.9 * (1 + math.cos(math.pi / 4)) / 2),
        (50, 0.45),
        (100, 0.3),
        (150, 0.15),
        (200, 0.1),
        (399, 0.9 / 27 * (1 + math.cos(math.pi * 0.99)) / 2),
    ],
)
def test_schedule_in_steps(step: int, expected: float) -> None:
    schedule = ScheduleConfig(restart_period=100, restart_unit="steps")
    assert learning_rate(step, 0.9, schedule, steps_per_epoch=7) == pytest.approx(expected)


def test_default_period_is_one_epoch() -> None:
    rates = [learning_rate(s, 0.9, ScheduleConfig(), steps_per_epoch=40) for s in (0, 20, 40, 60)]
    assert rates == pytest.approx([0.9, 0.45, 0.3, 0.15])


def test_warmup_rises_linearly() -> None:
    schedule = ScheduleConfig(restart_period=1e9, restart_unit="steps", warmup_steps=4)
    rates = [learning_rate(step, 1.0, schedule, steps_per_epoch=1) for step in range(5)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_cycles_end_where_the_rate_is_least() -> None:
    schedule = ScheduleConfig(restart_period=3, restart_unit="steps")
    shares = [cycle_share(step, schedule, steps_per_epoch=7) for step in range(10)]
    assert shares == pytest.approx([0, 0, 1, 0, 0, 1 / 2, 0, 0, 1 / 3, 0])
    # Of an epoch of 4 steps and one of 2.5: the last step that begins within the cycle.
    assert cycle_share(3, ScheduleConfig(), steps_per_epoch=4) == 1.0
    broken = ScheduleConfig(restart_period=2.5, restart_unit="steps")
    shares = [cycle_share(step, broken, steps_per_epoch=1) for step in range(5)]
    assert shares == pytest.approx([0, 0, 1, 0, 1 / 2])


def test_weights_are_averaged_over_the_ends_of_cycles() -> None:
    variable = tf.Variable([[1.0, 2.0]])
    average = CycleAverage([variable])
    take = tf.function(average.take)
    for value, share in ((3.0, 0.0), (4.0, 1.0), (9.0, 0.0), (7.0, 0.5), (1.0, 1 / 3)):
        variable.assign([[value, 2.0 * value]])
        take(tf.constant(share))
    assert set(average.state) == {"average/ended", "average/0000"}
    np.testing.assert_allclose(average.state["average/0000"], [[4.0, 8.0]], rtol=1e-6)
    assert float(average.state["average/ended"]) == pytest.approx(3.0)


def test_adam_by_hand() -> None:
    options = OptimizerConfig(beta_1=0.9, beta_2=0.99, epsilon=1e-7)
    variable = tf.Variable([1.0, -2.0])
    adam = Adam([variable], options)
    x, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for count, g in enumerate([np.array([0.5, -1.0]), np.array([0.1, 3.0])], start=1):
        adam.apply([tf.constant(g, tf.float32)], learning_rate=tf.constant(0.1), count=count)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        rate = 0.1 * math.sqrt(1 - 0.99**count) / (1 - 0.9**count)
        x = x - rate * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(variable.numpy(), x, rtol=1e-5)
    np.testing.assert_allclose(np.stack([s.numpy() for s in adam.slots]), [m, v], rtol=1e-5)


def test_loss_scale_halves_on_overflow_and_grows_after_a_calm_while() -> None:
    scale = LossScale()
    scale.update(tf.constant(False))
    assert float(scale.scale) == INITIAL_LOSS_SCALE / 2
    scale.calm_steps.assign(GROWTH_INTERVAL - 1.0)
    scale.update(tf.constant(True))
    assert float(scale.scale) == INITIAL_LOSS_SCALE
    assert float(scale.calm_steps) == 0.0


def test_all_finite_sees_one_bad_value() -> None:
    good, bad = tf.constant([1.0, 2.0]), tf.constant([1.0, math.inf])
    assert bool(all_finite([good, good]))
    assert not bool(all_finite([good, bad]))
    assert not bool(all_finite([tf.constant([math.nan]), good]))
