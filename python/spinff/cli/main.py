"""Entry point of the ``spinff`` command: parses, delegates, reports errors.

A sub-command is a module with ``add_arguments(parser)`` and ``run(args) -> int`` (the
exit status). Only the module of the chosen command is imported, and it imports heavy
packages inside ``run``, so that help is printed at once.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from spinff.errors import SpinffError
from spinff.files import cannot_be_written, no_room

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("spinff.cli.train", "train a model from a nequip configuration"),
    "evaluate": ("spinff.cli.evaluate", "errors of a model on labelled data"),
    "deploy": ("spinff.cli.deploy", "checkpoint to the one file LAMMPS and ASE read"),
    "check": ("spinff.cli.check", "symmetry and derivatives of a model file"),
    "info": ("spinff.cli.info", "what a model file contains"),
    "data": ("spinff.cli.data", "summarise, check and generate data sets"),
    "doctor": ("spinff.cli.doctor", "check versions, plugin, MPI and devices"),
    "plugin-path": ("spinff.cli.plugin_path", "directory of the LAMMPS plugin"),
}
"""Command → module, one-line help."""

EXIT_BAD_INPUT = 2
EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


class Command(Protocol):
    """What the module of a sub-command provides."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares the arguments of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Does the work and returns the exit status."""


def load_command(name: str) -> Command:
    """Imports the module of one sub-command."""
    return cast(Command, import_module(COMMANDS[name][0]))


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """A parser that knows every command's name, and the arguments of the chosen one."""
    parser = argparse.ArgumentParser(
        prog="spinff",
        description="Magnetic machine-learned potentials for spin-lattice dynamics.",
        epilog="spinff COMMAND --help describes a command.",
    )
    parser.add_argument(
        "--version", action="store_true", help="print the version and exit"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (_, summary) in COMMANDS.items():
        sub_parser = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:
            load_command(name).add_arguments(sub_parser)
    return parser


def write_error_log() -> str:
    """Leaves the traceback of the current exception in the current directory."""
    path = Path("error.log")
    try:
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError as error:
        traceback.print_exc()
        return f"the traceback stands above, as error.log cannot be written ({error})"
    return f"the traceback is in {path.resolve()}"


def run_command(name: str, args: argparse.Namespace) -> int:
    """Runs a command and turns its exceptions into a sentence and an exit status."""
    try:
        status = load_command(name).run(args)
        sys.stdout.flush()
        return status
    except SpinffError as error:
        print(f"spinff {name}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(f"spinff {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone: no message, and no second failure at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if no_room(error):
            return report_no_room(name, error)
        first_line = (str(error).strip() or "no message").splitlines()[0]
        print(
            f"spinff {name}: unexpected {type(error).__name__}: {first_line}; "
            f"{write_error_log()}",
            file=sys.stderr,
        )
        return EXIT_UNEXPECTED


def report_no_room(name: str, error: Exception) -> int:
    """The sentence about a full disk, also where it is standard output that is full."""
    cause = no_room(error)
    assert cause is not None
    print(
        f"spinff {name}: {cannot_be_written(cause.filename or 'the output', cause)}",
        file=sys.stderr,
    )
    try:
        sys.stdout.flush()
    except OSError:  # what is left in its buffer would fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BAD_INPUT


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``spinff`` with the given arguments, by default those of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if word in COMMANDS), None)
    parser = build_parser(chosen)
    args = parser.parse_args(arguments)
    if args.version:
        from spinff import __version__

        print(__version__)
        return 0
    if args.command is None:
        parser.print_help()
        return EXIT_BAD_INPUT
    return run_command(args.command, args)
