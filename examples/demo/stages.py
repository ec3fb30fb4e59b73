"""Stages of a script that runs programs: progress, logs, failure in a sentence."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from spinff.errors import SpinffError

HEARTBEAT = 15.0
"""Seconds between two lines of progress."""


class StageError(Exception):
    """A stage failed; the message says which, how, and where its output lies."""


@dataclass
class Stages:
    """Numbers, announces and times the stages."""

    total: int
    """How many there will be."""
    finished: list[tuple[str, float]] = field(default_factory=list)
    """Title and seconds of each."""

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announces a stage, and its time when it has ended.

        Raises:
            StageError: for an error inside, with the stage's name.
        """
        name = f"stage {len(self.finished) + 1} of {self.total}"
        print(f"{name}: {title}", flush=True)
        start = time.monotonic()
        try:
            yield
        except (StageError, SpinffError) as error:
            raise StageError(f"{name} ({title}) failed: {error}") from error
        seconds = time.monotonic() - start
        self.finished.append((title, seconds))
        print(f"    done in {seconds:.0f} s", flush=True)


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[str], str] | None = None,
    heartbeat: float = HEARTBEAT,
) -> None:
    """Runs a program, its output in a file, a line on the screen now and then.

    Args:
        command: program and arguments.
        log: file of what it prints.
        output: file of its standard output, if that is to be apart from the log.
        environment: variables to set besides those of this process.
        progress: makes a line of progress of what is in the log.
        heartbeat: seconds between lines of progress.

    Raises:
        StageError: if it cannot be started, or ends with another status than 0.
    """
    words = [str(word) for word in command]
    start = time.monotonic()
    with (
        log.open("wb") as errors,
        output.open("wb") if output else nullcontext(errors) as standard,
    ):
        try:
            process = subprocess.Popen(
                words,
                stdout=standard,
                stderr=errors,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise StageError(
                f"cannot start {words[0]}, got {error.strerror}; run make setup"
            ) from error
        status = _wait(process, start, log, progress, heartbeat)
    if status != 0:
        name = f"{Path(words[0]).name} {words[1]} …"
        raise StageError(
            f"'{name}' ended with status {status}; its output is in {log}, which ends "
            f"with:\n{last_lines(_text(log))}"
        )


def _wait(
    process: subprocess.Popen[bytes],
    start: float,
    log: Path,
    progress: Callable[[str], str] | None,
    heartbeat: float,
) -> int:
    """Waits, and kills the program rather than leave it running if interrupted."""
    try:
        while True:
            try:
                return process.wait(heartbeat)
            except subprocess.TimeoutExpired:
                text = _text(log)
                detail = progress(text) if progress else ""
                seconds = time.monotonic() - start
                print(f"    {seconds:4.0f} s  {detail}".rstrip(), flush=True)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _text(log: Path) -> str:
    # no translation of \r into a line's end: see last_lines
    return log.read_bytes().decode(errors="replace")


def last_lines(text: str, count: int = 8) -> str:
    """The last lines with something in them, indented, of a terminal's output."""
    # a progress bar overwrites its line: what stands after the last \r is seen
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in text.split("\n")]
    return "\n".join(f"    {line}" for line in [x for x in lines if x][-count:])
