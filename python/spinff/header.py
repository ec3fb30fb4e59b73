"""The header of a deployed model: ``spinff.json`` inside the model file.

A deployed model describes itself, so that LAMMPS, ASE and ``spinff info`` can refuse a
file they cannot use before they run it. The C++ reader (``cpp/src/header.cpp``) makes
the same checks; ``tests/test_header.py`` runs both on the same cases. Standard library
only: reading a header loads no torch.
"""

import json
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from spinff.errors import SpinffError

HEADER_NAME: Final = "spinff.json"
FORMAT: Final = "spinff-deployed-model"
FORMAT_VERSION: Final = 2
BACKENDS: Final = ("torchscript", "aotinductor")
MODEL_CLASSES: Final = ("SpinAllegro", "SpinNequIP", "MagNet")
TERMS: Final = (
    "lattice",
    "exchange",
    "anisotropy",
    "biquadratic",
    "ring",
    "longitudinal",
    "tenn",
)
COUPLING_TERMS: Final = ("lattice", "exchange", "anisotropy", "biquadratic")
"""Terms whose dependence on the spins is explicit: tensors that do not know them."""
MOMENT_MODES: Final = ("fixed", "input", "predicted")
DTYPES: Final = ("float32", "float64")
UNITS: Final = {"energy": "eV", "length": "angstrom", "moment": "bohr_magneton"}

LONGEST_CUTOFF: Final = 100.0
"""Å. No network sees further, and LAMMPS would fill the memory with ghost atoms."""
_LONGEST_SHOWN: Final = 200
_LONGEST_HEADER: Final = 1_000_000
"""Bytes; a header with a hundred types has a tenth of it."""
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error),
    *(ValueError, NotImplementedError, RuntimeError),
)
"""What zipfile raises for archives whose bytes have been changed."""

ArchiveKind = Literal["deployed", "torchscript", "checkpoint", "other"]


@dataclass(frozen=True, kw_only=True)
class ModelHeader:
    """What a deployed model says about itself."""

    backend: str
    """How the network is stored: one of ``BACKENDS``."""
    spinff_version: str
    """Version of spinff that wrote the file."""
    torch_version: str
    """Version of torch it was written with."""
    nequip_version: str
    """Version of nequip it was written with."""
    allegro_version: str
    """Version of nequip-allegro it was written with."""
    e3nn_version: str
    """Version of e3nn it was written with."""
    model_class: str
    """Name of the model: one of ``MODEL_CLASSES``."""
    strictly_local: bool
    """An atom's energy depends on its neighbours alone, not on theirs in turn."""
    terms: tuple[str, ...]
    """Parts of the energy, columns of what ``forward`` gives; ``lattice`` first."""
    spin_orbit_coupling: bool
    """False: spins may be rotated alone without a change of the energy."""
    moment_mode: str
    """``fixed``: one length of the moment for each magnetic type; ``input``: the length
    is given with the direction; ``predicted``: the model gives it."""
    type_names: tuple[str, ...]
    """Names of the types, in the order of the model's type numbers."""
    magnetic_types: tuple[str, ...]
    """The types that carry a moment."""
    moments: Mapping[str, float]
    """Length of the moment of each magnetic type, µB; where it is not fixed, the length
    that the model measures moments by."""
    r_max: float
    """Largest cutoff, Å."""
    cutoffs: tuple[tuple[float, ...], ...]
    """Cutoff of each directed edge, ``[centre type][neighbour type]``, Å."""
    dtype: str
    """Floating-point type of the network; the arrays outside are float64."""
    magnetic_force_scale: Mapping[str, float]
    """Label divided by −∂E/∂m, for each magnetic type with labels (no unit)."""
    training_data_sha256: str
    """Checksum of the training data."""
    git_revision: str
    """Revision of the source that wrote the file."""
    created: str
    """Date and time, ISO 8601."""
    format_version: int = FORMAT_VERSION
    """Version of this layout."""

    def to_json(self) -> str:
        """The text of ``spinff.json``; fails where ``parse_header`` would refuse it."""
        text = json.dumps({"format": FORMAT, **asdict(self), "units": UNITS}, indent=1)
        parse_header(text, "spinff deploy")
        return text

    @classmethod
    def from_json(cls, text: str, who: str) -> "ModelHeader":
        """Reads the text of ``spinff.json``; see :func:`parse_header`."""
        return parse_header(text, who)


