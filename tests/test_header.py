"""The header of a deployed model: round trip, and a sentence for every fault."""

import copy
import importlib
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from spinff import SpinffError
from spinff.header import (
    FORMAT_VERSION,
    ModelHeader,
    archive_kind,
    has_couplings,
    parse_header,
    read_header,
)

HEADER: dict[str, Any] = {
    "format": "spinff-deployed-model",
    "format_version": 2,
    "backend": "torchscript",
    "spinff_version": "0.1.0",
    "torch_version": "2.13.0",
    "nequip_version": "0.19.1",
    "allegro_version": "0.8.3",
    "e3nn_version": "0.6.0",
    "model_class": "SpinAllegro",
    "strictly_local": True,
    "terms": ["lattice", "exchange"],
    "spin_orbit_coupling": True,
    "moment_mode": "fixed",
    "type_names": ["Ni", "O"],
    "magnetic_types": ["Ni"],
    "moments": {"Ni": 1.278},
    "r_max": 5.0,
    "cutoffs": [[5.0, 4.0], [4.0, 3.2]],
    "dtype": "float32",
    "units": {"energy": "eV", "length": "angstrom", "moment": "bohr_magneton"},
    "magnetic_force_scale": {"Ni": 0.824},
    "training_data_sha256": "5f" * 32,
    "git_revision": "0123abcd",
    "created": "2026-11-22T08:00:00+00:00",
}

WRONG_VALUES: list[tuple[str, Any]] = [
    ("format", "mace-model"),
    ("format_version", 0),
    ("format_version", "1"),
    ("format_version", 1.5),
    ("format_version", True),
    ("backend", "onnx"),
    ("spinff_version", ""),
    ("torch_version", 2.13),
    ("nequip_version", None),
    ("allegro_version", []),
    ("e3nn_version", {}),
    ("model_class", "MACE"),
    ("strictly_local", 1),
    ("strictly_local", "yes"),
    ("terms", "lattice"),
    ("terms", []),
    ("terms", ["exchange"]),
    ("terms", ["exchange", "lattice"]),
    ("terms", ["lattice", "biquartic"]),
    ("terms", ["lattice", "lattice"]),
    ("spin_orbit_coupling", 1),
    ("moment_mode", "free"),
    ("type_names", []),
    ("type_names", ["Ni", "Ni"]),
    ("type_names", ["Ni", ""]),
    ("type_names", ["Ni", 8]),
    ("magnetic_types", ["Fe"]),
    ("magnetic_types", ["Ni", "Ni"]),
    ("moments", {}),
    ("moments", {"Ni": 1.2, "O": 0.1}),
    ("moments", {"Ni": 0.0}),
    ("moments", {"Ni": -1.2}),
    ("moments", {"Ni": "1.2"}),
    ("moments", [1.2]),
    ("r_max", 0),
    ("r_max", -5.0),
    ("r_max", "5"),
    ("r_max", True),
    ("r_max", 100.5),
    ("cutoffs", [[5.0, 4.0]]),
    ("cutoffs", [[5.0], [4.0]]),
    ("cutoffs", [[5.0, 4.0], [4.0, 5.1]]),
    ("cutoffs", [[5.0, 4.0], [0.0, 3.2]]),
    ("cutoffs", 5.0),
    ("dtype", "float16"),
    ("units", {"energy": "Ry", "length": "angstrom", "moment": "bohr_magneton"}),
    ("units", {"energy": "eV", "length": "angstrom"}),
    ("magnetic_force_scale", {"O": 1.0}),
    ("magnetic_force_scale", {"Ni": -0.8}),
    ("training_data_sha256", ""),
    ("git_revision", None),
    ("created", 2026),
    ("created", "20\n26"),
]

NOT_JSON_OBJECTS = [
    *("", "{", "[1, 2]", '"text"', '{"r_max": NaN}'),
    '{"format": ' + "[" * 100_000,
]


COUPLINGS: list[tuple[dict[str, object], bool]] = [
    ({}, True),
    ({"terms": ["lattice"]}, True),
    ({"terms": ["lattice", "exchange", "anisotropy", "biquadratic"]}, True),
    ({"model_class": "SpinAllegro"}, True),
    ({"terms": ["lattice", "ring"]}, False),
    ({"terms": ["lattice", "longitudinal"]}, False),
    ({"terms": ["lattice", "exchange", "tenn"]}, False),
    ({"moment_mode": "input"}, False),
    ({"moment_mode": "predicted"}, False),
    ({"strictly_local": False, "model_class": "SpinNequIP"}, False),
    ({"strictly_local": False, "model_class": "MagNet"}, False),
]
"""Fields of a header, and whether the file has the method ``couplings``."""


