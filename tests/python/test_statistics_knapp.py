"""The Knapp study against a table worked by hand; tables of manual results, good and bad."""

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vialsight.errors import DataError
from vialsight.statistics.knapp import (
    Comparison,
    KnappStudy,
    ManualResult,
    fqv,
    read_manual,
    study,
    zone,
)

# product, class, manual n of 50 (FQV, zone), machine n of 10, difference of FQV / 10:
#   a  crack     50  10.0 reject   10    0
#   b  crack     41   8.2 reject    9   +0.08
#   c  particle  35   7.0 reject    6   -0.10    RZE: man 2.52 / 3, machine 2.5 / 3
#   d  particle  34   6.8 grey      8   +0.12
#   e            16   3.2 grey      2   -0.12
#   f            15   3.0 accept    3    0
#   g             0   0.0 accept    0    0
#   h  glass      1   0.2 accept    1   +0.08    RAG: man 1.32 / 5, machine 1.4 / 5
MANUAL = {"a": 50, "b": 41, "c": 35, "d": 34, "e": 16, "f": 15, "g": 0, "h": 1}
MACHINE = {"a": 10, "b": 9, "c": 6, "d": 8, "e": 2, "f": 3, "g": 0, "h": 1}
KINDS = {"a": "crack", "b": "crack", "c": "particle", "d": "particle", "h": "glass"}
REJECT_DIFFERENCES = (0.0, 0.08, -0.1)
OTHER_DIFFERENCES = (0.12, -0.12, 0.0, 0.0, 0.08)


def results(rejects: dict[str, int], inspections: int = 50) -> tuple[ManualResult, ...]:
    return tuple(
        ManualResult(product=product, inspections=inspections, rejects=n)
        for product, n in rejects.items()
    )


def machine_results(rejects: dict[str, int], inspections: int = 10) -> dict[str, tuple[int, int]]:
    return {product: (inspections, n) for product, n in rejects.items()}


def by_hand(margin: Fraction | float = 0.1, replicates: int = 20_000) -> KnappStudy:
    return study(
        results(MANUAL),
        machine_results(MACHINE),
        KINDS,
        margin=margin,
        replicates=replicates,
        seed=1,
    )


def enumerated_interval(differences: tuple[float, ...]) -> tuple[float, float]:
    """Percentiles of the mean over all equally likely draws with replacement."""
    draws = itertools.product(differences, repeat=len(differences))
    means = np.sort([np.mean(draw) for draw in draws])
    low, high = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