class _Fields:
    """The fields of a header, each checked while it is taken out."""

    def __init__(self, raw: dict[str, Any], who: str) -> None:
        self._raw = raw
        self._who = who

    def take(self, name: str, expected: str, is_right: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - the type is what is_right tested
        """The value of a field, or the sentence that says what is wrong with it."""
        if name not in self._raw:
            raise SpinffError(
                f"{self._who}: header field '{name}' is missing, got none, "
                f"expected {expected}; deploy the model again with spinff deploy"
            )
        value = self._raw[name]
        if not is_right(value):
            got = _shown(json.dumps(value, ensure_ascii=False))
            raise SpinffError(
                f"{self._who}: header field '{name}' is wrong, got {got}, "
                f"expected {expected}; deploy the model again with spinff deploy"
            )
        return value

    def text(self, name: str) -> str:
        """A string that says something."""
        expected = "a non-empty string without control characters"
        value: str = self.take(name, expected, _is_plain_text)
        return value

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """One of the known words."""
        value: str = self.take(name, f"one of {', '.join(known)}", lambda v: v in known)
        return value

    def names(
        self, name: str, expected: str, is_right: Callable[[list[str]], bool]
    ) -> tuple[str, ...]:
        """A list of different non-empty strings that also fulfils ``is_right``."""

        def is_names(v: Any) -> bool:  # noqa: ANN401 - any JSON value
            return (
                isinstance(v, list)
                and all(_is_plain_text(word) for word in v)
                and len(set(v)) == len(v)
                and is_right(v)
            )

        return tuple(self.take(name, expected, is_names))


def _is_positive(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # the comparison first: an integer may be too large for isfinite
    return is_number and 0 < value < sys.float_info.max and math.isfinite(value)


def _is_plain_text(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Not empty, and without control characters: it appears in messages."""
    return (
        isinstance(value, str)
        and value != ""
        and min(value) >= " "
        and not any("\ud800" <= letter <= "\udfff" for letter in value)  # not Unicode
    )


def _is_positive_map(value: Any, keys: set[str]) -> bool:  # noqa: ANN401 - any JSON
    return (
        isinstance(value, dict)
        and set(value) == keys
        and all(_is_positive(number) for number in value.values())
    )


def _is_cutoff_table(value: Any, size: int, r_max: float) -> bool:  # noqa: ANN401
    return (
        isinstance(value, list)
        and len(value) == size
        and all(
            isinstance(row, list)
            and len(row) == size
            and all(_is_positive(cutoff) and cutoff <= r_max for cutoff in row)
            for row in value
        )
    )


def _shown(text: str) -> str:
    """A value in a message: shortened where it is long, and always printable."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _load_object(text: str, who: str) -> dict[str, Any]:
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # the second: a file of brackets
        reason = _shown(str(error))
        raise SpinffError(
            f"{who}: the header is not JSON, got an error at reading it ({reason}), "
            "expected one JSON object; deploy the model again with spinff deploy"
        ) from error
    if not isinstance(raw, dict):
        raise SpinffError(
            f"{who}: the header is not a JSON object, got {_shown(json.dumps(raw))}, "
            "expected one JSON object; deploy the model again with spinff deploy"
        )
    return raw


def _check_format(fields: _Fields, raw: dict[str, Any], who: str) -> int:
    """Checks the two fields that say how to read the others."""
    fields.take("format", f'"{FORMAT}"', lambda v: v == FORMAT)
    number: int = fields.take(
        "format_version",
        f"the integer {FORMAT_VERSION}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
    )
    if number != FORMAT_VERSION:
        age, advice = (
            ("a newer", "update spinff")
            if number > FORMAT_VERSION
            else ("an older", "deploy the checkpoint again with this spinff")
        )
        writer = json.dumps(raw.get("spinff_version", "of unknown version")).strip('"')
        raise SpinffError(
            f"{who}: the file has {age} format, got format version "
            f"{_shown(str(number))} (written by spinff {_shown(writer)}), "
            f"expected {FORMAT_VERSION}, which is what this spinff "
            f"{version('spinff')} reads; {advice}"
        )
    return number


def parse_header(text: str, who: str) -> ModelHeader:
    """Reads and checks the text of ``spinff.json``, field by field.

    Fields that this version does not know are ignored: a later version may add some
    without a new format version.

    Args:
        text: contents of ``spinff.json``.
        who: beginning of an error message, for instance the file's name.

    Returns:
        The header.

    Raises:
        SpinffError: with a sentence of its own for each field that is missing or wrong.
    """
    raw = _load_object(text, who)
    fields = _Fields(raw, who)
    format_version = _check_format(fields, raw, who)
    type_names = fields.names(
        "type_names", "at least one name, all different", lambda v: len(v) > 0
    )
    magnetic_types = fields.names(
        "magnetic_types",
        f"different names out of {_shown(', '.join(type_names))}",
        lambda v: set(v) <= set(type_names),
    )
    listed = _shown(", ".join(magnetic_types))
    per_magnetic_type = (
        f"a positive number for each of the magnetic types {listed} and for no other"
    )
    r_max: float = fields.take(
        "r_max",
        f"a positive number, at most {LONGEST_CUTOFF:g} (Å)",
        lambda v: _is_positive(v) and v <= LONGEST_CUTOFF,
    )
    n_types = len(type_names)
    cutoffs = fields.take(
        "cutoffs",
        f"{n_types} rows of {n_types} positive numbers, none above r_max = {r_max} (Å)",
        lambda v: _is_cutoff_table(v, n_types, r_max),
    )
    fields.take("units", json.dumps(UNITS), lambda v: v == UNITS)
    return ModelHeader(
        backend=fields.choice("backend", BACKENDS),
        spinff_version=fields.text("spinff_version"),
        torch_version=fields.text("torch_version"),
        nequip_version=fields.text("nequip_version"),
        allegro_version=fields.text("allegro_version"),
        e3nn_version=fields.text("e3nn_version"),
        model_class=fields.choice("model_class", MODEL_CLASSES),
        strictly_local=fields.take(
            "strictly_local", "true or false", lambda v: isinstance(v, bool)
        ),
        terms=fields.names(
            "terms",
            f"lattice, then different words out of {', '.join(TERMS[1:])}",
            lambda v: v[:1] == ["lattice"] and set(v) <= set(TERMS),
        ),
        spin_orbit_coupling=fields.take(
            "spin_orbit_coupling", "true or false", lambda v: isinstance(v, bool)
        ),
        moment_mode=fields.choice("moment_mode", MOMENT_MODES),
        type_names=type_names,
        magnetic_types=magnetic_types,
        moments=fields.take(
            "moments",
            f"{per_magnetic_type} (µB)",
            lambda v: _is_positive_map(v, set(magnetic_types)),
        ),
        r_max=float(r_max),
        cutoffs=tuple(tuple(float(cutoff) for cutoff in row) for row in cutoffs),
        dtype=fields.choice("dtype", DTYPES),
        magnetic_force_scale=fields.take(
            "magnetic_force_scale",
            per_magnetic_type,
            lambda v: _is_positive_map(v, set(magnetic_types)),
        ),
        training_data_sha256=fields.text("training_data_sha256"),
        git_revision=fields.text("git_revision"),
        created=fields.text("created"),
        format_version=format_version,
    )


def has_couplings(header: ModelHeader) -> bool:
    """Whether the deployed file has the method ``couplings``.

    It is there if the spins enter through tensors that depend on the positions alone:
    one pass of the network then serves any number of spin configurations.
    """
    return (
        header.strictly_local
        and header.moment_mode == "fixed"
        and set(header.terms) <= set(COUPLING_TERMS)
    )


# === the model file ===


def _open_archive(path: Path, who: str) -> zipfile.ZipFile:
    """Opens the zip archive that every model file is, or says why it is none."""
    if not path.exists():
        raise SpinffError(
            f"{who}: the file is missing, got no such path, expected a model file "
            "written by spinff deploy; check the path"
        )
    if not path.is_file():
        raise SpinffError(
            f"{who}: the path is a directory, got no file, expected a model file "
            "written by spinff deploy; name the file inside it"
        )
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise SpinffError(
            f"{who}: the file cannot be read, got {error.strerror}, expected a "
            "readable file; check its permissions"
        ) from error
    except _DAMAGED as error:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(4)
        if size == 0 or first == b"PK\x03\x04":
            raise SpinffError(
                f"{who}: the file is truncated, got {size} bytes without the end of "
                "the archive, expected a complete model file; copy it again or deploy "
                "the model again"
            ) from error
        raise SpinffError(
            f"{who}: the file is of another kind, got one that begins with {first!r}, "
            "expected a model file written by spinff deploy; check the path"
        ) from error


def _header_member(archive: zipfile.ZipFile) -> str | None:
    """Name of the header in the archive: ``<archive name>/extra/spinff.json``."""
    return next(
        (
            name
            for name in archive.namelist()
            if name.split("/")[1:] == ["extra", HEADER_NAME]
        ),
        None,
    )


def _kind(archive: zipfile.ZipFile) -> ArchiveKind:
    if _header_member(archive) is not None:
        return "deployed"
    members = {name.split("/", 1)[-1] for name in archive.namelist()}
    if "constants.pkl" in members:
        return "torchscript"
    return "checkpoint" if "data.pkl" in members else "other"


def archive_kind(path: str | Path) -> ArchiveKind:
    """What sort of file this is, judged by the names in its zip archive.

    Raises:
        SpinffError: if the file is missing, truncated or no zip archive.
    """
    with _open_archive(Path(path), f"model file '{path}'") as archive:
        return _kind(archive)


def _read_text(archive: zipfile.ZipFile, member: str) -> str:
    size = archive.getinfo(member).file_size
    if size > _LONGEST_HEADER:  # what the file says: it may be anything
        raise zipfile.BadZipFile(f"{size} bytes, more than {_LONGEST_HEADER}")
    return archive.read(member).decode("utf-8")


def read_header(path: str | Path) -> ModelHeader:
    """Reads and checks the header of a deployed model.

    Raises:
        SpinffError: if the file is missing, truncated, of another kind or of a newer
            format, or if a field of its header is missing or wrong.
    """
    who = f"model file '{path}'"
    with _open_archive(Path(path), who) as archive:
        member = _header_member(archive)
        if member is None:
            got, advice = {
                "checkpoint": (
                    "a training checkpoint",
                    "run spinff deploy on the checkpoint first",
                ),
                "torchscript": (
                    "a TorchScript file without spinff's header",
                    "write the file with spinff deploy",
                ),
            }.get(_kind(archive), ("another zip archive", "check the path"))
            raise SpinffError(
                f"{who}: the file is of another kind, got {got}, expected a model file "
                f"written by spinff deploy; {advice}"
            )
        try:
            text = _read_text(archive, member)
        except _DAMAGED as error:
            raise SpinffError(
                f"{who}: the header is damaged, got {error}, expected readable text; "
                "copy the file again or deploy the model again"
            ) from error
    return parse_header(text, who)
