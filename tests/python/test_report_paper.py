"""The published figures agree with each other, read with positive = defective."""

import pytest

from vialsight.report import paper

ALL = (*paper.TABLE_1, paper.TABLE_2, paper.TABLE_3)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.unit)
def test_balanced_accuracy_is_the_mean_of_the_rates(row: paper.Published) -> None:
    mean = (row.detection_rate + 1 - row.false_reject_rate) / 2
    assert mean == pytest.approx(row.balanced_accuracy, abs=1e-4)


def test_table_3_fits_positive_is_defective() -> None:
    """Weighted with 141 defective and 120 nominal strips its rates give its accuracy."""
    row, strips = paper.TABLE_3, paper.DEFECTIVE_STRIPS + paper.NOMINAL_STRIPS
    defective, nominal = paper.DEFECTIVE_STRIPS / strips, paper.NOMINAL_STRIPS / strips
    accuracy = row.detection_rate * defective + (1 - row.false_reject_rate) * nominal
    assert accuracy == pytest.approx(0.9641, abs=5e-5)
    swapped = (1 - row.false_reject_rate) * defective + row.detection_rate * nominal
    assert abs(swapped - 0.9641) > 4e-4


def test_table_2_fits_positive_is_defective() -> None:
    """Its accuracy, 0.9593, lies where its rates put it with 1,410 and 1,200 inspections."""
    row, strips = paper.TABLE_2, paper.DEFECTIVE_STRIPS + paper.NOMINAL_STRIPS
    correct = row.detection_rate * paper.DEFECTIVE_STRIPS
    correct += (1 - row.false_reject_rate) * paper.NOMINAL_STRIPS
    assert correct / strips == pytest.approx(row.accuracy, abs=5e-4)


def test_table_1_is_turned_round() -> None:
    """Printed for R0: true positive ratio 0.9966, true negative ratio 0.9093."""
    flag = paper.TABLE_1[0]
    assert flag.detection_rate == 0.9093
    assert flag.false_reject_rate == pytest.approx(1 - 0.9966)


@pytest.mark.parametrize("row", paper.TABLE_1, ids=lambda row: row.unit)
def test_table_1_is_mostly_nominal(row: paper.Published) -> None:
    """Its accuracy is near the rate of the nominal: what shows that they were its positives."""
    share = (row.accuracy - row.detection_rate) / (1 - row.false_reject_rate - row.detection_rate)
    assert 0.75 < share < 1.0


@pytest.mark.parametrize(("printed", "strips"), [(0.9676, 141), (0.9599, 120)])
def test_no_count_of_strips_gives_table_3(printed: float, strips: int) -> None:
    assert printed not in {round(right / strips, 4) for right in range(strips + 1)}


def test_the_two_times_need_impossible_hardware() -> None:
    assert pytest.approx(4700, rel=0.01) == 790e9 / 0.1689e-3 / 1e12


def test_regions_and_thresholds_are_those_of_table_1() -> None:
    regions = paper.TABLE_1[:4]
    assert tuple(row.unit for row in regions) == paper.REGIONS
    assert tuple(row.threshold for row in regions) == paper.THRESHOLDS["patch"]
    assert all(len(values) == 4 for values in paper.THRESHOLDS.values())
