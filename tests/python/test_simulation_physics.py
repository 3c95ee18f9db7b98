"""Shapes, liquids and optics of the simulated line against formulas and other libraries."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from vialsight.simulation.motion import (
    HALF_WIDTH,
    frame_times,
    gravity_angle,
    liquid_states,
    rise_speed,
    surface_shape,
)
from vialsight.simulation.optics import brightness, digitise, gradient, shear
from vialsight.simulation.plan import VIALS, plan_set
from vialsight.simulation.plastic import mould
from vialsight.simulation.product import (
    EXPONENT,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    PITCH,
    PIXELS_PER_MM,
    bfs_layout,
    outer_profile,
    vial_columns,
)
from vialsight.simulation.rendering import liquid_volumes
from vialsight.simulation.traits import FREE, STUCK, run_traits, strip_traits

STRIP = plan_set("train", strips=3, seed=11).strips[0]


def test_layout_boxes_are_copied_and_hold_the_vials():
    layout = bfs_layout(locate="none")
    assert (layout.vials, len(layout.regions), layout.frames) == (5, 4, 3)
    for vial in range(layout.vials):
        for region in range(4):
            x, y, width, height = layout.box(vial, region)
            assert (width, height) == (256, 256)
            assert x >= 0
            assert y >= 0
            assert x + width <= FRAME_WIDTH
            assert y + height <= FRAME_HEIGHT


def test_chord_solves_the_superellipse():
    profile = outer_profile()
    chord = profile.chord(vial_columns())
    row, column = 800, PITCH // 2 + 60
    u = float(vial_columns()[column])
    z = chord[row, column] / 2
    on_surface = (u / profile.right[row]) ** EXPONENT + (z / profile.depth[row]) ** EXPONENT
    assert on_surface == pytest.approx(1.0, abs=1e-4)


def test_cavity_lies_inside_the_plastic():
    outer = outer_profile().chord(vial_columns())
    plastic = mould(STRIP, 0, strip_traits(STRIP)[0])
    wall = outer - plastic.cavity
    assert wall[plastic.cavity > 0].min() > 2.0
    # Room for ten millilitres and the air above them.
    volume_ml = plastic.cavity.sum(dtype=np.float64) / PIXELS_PER_MM**3 / 1000
    assert 12.0 < volume_ml < 18.0


def test_liquid_is_conserved_over_a_swing():
    volumes = liquid_volumes(STRIP, 1)
    assert volumes.shape == (16, VIALS)
    assert np.abs(volumes / volumes[0] - 1.0).max() < 1e-3
    millilitres = volumes / PIXELS_PER_MM**3 / 1000
    np.testing.assert_allclose(millilitres, 10.0, atol=0.8)


def test_surface_shape_holds_no_volume():
    u = np.linspace(-HALF_WIDTH, HALF_WIDTH, 20001)
    assert surface_shape(u, 20.0, 0.0).mean() == pytest.approx(0.0, abs=1e-3)
    assert surface_shape(u, 0.0, 20.0).mean() == pytest.approx(0.0, abs=1e-2)


def test_gravity_in_a_slow_swing_is_the_strips_tilt():
    traits = replace(run_traits(STRIP, 1), swing_s=60.0)
    times = np.linspace(0.0, 60.0, 7)
    expected = traits.swing_rad * np.cos(np.pi * times / 60.0)
    np.testing.assert_allclose(gravity_angle(traits, times), expected, atol=2e-3)


def test_surface_in_a_slow_swing_lies_across_gravity(monkeypatch):
    monkeypatch.setattr("vialsight.simulation.motion._STEP_S", 1e-3)
    slow = replace(run_traits(STRIP, 1), swing_s=4.0)
    states = liquid_states(STRIP, 1, slow)
    # After some seconds the sloshing of the start has died away.
    for frame in (12, 15):
        angle = gravity_angle(slow, frame_times(slow))[frame]
        u = np.linspace(-HALF_WIDTH, HALF_WIDTH, 2001)
        mode = np.sin(np.pi * u / (2 * HALF_WIDTH))
        flat_surface = -np.tan(angle) * u
        expected = (flat_surface @ mode) / (mode @ mode)
        assert states[frame][0].mode_1 == pytest.approx(expected, rel=0.05)


def test_sloshing_has_the_natural_frequency_of_the_first_mode():
    still = replace(run_traits(STRIP, 1), swing_rad=0.0, swing_s=0.6)
    start = (10.0, 0.0, 0.0, 0.0)
    vials = tuple(replace(vial, slosh=start) for vial in still.vials)
    states = liquid_states(STRIP, 1, replace(still, vials=vials))
    amplitude = np.array([row[0].mode_1 for row in states])
    times = frame_times(still)
    # ω² = g k tanh(k h) with k = π/2w (Lamb §257), and damping ζ = 0.11.
    wave = np.pi / (2 * HALF_WIDTH / PIXELS_PER_MM)
    omega = np.sqrt(9810.0 * wave * np.tanh(wave * 410.0 / PIXELS_PER_MM))
    damped = omega * np.sqrt(1 - 0.11**2)
    elapsed = times + 0.10
    expected = np.exp(-0.11 * omega * elapsed) * (
        np.cos(damped * elapsed) + 0.11 / np.sqrt(1 - 0.11**2) * np.sin(damped * elapsed)
    )
    np.testing.assert_allclose(amplitude, 10.0 * expected, atol=0.3)


def test_small_bubbles_rise_as_stokes_says_and_large_ones_slower():
    radius_mm = np.array([0.02, 0.8])
    stokes_mm_s = 2 / 9 * 9810.0 * radius_mm**2 / 1.1
    speed_mm_s = rise_speed(radius_mm * PIXELS_PER_MM) / PIXELS_PER_MM
    assert speed_mm_s[0] == pytest.approx(stokes_mm_s[0], rel=0.01)
    assert speed_mm_s[1] < 200.0 < stokes_mm_s[1]


def test_bubbles_move_and_stuck_ones_stay():
    moved = {FREE: 0, STUCK: 0}
    for run in range(1, 4):
        traits = run_traits(STRIP, run)
        states = liquid_states(STRIP, run, traits)
        for vial in range(VIALS):
            kind = traits.vials[vial].bubbles.kind
            first, later = states[0][vial].bubbles, states[4][vial].bubbles
            way = np.hypot(later.u - first.u, later.y - first.y)
            assert (way[kind == STUCK] == 0.0).all()
            assert (way[kind == FREE] > 0.5).all()
            for number in moved:
                moved[number] += int((kind == number).sum())
    assert min(moved.values()) > 5


def test_floating_bubbles_ride_on_the_surface():
    states = liquid_states(STRIP, 2, run_traits(STRIP, 2))
    for frame in (0, 7, 15):
        for state in states[frame]:
            floating = state.bubbles.floating
            above = state.surface(state.bubbles.u) - state.bubbles.y
            assert (np.abs(above[floating]) <= state.bubbles.radius[floating]).all()


def test_droplets_never_climb_and_small_ones_cling():
    states = liquid_states(STRIP, 3, run_traits(STRIP, 3))
    for vial in range(VIALS):
        first, last = states[0][vial].droplets, states[15][vial].droplets
        assert (last.y >= first.y).all()
        clinging = first.radius < 10.0
        assert (last.y[clinging] == first.y[clinging]).all()


def test_gradient_is_the_central_difference():
    field = np.random.default_rng(0).random((9, 12), dtype=np.float32)
    across, down = gradient(field)
    expected_down, expected_across = np.gradient(field)
    np.testing.assert_allclose(across[:, 1:-1], expected_across[:, 1:-1], atol=1e-6)
    np.testing.assert_allclose(down[1:-1], expected_down[1:-1], atol=1e-6)


def test_straight_rays_are_bright_and_bent_ones_dark():
    angles = np.array([[0.0, 0.42, 1.5]], np.float32)
    seen = brightness(angles, np.zeros_like(angles))[0]
    np.testing.assert_allclose(seen[:2], [1.0, (1.0 + 0.06) / 2], atol=1e-6)
    assert seen[2] < 0.07


def test_two_shears_turn_and_move_as_an_affine_resampling_does():
    rows, columns = np.indices((FRAME_HEIGHT, FRAME_WIDTH), np.float32)
    image = (np.sin(rows / 40.0) + np.cos(columns / 35.0)).astype(np.float32)
    turn, right, down = 0.0035, 2.3, -1.6
    y, x = np.arange(FRAME_HEIGHT) - FRAME_HEIGHT / 2, np.arange(FRAME_WIDTH) - FRAME_WIDTH / 2
    ours = shear(shear(image, right + turn * y, 0.0).T, down - turn * x, 0.0).T
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    center = np.array([FRAME_HEIGHT / 2, FRAME_WIDTH / 2])
    start = center - matrix @ (center + np.array([down, right]))
    expected = affine_transform(image, matrix, start, order=1)
    inside = (slice(20, -20), slice(20, -20))
    np.testing.assert_allclose(ours[inside], expected[inside], atol=2e-3)


def test_noise_is_shot_and_read_noise():
    picture = np.full((400, 400), 200.0, np.float32)
    grey = digitise(picture, np.random.default_rng(1)).astype(np.float64)
    assert grey.mean() == pytest.approx(200.0, abs=0.05)
    # Shot noise of 20,000 electrons at 255, read noise 0.45, rounding 1/12.
    expected = 200.0 * 255 / 20000 + 0.45**2 + 1 / 12
    assert grey.var() == pytest.approx(expected, rel=0.03)