def cpp_parse_header(text: str) -> Any:  # noqa: ANN401 - a dictionary
    """The C++ reader, or a skip where the core is not built."""
    try:
        core = importlib.import_module("spinff._core")
    except ImportError:
        pytest.skip("spinff._core is not built; run make setup")
    return core.parse_header(text, "model file 'x.pth'")


def text_with(**changes: object) -> str:
    return json.dumps(copy.deepcopy(HEADER) | changes)


def assert_refused(text: str, *fragments: str) -> str:
    """Both readers refuse the text, in a message of the agreed form."""
    with pytest.raises(SpinffError) as caught:
        parse_header(text, "model file 'x.pth'")
    message = str(caught.value)
    assert message.startswith("model file 'x.pth': ")
    for fragment in (", got ", "expected ", "; ", *fragments):
        assert fragment in message
    return message


# === what is right ===


def test_round_trip() -> None:
    header = parse_header(json.dumps(HEADER), "here")
    assert header.cutoffs == ((5.0, 4.0), (4.0, 3.2))
    assert header.moments == {"Ni": 1.278}
    assert json.loads(header.to_json()) == HEADER
    assert ModelHeader.from_json(header.to_json(), "here") == header


def test_unknown_fields_are_ignored() -> None:
    assert parse_header(text_with(colour="blue"), "here") == parse_header(
        json.dumps(HEADER), "here"
    )


def test_cpp_reads_the_same_header() -> None:
    cpp_parse_header(json.dumps(HEADER))
    cpp_parse_header(text_with(colour="blue"))


@pytest.mark.parametrize(("fields", "expected"), COUPLINGS)
def test_has_couplings(fields: dict[str, object], expected: bool) -> None:
    text = text_with(**fields)
    assert has_couplings(parse_header(text, "here")) is expected


@pytest.mark.parametrize(("fields", "expected"), COUPLINGS)
def test_has_couplings_in_cpp(fields: dict[str, object], expected: bool) -> None:
    text = text_with(**fields)
    header, read = parse_header(text, "here"), cpp_parse_header(text)
    assert read["has_couplings"] is expected
    for name in ("strictly_local", "moment_mode", "model_class"):
        assert read[name] == getattr(header, name)
    assert read["terms"] == list(header.terms)


def test_a_header_that_would_be_refused_is_not_written() -> None:
    header = parse_header(json.dumps(HEADER), "here")
    broken = ModelHeader(**(vars(header) | {"moments": {"Ni": 0.0}}))
    with pytest.raises(SpinffError, match="'moments' is wrong, got"):
        broken.to_json()


# === what is wrong in the text ===


@pytest.mark.parametrize("name", HEADER)
def test_missing_field(name: str) -> None:
    text = json.dumps({key: HEADER[key] for key in HEADER if key != name})
    assert_refused(text, f"header field '{name}' is missing")


