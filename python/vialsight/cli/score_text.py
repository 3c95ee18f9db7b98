"""A bundle's score in words and tables, for people."""

from collections.abc import Mapping
from typing import Any

from vialsight.cli import console
from vialsight.scores import in_words


def print_score(score: Mapping[str, Any]) -> None:
    """Print in a line which components of the manifest's `score` decide, and how."""
    console.say(f"score        {_summary(score)}")


def print_explained_score(score: Mapping[str, Any], regions: list[str]) -> None:
    """Print the manifest's `score`: what is offered, what decides, how numbers are normalised."""
    print_score(score)
    decides = score["decide"]
    console.print_table(
        [
            {
                "  component": f"  {component['name']}",
                "decides": "yes" if component["name"] in decides else None,
                "says": in_words(component),
            }
            for component in score["components"]
        ]
    )
    if score["normalisation"] is not None:
        console.say()
        console.print_table(_normalisation_rows(score["normalisation"], regions))


def _summary(score: Mapping[str, Any]) -> str:
    names = ", ".join(score["decide"])
    if score["combine"] is None:
        return names
    how = {
        "largest": "the largest of {}",
        "sum": "the sum of what is above the median, of {}",
    }[score["combine"]]
    normalised = " (normalised per region)" if score["normalisation"] is not None else ""
    return how.format(names) + normalised


def _normalisation_rows(entries: list[dict[str, Any]], regions: list[str]) -> list[dict[str, Any]]:
    keys = ("offset", "scale", "map_scale")
    return [
        {"component": entry["component"], "region": name, **{key: entry[key][r] for key in keys}}
        for entry in entries
        for r, name in enumerate(regions)
    ]
