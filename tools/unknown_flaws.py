"""Flaws that blow-fill-seal lines have and the simulator's 17 kinds leave out.

Each maker draws one vial's flaw from a severity (0.3: an attentive eye finds it, 1: gross) as the
makers of `vialsight.simulation.flaws` do. None of them follows what a training draws as anomalies.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from vialsight.simulation.flaws import Flaw
from vialsight.simulation.plastic import flag_distance
from vialsight.simulation.product import (
    FLAG,
    FRAME_HEIGHT,
    PITCH,
    Float,
    outer_profile,
    vial_columns,
)
from vialsight.simulation.shapes import along, bell, fibre, no_rows, nowhere, row_numbers, scale

Random = np.random.Generator

# A film of liquid or grease bends light less than as much plastic.
_LIQUID_AS_PLASTIC = 0.335 / 0.51
# Of the tag that joins two flags; the row where its lower edge is.
_BRIDGE_BOTTOM = 249.0


def fingerprint(severity: float, random: Random) -> Flaw:
    """A greasy finger: ridges in loops, parted by what did not touch."""
    across, down = _about(random.uniform(-45, 45), random.uniform(580, 960), random.normal(0, 0.4))
    wide, high = random.uniform(52, 70), random.uniform(72, 100)
    print_ = 1.0 - np.hypot(across / wide, down / high)
    loops = np.hypot(across, 0.62 * (down + 0.35 * high)) + 5.0 * _clouds(random, 22.0)
    ridges = (0.5 + 0.8 * np.sin(2 * np.pi * loops / random.uniform(5.2, 7.0))).clip(0.0, 1.0)
    touched = (print_ / 0.18).clip(0.0, 1.0) * (0.75 + 0.5 * _clouds(random, 14.0)).clip(0.0, 1.0)
    grease = touched * (0.25 + 0.75 * ridges)
    return Flaw(
        haze=_map(scale(severity, 0.12, 0.7) * grease),
        relief=_map(scale(severity, 0.15, 0.9) * grease),
    )


def outer_droplets(severity: float, random: Random) -> Flaw:
    """Droplets of spilt liquid that stand in a row on the outside."""
    count = round(scale(severity, 3.0, 9.0))
    size = scale(severity, 3.6, 10.0)
    u, y = random.uniform(-60, 60), random.uniform(640, 940)
    heading = random.choice([0.0, np.pi / 2]) + random.normal(0.0, 0.15)
    relief = nowhere()
    for step in np.arange(count) - (count - 1) / 2:
        radius = size * np.exp(random.normal(0.0, 0.25))
        way = 2.8 * size * step
        at = (u + way * np.cos(heading)).clip(-88, 88), y + way * np.sin(heading)
        across, down = _about(*(at + random.normal(0.0, 1.5, 2)), 0.0)
        squared = (across**2 + (down / random.uniform(1.0, 1.35)) ** 2) / radius**2
        relief = np.maximum(relief, 0.8 * radius * np.sqrt((1.0 - squared).clip(0.0)))
    return Flaw(relief=_map(_LIQUID_AS_PLASTIC * relief))


def crack(severity: float, random: Random) -> Flaw:
    """A jagged crack through the wall with side branches: total reflection, whitened lips."""
    length = scale(severity, 24.0, 150.0)
    heading = random.uniform(0, np.pi)
    root = np.array([random.uniform(-60, 60), random.uniform(530, 960)])
    main = _jagged(random, root, heading, length)
    lines = [main]
    for _ in range(round(3 * severity)):
        fork = main[:, random.integers(main.shape[1] // 5, main.shape[1])]
        turn = random.choice([-1, 1]) * random.uniform(0.5, 1.1)
        lines.append(_jagged(random, fork, heading + turn, length * random.uniform(0.2, 0.5)))
    gap, lips = nowhere(), nowhere()
    for line in lines:
        taper = np.linspace(1.0, 0.35, line.shape[1])
        gap = np.maximum(gap, along(line, scale(severity, 1.2, 2.6) * taper))
        lips = np.maximum(lips, along(line, scale(severity, 5.0, 11.0) * taper))
    return Flaw(
        absorption=_map(scale(severity, 0.2, 1.3) * gap),
        relief=-scale(severity, 0.6, 3.5) * gap,
        haze=_map(scale(severity, 0.08, 0.5) * gaussian_filter(lips, 1.5)),
    )


def pinhole_leak(severity: float, random: Random) -> Flaw:
    """A tiny hole that leaks: a trail of liquid runs down outside and hangs as a drop."""
    start = random.uniform(-75, 75), random.uniform(660, 860)
    steps = int(scale(severity, 40.0, 190.0))
    path = np.stack(
        [
            start[0] + np.cumsum(np.cumsum(random.normal(0.0, 0.035, steps))),
            start[1] + np.arange(steps),
        ]
    )
    width = scale(severity, 4.5, 9.0) * (1.0 + 0.25 * np.sin(np.arange(steps) / 13.0))
    width[-8:] *= np.linspace(1.2, 1.9, 8)
    trail = gaussian_filter(along(path, width), 1.3)
    hole = along(np.array(start)[:, None], np.array([scale(severity, 2.2, 5.0)]))
    return Flaw(
        relief=_map(scale(severity, 1.3, 4.2) * trail - 5.0 * hole),
        absorption=_map(scale(severity, 0.4, 1.6) * hole),
    )


def flattened_corner(severity: float, random: Random) -> Flaw:
    """A bottom corner pressed flat while the plastic was warm."""
    rows, width = row_numbers(), outer_profile().left
    slope = random.uniform(0.8, 1.3)
    reach = (width + slope * rows)[:1078]
    limit = reach.max() - scale(severity, 3.0, 34.0)
    push = no_rows()
    push[:1078] = -np.maximum(reach - limit, 0.0)
    side = random.choice([-1, 1])
    from_facet = side * vial_columns()[None, :] + slope * rows[:, None] - limit
    crease = bell(from_facet, -9.0, 4.0) * bell(rows, 1040.0, 40.0)[:, None]
    return Flaw(
        left=push if side < 0 else no_rows(),
        right=push if side > 0 else no_rows(),
        relief=_map(scale(severity, 0.8, 4.5) * crease),
    )


def ink_mark(severity: float, random: Random) -> Flaw:
    """A stroke of a felt pen or of a misplaced printer: even, translucent, round at its ends."""
    steps = int(scale(severity, 24.0, 170.0))
    heading = random.uniform(0, 2 * np.pi) + np.cumsum(np.full(steps, random.normal(0.0, 0.025)))
    path = np.stack([np.cumsum(np.cos(heading)), np.cumsum(np.sin(heading))])
    place = np.array([random.uniform(-55, 55), random.uniform(560, 980)])
    stroke = along(
        path - path.mean(axis=1)[:, None] + place[:, None],
        np.full(steps, random.uniform(0.8, 1.2) * scale(severity, 5.0, 14.0)),
    )
    even = (0.9 + 0.12 * _clouds(random, 5.0)).clip(0.6, 1.2)
    return Flaw(absorption=_map(scale(severity, 0.1, 1.2) * gaussian_filter(stroke, 0.7) * even))


def flash_string(severity: float, random: Random) -> Flaw:
    """A string of flash that hangs from the flag or its bridge into the gap between two vials."""
    side, out = random.choice([-1, 1]), random.uniform(52.0, 128.0)
    start = side * out, FLAG[3] - 3.0 if out < 98.0 else _BRIDGE_BOTTOM
    steps = int(scale(severity, 18.0, 120.0))
    # A curl that gravity straightens only in part.
    heading = np.pi / 2 + random.normal(0.0, 0.5) + np.cumsum(random.normal(0.0, 0.09, steps))
    path = np.stack([start[0] + np.cumsum(np.cos(heading)), start[1] + np.cumsum(np.sin(heading))])
    path[0] = path[0].clip(-131.0, 131.0)
    width = scale(severity, 1.6, 5.0) * np.linspace(1.2, 0.7, steps)
    return Flaw(attached=_map(gaussian_filter(along(path, width) * width.mean(), 0.5)))


def double_seam(severity: float, random: Random) -> Flaw:
    """The bottom was pinched off twice: a second seam beside the first, not quite parallel."""
    u = vial_columns()[None, :]
    tilt, above = random.normal(0.0, 0.03), random.uniform(9.0, 26.0)
    line = 1062.0 - above - 0.0009 * u**2 + tilt * u
    half = scale(severity, 18.0, 72.0)
    middle = random.uniform(-1, 1) * (72.0 - half)
    ends = ((half - np.abs(u - middle)) / 9.0).clip(0.0, 1.0)
    return Flaw(
        relief=_map(scale(severity, 1.5, 7.0) * bell(row_numbers()[:, None], line, 2.2) * ends)
    )


def wrinkles(severity: float, random: Random) -> Flaw:
    """A wall that shrank unevenly: folds side by side that run out."""
    across, down = _about(
        random.uniform(-50, 50), random.uniform(560, 940), random.uniform(0, np.pi)
    )
    phase = (across + 9.0 * _clouds(random, 26.0)) / random.uniform(2.2, 3.4)
    folds = np.sin(phase) + 0.35 * np.sin(2.0 * phase + 1.0)
    spread = scale(severity, 13.0, 42.0)
    where = bell(across, 0.0, spread) * bell(down, 0.0, 1.5 * spread)
    return Flaw(relief=_map(scale(severity, 0.75, 3.0) * folds * where))


def stress_whitening(severity: float, random: Random) -> Flaw:
    """Plastic that was overstretched and turned hazy in a band with fine streaks."""
    across, down = _about(
        random.uniform(-40, 40), random.uniform(520, 980), random.normal(0.0, 0.5)
    )
    bent = down + 0.002 * random.normal(0.0, 1.0) * across**2
    band = bell(bent, 0.0, random.uniform(7, 15)) * bell(across, 0.0, scale(severity, 24, 80))
    streaks = (0.75 + 0.3 * gaussian_filter(random.standard_normal(band.shape), (8, 1)) * 5).clip(
        0.2, 1.3
    )
    return Flaw(haze=_map(scale(severity, 0.3, 1.5) * band * streaks))


def torn_web(severity: float, random: Random) -> Flaw:
    """A hole in the web between two vials, with a curled lip."""
    side = random.choice([-1, 1])
    high, wide = scale(severity, 7.0, 75.0), scale(severity, 2.4, 6.5)
    across, down = _about(side * 126.0, random.uniform(600, 960), random.normal(0.0, 0.02))
    ragged = 1.0 + 0.18 * _clouds(random, 5.0)
    inside = ragged - np.hypot(across / wide, down / high)
    hole = (inside * wide / 1.2 + 0.5).clip(0.0, 1.0)
    lip = bell(inside * wide, -1.6, 1.3)
    return Flaw(relief=_map(1.5 * lip - 9.0 * hole))


def folded_flag(severity: float, random: Random) -> Flaw:
    """A lower corner of the flag folded back upon it."""
    _, _, right, bottom = FLAG
    side = random.choice([-1, 1])
    u, y = side * vial_columns()[None, :] - right, row_numbers()[:, None] - bottom
    # The corner is round: its farthest point along the diagonal lies 2 r (1 - 1/√2) inside.
    fold = -15.2 - scale(severity, 3.5, 30.0)
    beyond = u + y - fold
    mirrored = flag_distance() if side > 0 else flag_distance()[:, ::-1]
    rows, columns = np.broadcast_arrays(fold - u + bottom, fold - y + right + PITCH / 2 - 0.5)
    flap = map_coordinates(mirrored, [rows, columns], order=1, mode="nearest")
    double = 13.0 * np.sqrt((flap / 5.0).clip(0.0, 1.0)) * (beyond < 0)
    if side < 0:
        double, beyond = double[:, ::-1], beyond[:, ::-1]
    # Only the flag is cut, not the cap beside it.
    return Flaw(relief=_map(double), cut=_map(np.maximum(beyond, 0.0) * 3.0))


def oily_streak(severity: float, random: Random) -> Flaw:
    """A smear of lubricant: a film with a thick rim, drawn out along one direction."""
    length, wide = scale(severity, 55.0, 150.0), scale(severity, 7.0, 22.0)
    across, down = _about(
        random.uniform(-55, 55), random.uniform(600, 930), random.normal(0.0, 0.35)
    )
    edge = 1.0 + 0.12 * _clouds(random, 12.0)
    inside = edge - ((across / wide) ** 2 + (down / length) ** 2)
    film = (inside * wide / 6.0).clip(0.0, 1.0)
    drawn = 0.75 + 0.5 * gaussian_filter(random.standard_normal(film.shape), (18, 1.2)) * 7
    rim = bell(inside * wide, 3.0, 3.0)
    return Flaw(
        relief=_map(scale(severity, 0.7, 3.2) * (0.5 * film * drawn + rim)),
        haze=_map(scale(severity, 0.04, 0.25) * film),
    )


def fibre_bundle(severity: float, random: Random) -> Flaw:
    """A tuft of textile fibres moulded into the wall: pale threads that cross."""
    u, y = random.uniform(-65, 65), random.uniform(500, 980)
    size = scale(severity, 16.0, 75.0)
    threads = nowhere()
    for _ in range(round(scale(severity, 3.0, 16.0))):
        at = random.normal(0.0, size / 7.0, 2)
        threads += fibre(random, u + at[0], y + at[1], size * random.uniform(0.6, 1.4), 1.5)
    dark = scale(severity, 0.14, 0.35)
    return Flaw(absorption=_map(dark * threads), relief=_map(scale(severity, 0.3, 0.9) * threads))


KINDS: dict[str, Callable[[float, Random], Flaw]] = {
    make.__name__: make
    for make in (
        fingerprint,
        outer_droplets,
        crack,
        pinhole_leak,
        flattened_corner,
        ink_mark,
        flash_string,
        double_seam,
        wrinkles,
        stress_whitening,
        torn_web,
        folded_flag,
        oily_streak,
        fibre_bundle,
    )
}


def _map(values: np.ndarray) -> Float:
    return np.asarray(values, np.float32)


def _about(u: float, y: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates across and down around a point, turned by an angle, a map each."""
    across, down = vial_columns()[None, :] - u, row_numbers()[:, None] - y
    return (
        across * np.cos(angle) + down * np.sin(angle),
        down * np.cos(angle) - across * np.sin(angle),
    )


def _clouds(random: Random, size: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1 with details of a size in pixels."""
    field = gaussian_filter(random.standard_normal((FRAME_HEIGHT, PITCH)), size)
    return np.asarray(field / field.std())


def _jagged(random: Random, start: np.ndarray, heading: float, length: float) -> np.ndarray:
    """A path (2, n), a point a pixel, of straight pieces that turn abruptly."""
    pieces = np.repeat(random.normal(0.0, 0.55, int(length) // 5 + 1), random.integers(4, 8))
    turn = heading + pieces[: max(int(length), 4)]
    return start[:, None] + np.cumsum(np.stack([np.cos(turn), np.sin(turn)]), axis=1)
