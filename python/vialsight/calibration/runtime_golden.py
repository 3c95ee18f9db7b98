"""What another runtime makes of a bundle's golden patches."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vialsight import _core
from vialsight.bundle import read_manifest
from vialsight.errors import BundleError
from vialsight.scores import definition

Numbers = npt.NDArray[np.float32]


def golden_of(bundle: _core.Bundle, network: _core.Network) -> tuple[dict[str, Numbers], Numbers]:
    """Return golden outputs (R,K,h,w), by name, and components (R,K,C) as `network` has them.

    In batches of a frame's patches, as every loader scores them.
    """
    inputs = bundle.golden_inputs
    regions, count = inputs.shape[:2]
    flat = inputs.reshape(-1, *inputs.shape[2:])
    batch = bundle.layout.patches_per_frame
    # Filled up from the beginning, so that each batch is of the same size.
    index = np.resize(np.arange(len(flat)), -(-len(flat) // batch) * batch)
    parts = [network.run(flat[index[i : i + batch]]) for i in range(0, len(index), batch)]
    outputs = {
        name: np.concatenate([part[name] for part in parts])[: len(flat)] for name in bundle.outputs
    }
    shaped = {name: a.reshape(regions, count, *a.shape[1:]) for name, a in outputs.items()}
    if not all(np.isfinite(array).all() for array in shaped.values()):
        raise BundleError("the network's outputs are not finite on this runtime; it is not usable")
    return shaped, _components(bundle, inputs, shaped)


def _components(bundle: _core.Bundle, inputs: Numbers, outputs: Mapping[str, Numbers]) -> Numbers:
    columns = []
    for component in read_manifest(bundle)["score"]["components"]:
        name = component["name"]
        rows = [
            _core.score(
                inputs[region],
                {output: np.ascontiguousarray(array[region]) for output, array in outputs.items()},
                definition([component]),
                locations={name: np.ascontiguousarray(bundle.locations[name][:, region])}
                if name in bundle.locations
                else None,
            )[0]
            for region in range(len(inputs))
        ]
        columns.append(rows)
    return np.ascontiguousarray(np.moveaxis(np.array(columns, np.float32), 0, -1))
