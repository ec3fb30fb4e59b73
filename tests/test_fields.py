"""The declarations of the data fields, and nequip's knowledge of them."""

from pathlib import Path

import pytest
import torch
from nequip.data import AtomicDataDict
from nequip.data._key_registry import _LONG_FIELDS, get_field_type

from spinff import fields
from spinff.errors import SpinffError

DOCS_PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def test_every_constant_is_declared_once() -> None:
    constants = [v for name, v in vars(fields).items() if name.endswith("_KEY")]
    assert sorted(constants) == sorted(spec.key for spec in fields.FIELDS)
    assert len(set(constants)) == len(constants)


def test_magnetic_fields_are_axial_and_odd_under_time_reversal() -> None:
    for key in (
        fields.MAGNETIC_MOMENTS_KEY,
        fields.MAGNETIC_FORCES_KEY,
        fields.MAGNETIC_FORCE_LABELS_KEY,
    ):
        spec = fields.field(key)
        assert (spec.irreps, spec.time_reversal, spec.level) == ("1e", "odd", "node")
    assert fields.field(fields.EXCHANGE_KEY).time_reversal == "even"


def test_register_is_idempotent_and_reaches_nequip() -> None:
    fields.register()
    fields.register()
    in_batches = [s for s in fields.FIELDS if s.level in ("node", "graph")]
    assert fields.field(fields.SPINS_KEY) in in_batches
    for spec in in_batches:
        assert get_field_type(spec.key) == spec.level
    assert fields.MAGNETIC_EDGES_KEY in _LONG_FIELDS


def test_label_set_is_nequips_own_field() -> None:
    assert fields.LABEL_SET_KEY == AtomicDataDict.DATASET_KEY
    assert fields.LABEL_SET_KEY in _LONG_FIELDS


def test_unknown_field_lists_the_known_ones() -> None:
    with pytest.raises(SpinffError, match=r"unknown field, got 'spin'.*magnetic_mom"):
        fields.field("spin")


class _TakesMoments(torch.nn.Module):
    def forward(self, data: dict[str, torch.Tensor]) -> torch.Tensor:
        return data[fields.MAGNETIC_MOMENTS_KEY]


def test_constants_work_in_torchscript() -> None:
    scripted = torch.jit.script(_TakesMoments())
    moments = torch.ones(2, 3)
    assert torch.equal(scripted({"magnetic_moments": moments}), moments)


def test_documentation_page_holds_the_generated_table() -> None:
    assert fields.markdown_table() in DOCS_PAGE.read_text(encoding="utf-8")
