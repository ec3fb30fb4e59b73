"""Output files that are there whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from spinff.errors import SpinffError

_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, beside ``path``, which it becomes at the end.

    A full disk or a kill leaves an earlier file of that name as it was, and no half of
    a new one. The temporary name ends as ``path`` does, for writers that look at it.

    Raises:
        SpinffError: instead of any OSError while it is written.
    """
    target = Path(path).resolve()  # a link stays a link
    if target.exists() and not target.is_file():  # /dev/stdout or a pipe stays one, too
        with _sentence(path):
            yield target
        return
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with _sentence(path):
            yield temporary
            _to_disk(temporary)
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _sentence(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpinffError(cannot_be_written(path, error)) from error


def _to_disk(path: Path) -> None:
    """Some file systems say only here that they are full."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_be_written(path: str | Path, error: OSError) -> str:
    """The sentence for a file that cannot be written."""
    reason = error.strerror or str(error)
    if no_room(error):
        expected, advice = "room for the file", "free some space or write elsewhere"
    else:
        expected = "a file in a folder that exists and may be written to"
        advice = "correct the path"
    return f"{path}: cannot be written, got '{reason}', expected {expected}; {advice}"


def no_room(error: BaseException | None) -> OSError | None:
    """The full disk among an exception and its causes, if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None
