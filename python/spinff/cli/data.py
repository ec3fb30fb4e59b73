"""``spinff data``: summary, checks and conversion of data sets, and generated ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spinff.errors import SpinffError

if TYPE_CHECKING:
    from ase import Atoms

    from spinff.data.references import ReferenceHamiltonian
    from spinff.data.summary import Summary

EXIT_BAD_DATA = 2
LABELS = ("energy", "forces", "stress", "magnetic_forces")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.description = "Summarises, checks, converts and generates data sets."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    check = actions.add_parser(
        "check",
        help="read data sets as training does, and print what is in them",
        description=(
            "Reads each path as training does and prints its figures, or the first "
            f"problem in it. Exit status 0, or {EXIT_BAD_DATA} if a path has a problem."
        ),
    )
    _add_input(check)

    convert = actions.add_parser(
        "convert",
        help="write data sets into one LMDB file, for sets larger than the memory",
        description=(
            "Reads each path as training does and writes all frames, in this order, to "
            "one LMDB file, from which training reads a frame when it needs it. The "
            "memory holds one path at a time."
        ),
    )
    _add_input(convert)
    convert.add_argument(
        "-o", "--output", required=True, metavar="FILE.lmdb", help="file to write"
    )

    generate = actions.add_parser(
        "generate",
        help="write a data set with exact labels from a reference Hamiltonian",
        description=(
            "Writes random frames with the exact energy, forces, stress and magnetic "
            "forces of a built-in spin-lattice Hamiltonian as extended XYZ."
        ),
    )
    generate.add_argument(
        "name",
        metavar="NAME",
        help="the Hamiltonian, such as rocksalt or b20; a wrong name lists them all",
    )
    generate.add_argument(
        "-n", "--frames", type=int, metavar="N", help="number of frames"
    )
    generate.add_argument(
        "--seed", type=int, default=0, metavar="S", help="random seed (default: 0)"
    )
    sampling = generate.add_argument_group(
        "what the frames are like", "the Hamiltonian's own choice where not given"
    )
    sampling.add_argument(
        "--repeat",
        type=int,
        nargs=3,
        metavar=("A", "B", "C"),
        help="repetitions of the smallest cell",
    )
    sampling.add_argument(
        "--displacement",
        type=float,
        metavar="SIGMA",
        help="standard deviation of each coordinate in Å",
    )
    sampling.add_argument(
        "--strain",
        type=float,
        metavar="SIGMA",
        help="standard deviation of each entry of the symmetric strain",
    )
    sampling.add_argument(
        "--disorder",
        type=float,
        metavar="D",
        help="disorder of the moments, in the measure of the Hamiltonian's page",
    )
    generate.add_argument(
        "--labels",
        nargs="+",
        choices=LABELS,
        default=LABELS,
        help="labels to write (default: all)",
    )
    generate.add_argument("-o", "--output", metavar="FILE", help="file to write")
    generate.add_argument(
        "--describe",
        action="store_true",
        help="print the terms and parameters of the Hamiltonian and write nothing",
    )
    generate.add_argument("--json", action="store_true", help="print one JSON object")


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="extended XYZ file, deepmd folder or LMDB file",
    )
    parser.add_argument(
        "--format", default="auto", help="auto, extxyz, deepmd or lmdb (default: auto)"
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="QUANTITY=NAME",
        help="name of a quantity in the file, such as moments=magmom_raw; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Does the chosen action."""
    actions = {"check": _check, "convert": _convert, "generate": _generate}
    return actions[args.action](args)


def _convert(args: argparse.Namespace) -> int:
    from spinff.data.lmdb import write_lmdb
    from spinff.data.readers import read_frames

    output = Path(args.output)
    if output.suffix != ".lmdb":
        raise SpinffError(
            f"spinff data convert: the name says another format, got '{output.name}', "
            "expected one that ends in .lmdb, by which training knows the file; "
            "correct -o"
        )
    keys = _keys(args.key)

    def frames() -> Iterator[Atoms]:
        for path in args.paths:
            yield from read_frames(path, format=args.format, keys=keys)

    count = write_lmdb(output, frames())
    report = {"paths": args.paths, "n_frames": count, "output": args.output}
    print(json.dumps(report) if args.json else f"{args.output}: {count} frames")
    return 0


def _check(args: argparse.Namespace) -> int:
    from spinff.data.dataset import check_some_moment
    from spinff.data.readers import read_frames
    from spinff.data.summary import summarise

    keys = _keys(args.key)
    reports: dict[str, Summary | SpinffError] = {}
    for path in args.paths:
        try:
            frames = read_frames(path, format=args.format, keys=keys)
            check_some_moment(path, frames)
            reports[path] = summarise(frames)
        except SpinffError as error:
            reports[path] = error
    if args.json:
        print(json.dumps({path: _record(r) for path, r in reports.items()}, indent=1))
    else:
        for path, report in reports.items():
            _print_report(path, report)
    bad = any(isinstance(report, SpinffError) for report in reports.values())
    return EXIT_BAD_DATA if bad else 0


