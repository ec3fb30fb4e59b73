"""T-graded irreps: text, selection rules, dimensions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinff.errors import SpinffError
from spinff.irreps import TIrrep, TIrreps, reachable, tensor_product_paths, useful

irreps = st.builds(
    TIrrep, st.integers(0, 6), st.sampled_from([1, -1]), st.sampled_from([1, -1])
)


@given(irreps)
def test_text_of_an_irrep_reads_back(ir: TIrrep) -> None:
    assert TIrrep(str(ir)) == ir


@given(st.lists(st.tuples(st.integers(0, 9), irreps)))
def test_text_of_a_list_reads_back(pairs: list[tuple[int, TIrrep]]) -> None:
    assert TIrreps(str(TIrreps(pairs))) == TIrreps(pairs)


@given(irreps, irreps)
def test_product_conserves_dimension_and_multiplies_parities(
    a: TIrrep, b: TIrrep
) -> None:
    assert sum(ir.dim for ir in a * b) == a.dim * b.dim
    assert {ir.p for ir in a * b} == {a.p * b.p}
    assert {ir.t for ir in a * b} == {a.t * b.t}
    assert a * b == b * a


@given(irreps, irreps)
def test_product_agrees_with_e3nn_where_it_has_a_label(a: TIrrep, b: TIrrep) -> None:
    assert [ir.e3 for ir in a * b] == list(a.e3 * b.e3)


def test_without_a_third_letter_time_reversal_is_even() -> None:
    assert TIrrep("1o") == TIrrep("1oe") == TIrrep(1, -1, 1)


def test_time_reversal_forbids_an_energy_linear_in_a_spin() -> None:
    bond, spin = TIrreps("1x0ee + 1x1oe + 1x2ee"), TIrreps("1x1eo")
    energy = TIrreps("1x0ee")
    assert tensor_product_paths(bond, spin, energy) == []
    assert tensor_product_paths(spin, spin, energy) == [(0, 0, 0)]
    # the same without the label: e3nn would let a field along 1e through
    assert "0e" in [str(ir) for ir in TIrreps("1x1ee").e3[0].ir * spin.e3[0].ir]


def test_reachable_and_useful_prune_what_no_path_uses() -> None:
    sh = TIrreps("1x0ee + 1x1oe")
    wanted = TIrreps("1x0ee + 1x1ee + 1x3oe")
    assert reachable(sh, sh, wanted) == [TIrrep("0ee"), TIrrep("1ee")]
    track = TIrreps("1x0ee + 1x1oe + 1x2ee + 1x3oe")
    assert useful(track, sh, TIrreps("1x0ee")) == [TIrrep("0ee"), TIrrep("1oe")]


@pytest.mark.parametrize("text", ["", "e", "1", "1x", "1ex", "-1ee", "1eoo", "xee"])
def test_text_that_is_no_irrep_is_a_sentence(text: str) -> None:
    with pytest.raises(SpinffError, match=r"TIrrep: cannot read .*expected"):
        TIrrep(text)


@pytest.mark.parametrize("labels", [(-1, 1, 1), (1, 0, 1), (1, 1, 2)])
def test_labels_out_of_range_are_a_sentence(labels: tuple[int, int, int]) -> None:
    with pytest.raises(SpinffError, match="labels out of range"):
        TIrrep(*labels)