class TestZones:
    def test_forty_one_of_fifty(self) -> None:
        assert fqv(41, 50) == Fraction(82, 10)

    @pytest.mark.parametrize(
        ("rejects", "inspections", "expected"),
        [
            (15, 50, "accept"),
            (16, 50, "grey"),
            (34, 50, "grey"),
            (35, 50, "reject"),
            (3, 10, "accept"),
            (7, 10, "reject"),
            (21, 70, "accept"),
            (1, 3, "grey"),
            (2, 3, "grey"),
            (300_000_001, 1_000_000_000, "grey"),
            (699_999_999, 1_000_000_000, "grey"),
        ],
    )
    def test_edges_are_exact(self, rejects: int, inspections: int, expected: str) -> None:
        assert zone(rejects, inspections) == expected

    def test_every_count_to_sixty_in_integers(self) -> None:
        for total in range(1, 61):
            for n in range(total + 1):
                expected = "accept" if 10 * n <= 3 * total else "grey"
                expected = "reject" if 10 * n >= 7 * total else expected
                assert zone(n, total) == expected

    @pytest.mark.parametrize(("rejects", "inspections"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
    def test_impossible_counts(self, rejects: int, inspections: int) -> None:
        with pytest.raises(DataError, match=f"got {rejects} of {inspections}"):
            fqv(rejects, inspections)


class TestByHand:
    def test_containers(self) -> None:
        rows = {row.product: row for row in by_hand().containers}
        assert "".join(rows) == "abcdefgh"
        zones = ["reject"] * 3 + ["grey"] * 2 + ["accept"] * 3
        assert [row.zone for row in rows.values()] == zones
        assert [row.kind for row in rows.values()] == [KINDS.get(name, "") for name in rows]
        row = rows["b"]
        assert (row.manual_rejects, row.manual_inspections, row.manual_fqv) == (41, 50, 8.2)
        assert (row.machine_rejects, row.machine_inspections, row.machine_fqv) == (9, 10, 9.0)

    def test_reject_zone(self) -> None:
        rze = by_hand().rze
        assert rze is not None
        assert rze.containers == 3
        found = (rze.man, rze.machine, rze.difference)
        assert found == pytest.approx((0.84, 2.5 / 3, -0.02 / 3), abs=1e-15)
        assert rze.interval == pytest.approx(enumerated_interval(REJECT_DIFFERENCES), abs=1e-12)
        assert rze.interval == pytest.approx((-0.1, 0.08), abs=1e-12)

    def test_accept_and_grey_zone(self) -> None:
        rag = by_hand().rag
        assert rag is not None
        assert rag.containers == 5
        found = (rag.man, rag.machine, rag.difference)
        assert found == pytest.approx((0.264, 0.28, 0.016), abs=1e-15)
        assert rag.interval == pytest.approx(enumerated_interval(OTHER_DIFFERENCES), abs=0.009)

    def test_defect_classes(self) -> None:
        classes = by_hand().rze_of_kind
        assert list(classes) == ["crack", "glass", "particle"]
        crack, particle = classes["crack"], classes["particle"]
        assert classes["glass"] is None
        assert crack is not None
        assert (crack.containers, crack.man, crack.machine) == (2, 0.91, 0.95)
        assert crack.interval == pytest.approx((0.0, 0.08), abs=1e-12)
        assert particle == Comparison(
            containers=1, man=0.7, machine=0.6, difference=-0.1, interval=None
        )

    @pytest.mark.parametrize("margin", [0.1, Fraction(1, 10), 0.5])
    def test_margin_at_the_bound_is_kept(self, margin: Fraction | float) -> None:
        # Lower bound of the RZE difference -0.1, upper bound of the RAG difference below 0.1.
        assert by_hand(margin).verdict == "at_least_as_good"

    @pytest.mark.parametrize("margin", [0.0, 0.05, 0.0999])
    def test_margin_within_the_interval(self, margin: float) -> None:
        assert by_hand(margin).verdict == "not_shown"

    def test_classical_criterion(self) -> None:
        assert not by_hand().point_criterion
        better = study(results(MANUAL), machine_results(MACHINE | {"c": 7}), {}, margin=0.1, seed=0)
        assert better.point_criterion
        assert better.rze_of_kind == {}

    def test_seed_decides(self) -> None:
        assert by_hand(replicates=200) == by_hand(replicates=200)

    def test_is_plain_json(self) -> None:
        found = json.loads(json.dumps(dataclasses.asdict(by_hand(Fraction(1, 8)))))
        assert found["margin"] == 0.125
        assert found["containers"][1]["manual_fqv"] == 8.2
        assert found["rze"]["interval"] == pytest.approx([-0.1, 0.08])
        assert (found["seed"], found["replicates"]) == (1, 20_000)


class TestVerdict:
    def test_identical_is_at_least_as_good_without_any_margin(self) -> None:
        same = study(
            results(MANUAL), machine_results(MANUAL, 50), KINDS, margin=0, replicates=500, seed=3
        )
        assert same.rze is not None
        assert same.rag is not None
        assert (same.rze.difference, same.rze.interval) == (0.0, (0.0, 0.0))
        assert (same.rag.difference, same.rag.interval) == (0.0, (0.0, 0.0))
        assert (same.verdict, same.point_criterion) == ("at_least_as_good", True)
        assert "the interval has no width" in same.limitation

    def test_missing_the_reject_zone_is_worse(self) -> None:
        blind = machine_results(MACHINE | {"a": 2, "b": 1, "c": 0})
        found = study(results(MANUAL), blind, KINDS, margin=0.1)
        assert (found.verdict, found.limitation) == ("worse", "")

    def test_rejecting_the_accept_zone_is_worse(self) -> None:
        eager = machine_results(dict.fromkeys(MANUAL, 10))
        found = study(results(MANUAL), eager, KINDS, margin=0.1)
        assert (found.verdict, found.point_criterion) == ("worse", True)

    def test_equal_differences_at_the_margin(self) -> None:
        # -0.1 in each container: means of rounded numbers must not fall below -margin.
        manual = results(dict.fromkeys("abcdefg", 8) | {"x": 0, "y": 1}, 10)
        machine = machine_results(dict.fromkeys("abcdefg", 7) | {"x": 0, "y": 1})
        found = study(manual, machine, {}, margin=0.1, replicates=500)
        assert found.verdict == "at_least_as_good"
        assert study(manual, machine, {}, margin=0.09).verdict == "worse"

    def test_no_container_in_the_reject_zone(self) -> None:
        kept = {"d": 34, "e": 16, "f": 15}
        found = study(
            results(kept), machine_results({name: MACHINE[name] for name in kept}), {}, margin=0.1
        )
        assert (found.rze, found.verdict, found.point_criterion) == (None, "not_shown", False)
        assert found.limitation == "No container lies in the reject zone: no verdict is possible."

    def test_no_container_in_the_accept_and_grey_zone(self) -> None:
        kept = {"a": 50, "b": 41}
        found = study(results(kept), machine_results({"a": 10, "b": 9}), {}, margin=0.1)
        assert (found.rag, found.verdict, found.point_criterion) == (None, "not_shown", True)
        assert "accept and grey zone" in found.limitation

    def test_one_container_has_no_interval(self) -> None:
        kept = {"a": 50, "f": 15, "e": 16}
        found = study(results(kept), machine_results({"a": 10, "f": 3, "e": 2}), {}, margin=0.1)
        assert found.rze is not None
        assert (found.rze.interval, found.verdict) == (None, "not_shown")
        assert "Only one container lies in the reject zone" in found.limitation


class TestRefused:
    def test_products_differ(self) -> None:
        machine = machine_results(MACHINE | {"z": 1})
        del machine["b"]
        with pytest.raises(DataError) as caught:
            study(results(MANUAL), machine, {}, margin=0.1)
        assert "b: no machine result" in str(caught.value)
        assert "z: no manual result" in str(caught.value)

    def test_product_twice(self) -> None:
        with pytest.raises(DataError, match="more than one manual result"):
            study(results(MANUAL) * 2, machine_results(MACHINE), {}, margin=0.1)

    def test_no_products(self) -> None:
        with pytest.raises(DataError, match="at least one container"):
            study((), {}, {}, margin=0.1)

    def test_machine_rejects_more_than_it_inspected(self) -> None:
        with pytest.raises(DataError, match="c by machine: 11 rejects of 10"):
            study(results(MANUAL), machine_results(MACHINE | {"c": 11}), {}, margin=0.1)

    def test_machine_inspected_nothing(self) -> None:
        machine = machine_results(MACHINE) | {"g": (0, 0)}
        with pytest.raises(DataError, match="g by machine: 0 rejects of 0"):
            study(results(MANUAL), machine, {}, margin=0.1)

    @pytest.mark.parametrize("margin", [-0.01, 1, 5, float("nan")])
    def test_margin(self, margin: float) -> None:
        with pytest.raises(DataError, match="margin must be at least 0 and below 1"):
            by_hand(margin, replicates=10)


def written(folder: Path, text: str) -> Path:
    path = folder / "manual.csv"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_manual(written(folder, text))
    return str(caught.value)


class TestReadManual:
    def test_one_row_per_product(self, tmp_path: Path) -> None:
        path = written(tmp_path, "product,inspections,rejects\ns2,50,41\ns1,50,0\n")
        assert read_manual(path) == results({"s2": 41, "s1": 0})

    def test_inspectors_are_summed(self, tmp_path: Path) -> None:
        rows = ["s1,anna,10,8", "s2,anna,10,0", "s1,ben,15,12", "", "s2,ben,5,1"]
        path = written(tmp_path, "\n".join(["product,inspector,inspections,rejects", *rows]))
        assert read_manual(path) == (
            ManualResult(product="s1", inspections=25, rejects=20),
            ManualResult(product="s2", inspections=15, rejects=1),
        )

    def test_byte_order_mark_and_crlf(self, tmp_path: Path) -> None:
        path = written(tmp_path, "\ufeffproduct,inspections,rejects\r\ns1,10,3\r\n")
        assert read_manual(path) == results({"s1": 3}, 10)

    def test_every_wrong_line_is_listed(self, tmp_path: Path) -> None:
        rows = ["s1,50,41", "s2,x,3", "s3,10,11", "s4,0,0", "s1,50,2", ",10,1", "s6,10", "s7,10,-1"]
        message = refused(tmp_path, "\n".join(["product,inspections,rejects", *rows]))
        for text in (
            "line 3: inspections must be an integer from 0, got 'x'",
            "line 4: expected at most 10 rejects, one per inspection, got 11",
            "line 5: inspections must be at least 1, got 0",
            "line 6: 's1' comes twice, see line 2",
            "line 7: product is empty",
            "line 8: expected 3 cells (product,inspections,rejects), got 2",
            "line 9: rejects must be an integer from 0, got '-1'",
        ):
            assert text in message
        assert "(7)" in message

    @pytest.mark.parametrize("number", ["4.0", "1e1", "", " 4", "٤", "9999999999"])
    def test_not_an_integer(self, tmp_path: Path, number: str) -> None:
        message = refused(tmp_path, f"product,inspections,rejects\ns1,50,{number}\n")
        assert f"line 2: rejects must be an integer from 0, got {number!r}" in message

    def test_inspector_twice(self, tmp_path: Path) -> None:
        rows = "s1,anna,10,8\ns1,ben,10,8\ns1,anna,10,7\n"
        message = refused(tmp_path, f"product,inspector,inspections,rejects\n{rows}")
        assert "line 4: 's1 anna' comes twice, see line 2" in message

    def test_inspector_empty(self, tmp_path: Path) -> None:
        message = refused(tmp_path, "product,inspector,inspections,rejects\ns1, ,10,8\n")
        assert "line 2: inspector is empty" in message

    @pytest.mark.parametrize(
        "header", ["product,rejects,inspections", "product,inspections", "product,n,N,inspector"]
    )
    def test_other_columns(self, tmp_path: Path, header: str) -> None:
        message = refused(tmp_path, f"{header}\ns1,10,8\n")
        assert "expected the columns product,inspections,rejects or product,inspector" in message
        assert header in message

    def test_empty_file(self, tmp_path: Path) -> None:
        assert "an empty file" in refused(tmp_path, "")

    def test_header_alone(self, tmp_path: Path) -> None:
        assert "the table is empty" in refused(tmp_path, "product,inspections,rejects\n")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            read_manual(tmp_path / "manual.csv")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot read it"):
            read_manual(tmp_path)

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "manual.csv").write_bytes(b"product,inspections,rejects\n\xff\xfe,1,1\n")
        with pytest.raises(DataError, match="UTF-8"):
            read_manual(tmp_path / "manual.csv")

    def test_open_quote(self, tmp_path: Path) -> None:
        assert "cannot read it" in refused(tmp_path, 'product,inspections,rejects\n"s1,1,1\n')
