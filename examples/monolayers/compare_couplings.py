"""Couplings of a trained model beside those of the Hamiltonian that made its data.

    python examples/monolayers/compare_couplings.py model.pth cri3-pairs [--json]

At the undisplaced crystal: J1, J2, J3, second-neighbour DM, Kitaev and single-ion
anisotropy, each the amplitude of its pattern (``spinff.data.references.cri3``).
"""

import argparse
import json
from dataclasses import asdict

import numpy as np

from spinff.couplings import model_couplings
from spinff.data.references import reference
from spinff.data.references.cri3 import named_couplings
from spinff.export import load_model


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("reference", help="cri3, cri3-pairs or crte2")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    magnet = reference(args.reference)
    crystal = magnet.structure((3, 2, 1))
    couplings = model_couplings(load_model(args.model), crystal)
    keys = np.array(list(couplings.exchange))
    pairs = keys[:, :2]
    positions = crystal.positions
    vectors = (
        positions[pairs[:, 1]] - positions[pairs[:, 0]] + keys[:, 2:] @ crystal.cell[:]
    )
    tensors = np.array(list(couplings.exchange.values()))
    found = asdict(
        named_couplings(magnet, crystal, pairs, vectors, tensors, couplings.anisotropy)
    )
    own = magnet.couplings(crystal)
    true = asdict(
        named_couplings(
            magnet, crystal, own.pairs, own.vectors, own.exchange, own.anisotropy
        )
    )
    rows = {
        name: {"model_mev": 1e3 * found[name], "true_mev": 1e3 * true[name]}
        for name in true
    }
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'':12}{'model':>10}{'true':>10}   meV")
    for name, row in rows.items():
        deviation = row["model_mev"] / row["true_mev"] - 1
        print(
            f"{name:12}{row['model_mev']:10.4f}{row['true_mev']:10.4f}"
            f"{100 * deviation:+9.2f} %"
        )


if __name__ == "__main__":
    main()
