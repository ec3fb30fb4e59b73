"""What cutoffs for each pair of types save: a force call over one with r_max for all.

Both networks of one example have its hyperparameters, and differ in the edges that they
see. Their errors after the same training are in docs/results.md. As in force_call.py,
networks alternate in one run of lmp on one rank, and times are those of the processor.
"""

import tempfile
from pathlib import Path

import numpy as np
from force_call import STEPS, times
from networks import Example, cri3, deploy, model_config, nio
from one_pass import case
from rows import Options, Result, Row

CRI3_R_MAX = 8.0
"""Å, of Cr and Cr; the example has 10."""


def compare(
    example: Example, options: Options, cutoffs: dict[str, dict[str, float]]
) -> dict[str, object]:
    """Time of the example's MSENN with the largest cutoff for all over that with all.

    Args:
        example: with its atoms.
        options: of the run.
        cutoffs: centre -> neighbour -> Å.
    """
    steps = max(3, round(options.length * STEPS))
    r_max = max(max(row.values()) for row in cutoffs.values())
    everywhere = {centre: dict.fromkeys(row, r_max) for centre, row in cutoffs.items()}
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for chosen in (everywhere, cutoffs):
            config = model_config(
                example,
                terms=list(example.terms),
                r_max=r_max,
                per_edge_type_cutoff=chosen,
            )
            models.append(deploy(config, Path(folder) / f"{len(models)}.pth"))
        whole, short = times(example, models, Path(folder), steps)
    notes: dict[str, object] = {
        "cutoffs": cutoffs,
        "seconds_r_max": float(np.median(whole)),
        "seconds_cutoffs": float(np.median(short)),
    }
    return case(f"{example.name}, {r_max:g} A", whole / short, notes)


def cutoffs(options: Options) -> Result:
    """NiO as in its example, cri3 as in its own but with 8 Å between Cr."""
    cases = []
    for example, changes in ((nio(), {}), (cri3(), {"Cr": {"Cr": CRI3_R_MAX}})):
        given = model_config(example)["per_edge_type_cutoff"]
        chosen = {
            centre: {**row, **changes.get(centre, {})} for centre, row in given.items()
        }
        cases.append(compare(example, options, chosen))
    ratios = [float(str(entry["ratio"])) for entry in cases]
    what = "force call with one cutoff for all pairs over one with cutoffs by type"
    return Result(what, min(ratios), 2.0, 1, cases, at_least=True)


ROWS: dict[str, Row] = {"cutoffs": cutoffs}
