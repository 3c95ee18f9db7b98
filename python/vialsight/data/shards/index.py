"""`index.json` of a folder of shards: a closed schema, and where each record lies.

Records of one run are equally long, so that run-length coded lengths stand for all offsets: the
index of 2,815,200 patches is small, and memory does not grow with the records.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vialsight._core import Layout
from vialsight.data.pixels import dtype_name
from vialsight.data.records import LABELS, SPLITS, raise_listed
from vialsight.errors import DataError
from vialsight.files import atomic

INDEX_NAME: Final = "index.json"
FORMAT_VERSION: Final = 1
# A TFRecord is: uint64 length, uint32 CRC of it, the data, uint32 CRC of them.
HEADER_BYTES: Final = 12
FRAMING_BYTES: Final = 16

Count = Annotated[int, Field(ge=1, strict=True)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Split = Literal["train", "validation", "calibration", "test"]
Label = Literal["nominal", "defective"]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Closed):
    """One file of records, all of one split.

    `lengths` are pairs (records, bytes of each one's data without TFRecord framing), in order.
    """

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{5,}\.tfrecord$")]
    split: Split
    records: Count
    bytes: Count
    sha256: Sha256
    lengths: Annotated[tuple[tuple[Count, Count], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sums(self) -> "Shard":
        records = sum(count for count, _ in self.lengths)
        size = sum(count * (length + FRAMING_BYTES) for count, length in self.lengths)
        if (records, size) != (self.records, self.bytes):
            raise ValueError(
                f"lengths stand for {records} records and {size} bytes, not for "
                f"{self.records} and {self.bytes}"
            )
        return self


class ShardIndex(_Closed):
    """All that is known of a folder of shards without reading them."""

    format_version: Literal[1]
    layout: dict[str, Any]
    patch_size: Count
    dtype: Literal["uint8", "uint16", "float32"]
    plan: Sha256
    products: dict[Split, dict[Label, tuple[str, ...]]]
    shards: Annotated[tuple[Shard, ...], Field(min_length=1)]
    locator: Sha256 | None = None
    sha256: Sha256

    @model_validator(mode="after")
    def _consistent(self) -> "ShardIndex":
        problems = [*self._layout_problems(), *self._shard_problems(), *self._product_problems()]
        if self.sha256 != content_sha256(self.content()):
            problems.append("sha256 is not that of the content; the index was changed")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def records(self) -> int:
        """Patches in all shards."""
        return sum(shard.records for shard in self.shards)

    def content(self) -> dict[str, Any]:
        """Return the index as JSON; `locator` is there only where products were located."""
        return self.model_dump(mode="json", exclude_none=True)

    def parsed_layout(self) -> Layout:
        """Return the layout the patches were cut with."""
        return Layout.from_json(json.dumps(self.layout))

    def _layout_problems(self) -> list[str]:
        try:
            layout = self.parsed_layout()
        except DataError as error:
            return [f"layout: {error}"]
        problems = []
        if (layout.patch_size, dtype_name(layout)) != (self.patch_size, self.dtype):
            problems.append(
                f"the layout gives patches of {layout.patch_size} pixels as {dtype_name(layout)}, "
                f"not of {self.patch_size} as {self.dtype}"
            )
        if (layout.locate == "none") != (self.locator is None):
            problems.append(
                f"the layout says locate {layout.locate!r}, expected a locator's SHA-256 with any "
                "other than 'none'"
            )
        per_frame = layout.patches_per_frame
        broken = [shard.name for shard in self.shards if shard.records % per_frame]
        if broken:
            problems.append(f"shards must hold whole frames of {per_frame} patches: {broken[0]}")
        return problems

    def _shard_problems(self) -> list[str]:
        names = Counter(shard.name for shard in self.shards)
        twice = [name for name, count in names.items() if count > 1]
        return [f"{twice[0]} is listed more than once"] if twice else []

    def _product_problems(self) -> list[str]:
        names = [n for labels in self.products.values() for of in labels.values() for n in of]
        twice = [name for name, count in Counter(names).items() if count > 1]
        problems = [f"product {twice[0]!r} is listed more than once"] if twice else []
        if set(self.products) != {shard.split for shard in self.shards}:
            problems.append("products must name exactly the splits that have shards")
        return problems


def new_index(
    layout: Layout,
    *,
    plan: str,
    products: dict[str, dict[str, list[str]]],
    shards: list[dict[str, Any]],
    locator: str | None = None,
) -> ShardIndex:
    """Return the index of finished shards with its content digest; `locator` is a SHA-256."""
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "layout": json.loads(layout.to_json()),
        "patch_size": layout.patch_size,
        "dtype": dtype_name(layout),
        "plan": plan,
        "products": {
            split: {label: sorted(products[split].get(label, [])) for label in LABELS}
            for split in SPLITS
            if split in products
        },
        "shards": shards,
        **({} if locator is None else {"locator": locator}),
    }
    return ShardIndex.model_validate({**content, "sha256": content_sha256(content)})


def content_sha256(content: dict[str, Any]) -> str:
    """Return the digest of an index: it covers every shard through its SHA-256.

    What was asked for (`plan`) and the digest itself do not count.
    """
    counted = {key: value for key, value in content.items() if key not in ("plan", "sha256")}
    canonical = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_index(folder: Path, index: ShardIndex) -> None:
    """Write `folder/index.json` atomically."""
    atomic.write_text(folder / INDEX_NAME, json.dumps(index.content()) + "\n")


def read_index(folder: Path) -> ShardIndex:
    """Read and check `folder/index.json`; the shards themselves are not looked at.

    Raises DataError naming the key that is wrong.
    """
    path = folder / INDEX_NAME
    try:
        content = json.loads(path.read_text("utf-8"), object_pairs_hook=_unique_keys)
        return ShardIndex.model_validate(content)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; give a folder of shards, or finish writing it first"
        ) from error
    except ValidationError as error:
        problems = [_explain(item) for item in error.errors()]
        raise_listed(f"{path}: expected an index of shards, version {FORMAT_VERSION}", problems)
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected an index of shards, cannot read it ({error})") from error


def check_sizes(folder: Path, index: ShardIndex) -> None:
    """Raise DataError naming the shards that are missing or have not the size of the index."""
    problems = [size_problem(folder / shard.name, shard) for shard in index.shards]
    raise_listed(
        f"{folder}: shards that are not as in {INDEX_NAME}; restore them or pack again",
        [problem for problem in problems if problem],
    )


def size_problem(path: Path, shard: Shard) -> str:
    """Say that a shard's file is missing or has not the size of the index; "" if all is well."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"{shard.name}: no such file"
    return "" if size == shard.bytes else f"{shard.name}: {size} bytes, expected {shard.bytes}"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _explain(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
