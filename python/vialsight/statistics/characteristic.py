"""What the k-of-n rule lets pass, and how many strips or containers a claim needs."""

import math
from bisect import bisect_left
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from vialsight.errors import DataError
from vialsight.statistics.intervals import CONFIDENCE, wilson_at

FloatArray = npt.NDArray[np.float64]


def pass_probability(p: float, agree: int = 7, runs: int = 10) -> float:
    """P(Binomial(`runs`, `p`) >= `agree`): how often a strip passes the k-of-n rule.

    `p` in [0, 1] is the probability that one run is classified correctly, runs being independent
    given the strip. Raises DataError when `agree` is not in 1..runs or `p` not in [0, 1].
    """
    _check_rule(agree, runs)
    _check_share("the probability of one run", p, ends=True)
    return float(_passing(np.array([p]), agree, runs)[0])


def characteristic_curve(
    agree: int = 7, runs: int = 10, points: int = 101
) -> tuple[FloatArray, FloatArray]:
    """Operating characteristic: `points` probabilities from 0 to 1, and what passes at each."""
    _check_rule(agree, runs)
    probabilities = np.linspace(0, 1, points)
    return probabilities, _passing(probabilities, agree, runs)


def detection_for(pass_probability: float, agree: int = 7, runs: int = 10) -> float:
    """Probability of one run at which the rule is passed with `pass_probability` in [0, 1]."""
    from scipy.optimize import brentq

    _check_rule(agree, runs)
    _check_share("the probability to pass", pass_probability, ends=True)

    def excess(p: float) -> float:
        return float(_passing(np.array([p]), agree, runs)[0]) - pass_probability

    return float(brentq(excess, 0.0, 1.0, xtol=1e-12))


def strips_without_error(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many defective strips, all detected, show a detection rate of at least `rate`.

    The smallest n with rate**n <= 1 - confidence (success run). Both in (0, 1), else DataError.
    """
    _check_share("the rate", rate)
    _check_share("the confidence", confidence)
    # 1 - 0.9 is 0.09999999999999998: rounding must not ask for one strip more.
    return max(1, math.ceil(math.log(1 - confidence) / math.log(rate) - 1e-9))


def strips_for_halfwidth(rate: float, halfwidth: float, confidence: float = CONFIDENCE) -> int:
    """Smallest number of strips at which Wilson's interval stays within `rate` +- `halfwidth`.

    `rate` in [0, 1], `halfwidth` and `confidence` in (0, 1), else DataError.
    """
    _check_share("the rate", rate, ends=True)
    _check_share("the half-width", halfwidth)
    _check_share("the confidence", confidence)

    def reach(strips: int) -> float:
        low, high = wilson_at(rate, strips, confidence)
        return max(rate - low, high - rate)

    enough = 1
    while reach(enough) > halfwidth:
        enough *= 2
    return bisect_left(range(enough), True, lo=1, key=lambda n: reach(n) <= halfwidth)


def containers_for_margin(
    sd_of_differences: float, margin: float, power: float = 0.8, confidence: float = CONFIDENCE
) -> int:
    """Containers of a zone which show "at least as good" when man and machine are equally good.

    n = ((z_(1+confidence)/2 + z_power) * sd / margin)**2, rounded up: paired non-inferiority by the
    bound of the two-sided interval, normal approximation. `sd_of_differences` > 0 is that of
    machine - man per container on the scale 0..1; the others in (0, 1), else DataError.
    Source: Chow, Shao & Wang 2008, Sample Size Calculations in Clinical Research, section 3.1.
    """
    if not 0 < sd_of_differences < math.inf:
        raise DataError(f"the deviation of differences must be above 0, got {sd_of_differences}")
    for what, share in (("margin", margin), ("power", power), ("confidence", confidence)):
        _check_share(f"the {what}", share)
    normal = NormalDist()
    quantiles = normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)
    return max(2, math.ceil((quantiles * sd_of_differences / margin) ** 2))


def _passing(p: FloatArray, agree: int, runs: int) -> FloatArray:
    from scipy.stats import binom

    return np.asarray(binom.sf(agree - 1, runs, p), np.float64)


def _check_rule(agree: int, runs: int) -> None:
    if not 1 <= agree <= runs:
        raise DataError(f"expected a rule k of n with 1 <= k <= n, got {agree} of {runs}")


def _check_share(what: str, value: float, *, ends: bool = False) -> None:
    if not (0 < value < 1 or (ends and value in (0, 1))):
        interval = "from 0 to 1" if ends else "between 0 and 1"
        raise DataError(f"{what} must be {interval}, got {value}")