def _keys(entries: list[str]) -> dict[str, str]:
    keys = {}
    for entry in entries:
        quantity, equals, name = entry.partition("=")
        if not equals:
            raise SpinffError(
                f"--key: not a pair, got '{entry}', expected QUANTITY=NAME; write for "
                "example --key moments=magmom_raw"
            )
        keys[quantity] = name
    return keys


def _record(report: Summary | SpinffError) -> dict[str, object]:
    if isinstance(report, SpinffError):
        return {"problem": str(report)}
    return {"problem": None, **asdict(report)}


def _print_report(path: str, report: Summary | SpinffError) -> None:
    print(path)
    if isinstance(report, SpinffError):
        print(f"  problem          {report}")
        return
    for name, text in _rows(report).items():
        print(f"  {name:<15}  {text}")


def _rows(s: Summary) -> Mapping[str, str]:
    """Table of one data set: row name to text."""
    if s.n_atoms_min == s.n_atoms_max:
        atoms = f"{s.n_atoms_min} in each frame"
    else:
        atoms = f"{s.n_atoms_min} to {s.n_atoms_max} in a frame"
    rows = {
        "frames": f"{s.n_frames}",
        "atoms": atoms,
        "species": ", ".join(f"{name} {count}" for name, count in s.species.items()),
    }
    for name, m in s.moments.items():
        zero = f", {m.n_zero} atoms without" if m.n_zero else ""
        rows[f"moments of {name}"] = (
            f"{m.mean:.4f} µB in the mean, {m.minimum:.4f} to {m.maximum:.4f}{zero}"
        )
    rows["energy"] = _figure(
        s.energy_std_mev_per_atom, "meV/atom spread", s.missing_energy, "frames"
    )
    rows["forces"] = _figure(
        s.forces_rms_mev_per_a, "meV/Å rms", s.missing_forces, "frames"
    )
    rows["stress"] = _figure(
        s.stress_rms_mev_per_a3, "meV/Å³ rms", s.missing_stress, "frames"
    )
    rows["magnetic forces"] = _figure(
        s.magnetic_forces_transverse_rms_mev_per_mub,
        "meV/µB rms across the moment",
        s.missing_magnetic_forces,
        "atoms with a moment",
    )
    if s.magnetic_forces_longitudinal_rms_mev_per_mub is not None:
        along = s.magnetic_forces_longitudinal_rms_mev_per_mub
        rows["  and along it"] = f"{along:.4g} meV/µB rms"
    rows["sha256"] = s.sha256
    return rows


def _figure(value: float | None, unit: str, missing: int, of_what: str) -> str:
    if value is None:
        return "no label"
    absent = f", no label on {missing} {of_what}" if missing else ""
    return f"{value:.4g} {unit}{absent}"


def _generate(args: argparse.Namespace) -> int:
    from spinff.data.references import reference

    hamiltonian = reference(args.name)
    if args.describe:
        text = hamiltonian.describe()
        record = {"name": args.name, "description": text}
        print(json.dumps(record) if args.json else text)
        return 0
    for option, value in (("-n N", args.frames), ("-o FILE", args.output)):
        if value is None:
            raise SpinffError(
                f"spinff data generate: {option} is missing, got nothing, expected the "
                "number of frames and the file to write; add it, or --describe to only "
                "read about the Hamiltonian"
            )
    report = {
        "name": args.name,
        **_write_frames(hamiltonian, args),
        "seed": args.seed,
        "output": args.output,
    }
    if args.json:
        print(json.dumps(report))
    else:
        print(
            f"{args.output}: {report['n_frames']} frames of {args.name}, "
            f"{report['n_atoms'] // report['n_frames']} atoms each, seed {args.seed}"
        )
    return 0


def _keep_labels(atoms: Atoms, labels: Sequence[str]) -> None:
    """Drops the labels of a frame that are not asked for."""
    from spinff.fields import MAGNETIC_FORCES_KEY

    assert atoms.calc is not None
    results = atoms.calc.results
    atoms.calc.results = {name: results[name] for name in results if name in labels}
    if MAGNETIC_FORCES_KEY not in labels:
        atoms.arrays.pop(MAGNETIC_FORCES_KEY, None)


def _write_frames(
    hamiltonian: ReferenceHamiltonian, args: argparse.Namespace
) -> dict[str, int]:
    """Makes and writes the frames, with a progress bar in a terminal."""
    from tqdm import tqdm

    from spinff.data.extxyz import write_extxyz

    output = Path(args.output)
    if not output.parent.is_dir():  # not after minutes of work
        raise SpinffError(
            f"{output}: cannot be written, got the folder '{output.parent}', expected "
            "one that exists; create it or correct the path"
        )
    frames = hamiltonian.iterate(
        args.frames,
        args.seed,
        None if args.repeat is None else tuple(args.repeat),
        args.displacement,
        args.strain,
        args.disorder,
    )
    # disable=None: no bar where nobody watches; delay: nor for a short run.
    shown = list(
        tqdm(frames, args.name, args.frames, unit="frame", delay=2, disable=None)
    )
    for atoms in shown:
        _keep_labels(atoms, args.labels)
    write_extxyz(output, shown)
    return {"n_frames": len(shown), "n_atoms": sum(len(frame) for frame in shown)}
