"""Gives model files to LAMMPS, one after the other in one process; for a test to start.

Usage: python damaged_models.py FILE...; prints for each file one line, either "loaded"
or the error. A process that does not come to its last line has crashed.
"""

import sys

import lammps

SETUP = """
units metal
atom_style spin
region box block 0 4 0 4 0 4
create_box 2 box
mass * 16.0
pair_style spin/allegro
"""


def main() -> None:
    """Tries every file."""
    lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    lmp.commands_string(SETUP)
    for path in sys.argv[1:]:
        try:
            lmp.command(f"pair_coeff * * {path} Ni O")
            answer = "loaded"
        except Exception as error:
            answer = " ".join(str(error).split())
        print(f"{path}: {answer}")  # noqa: T201 - the test reads it
    print("end")  # noqa: T201


if __name__ == "__main__":
    main()