@pytest.mark.parametrize("name", HEADER)
def test_missing_field_in_cpp(name: str) -> None:
    text = json.dumps({key: HEADER[key] for key in HEADER if key != name})
    with pytest.raises(ValueError, match=name):
        cpp_parse_header(text)


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES)
def test_wrong_field(name: str, value: object) -> None:
    assert_refused(text_with(**{name: value}), f"header field '{name}' is wrong")


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES)
def test_wrong_field_in_cpp(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        cpp_parse_header(text_with(**{name: value}))


def test_every_field_has_its_own_sentence() -> None:
    messages = {
        name: assert_refused(text_with(**{name: value})) for name, value in WRONG_VALUES
    }
    assert set(messages) == set(HEADER)
    assert len(set(messages.values())) == len(HEADER)


@pytest.mark.parametrize(
    ("number", "age", "advice"),
    [
        (FORMAT_VERSION + 1, "a newer format", "update spinff"),
        (1, "an older format", "deploy the checkpoint again with this spinff"),
    ],
)
def test_other_format(number: int, age: str, advice: str) -> None:
    text = text_with(format_version=number, spinff_version="9.9.9")
    parts = (
        age,
        f"got format version {number}",
        f"expected {FORMAT_VERSION}",
        "spinff 9.9.9",
        advice,
    )
    assert "header field" not in assert_refused(text, *parts)
    with pytest.raises(ValueError, match=f"{age}.*got.*expected.*; {advice}"):
        cpp_parse_header(text)


@pytest.mark.parametrize("text", NOT_JSON_OBJECTS)
def test_not_a_json_object(text: str) -> None:
    assert_refused(text, "JSON")


@pytest.mark.parametrize("text", NOT_JSON_OBJECTS)
def test_not_a_json_object_in_cpp(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        cpp_parse_header(text)


# === what is wrong with the file ===


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_read_header_from_a_zip_archive(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "m.pth",
        {"m/extra/spinff.json": json.dumps(HEADER), "m/constants.pkl": ""},
    )
    assert archive_kind(path) == "deployed"
    assert read_header(path).type_names == ("Ni", "O")


def test_header_is_where_torch_puts_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Double(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return 2 * x

    path = tmp_path / "model.pth"
    example = torch.zeros(1)
    scripted = torch.jit.trace(Double(), example)
    torch.jit.save(scripted, path, _extra_files={"spinff.json": json.dumps(HEADER)})
    assert read_header(path).moments == {"Ni": 1.278}
    torch.jit.save(scripted, tmp_path / "bare.pth")
    with pytest.raises(SpinffError, match="TorchScript file without spinff's header"):
        read_header(tmp_path / "bare.pth")
    torch.save({"state_dict": {"w": example}}, tmp_path / "last.ckpt")
    with pytest.raises(SpinffError, match=r"got a training checkpoint.*spinff deploy"):
        read_header(tmp_path / "last.ckpt")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match=r"no\.pth': the file is missing, got"):
        read_header(tmp_path / "no.pth")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(SpinffError, match="the path is a directory, got"):
        read_header(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 200])
def test_truncated_file(tmp_path: Path, kept: int) -> None:
    whole = write_zip(tmp_path / "a.pth", {"a/extra/spinff.json": json.dumps(HEADER)})
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(SpinffError, match=f"is truncated, got {kept} bytes"):
        read_header(cut)


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "in.lammps"
    path.write_text("units metal\n")
    with pytest.raises(SpinffError, match=r"of another kind, got one that begins with"):
        read_header(path)


def test_other_zip_archive(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a/readme.txt": "hello"})
    with pytest.raises(SpinffError, match=r"of another kind, got another zip archive"):
        read_header(path)


def test_damaged_header(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.pth", {"a/extra/spinff.json": json.dumps(HEADER)})
    damaged = path.read_bytes().replace(b"angstrom", b"Angstrom")
    path.write_bytes(damaged)
    with pytest.raises(SpinffError, match="the header is damaged, got"):
        read_header(path)


# === damage ===


def test_a_number_too_large_for_a_float() -> None:
    assert_refused(text_with(r_max=10**400), "header field 'r_max' is wrong")


def damaged(content: bytes, random: Random) -> bytes:
    """A copy with one to three faults."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(changed) + 1)
        end = start + random.randrange(20)
        match random.randrange(5):
            case 0:
                changed[start:end] = random.randbytes(random.randrange(20))
            case 1:
                del changed[start:]
            case 2:
                changed[start:start] = changed[start : start + 200]
            case 3:
                words = (b"1e999", b"9" * 5000, b"[" * 2000, b"\\ud800", b"\xff", b"{}")
                changed[start:start] = random.choice(words)
            case _ if start < len(changed):
                changed[start] ^= 1 << random.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("archive", [False, True], ids=["text", "archive"])
def test_damage_ends_in_a_sentence(archive: bool, tmp_path: Path) -> None:
    """cpp/tests/test_mutated_files.cpp does the same to the reader in C++."""
    random, path = Random(7), tmp_path / "a.pth"
    text = json.dumps(HEADER).encode()
    whole = write_zip(path, {"a/extra/spinff.json": text.decode()}).read_bytes()
    refused = 0
    for _ in range(1500):
        try:
            if archive:
                path.write_bytes(damaged(whole, random))
                read_header(path)
            else:
                parse_header(damaged(text, random).decode("latin-1"), "here")
        except SpinffError as error:
            refused += 1
            message = str(error)
            assert len(message) < 1500
            assert message.encode()  # can be printed
            assert min(message) >= " "
    assert refused > 1000
