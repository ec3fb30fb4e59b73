"""The Python face of the C++ core; `ctest` runs the tests of the core itself."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spinff import SpinffError, _core

Array = NDArray[np.float64]


@pytest.fixture
def sample() -> tuple[NDArray[np.int32], Array, Array, Array]:
    """Directed pairs of five atoms, J̃, K̃ and directions."""
    random = np.random.default_rng(3)
    pairs = np.array([(i, j) for i in range(5) for j in range(5) if i != j])
    tensors = random.normal(size=(len(pairs), 3, 3))
    biquadratic = random.normal(size=len(pairs))
    directions = random.normal(size=(5, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return pairs.astype(np.int32), tensors, biquadratic, directions


def test_exchange_against_numpy(
    sample: tuple[NDArray[np.int32], Array, Array, Array],
) -> None:
    pairs, tensors, biquadratic, e = sample
    i, j = pairs.T
    cosine = (e[i] * e[j]).sum(1)
    halves = 0.5 * np.einsum("pa,pab,pb->p", e[i], tensors, e[j])
    halves += 0.5 * biquadratic * cosine**2
    expected = np.bincount(i, halves, minlength=5)
    got = _core.exchange_energy(pairs, tensors, biquadratic, e)
    np.testing.assert_allclose(got, expected, atol=1e-14)

    gradient = np.zeros((5, 3))
    slope = (biquadratic * cosine)[:, None]
    half = 0.5 * np.einsum("pab,pb->pa", tensors, e[j])
    np.add.at(gradient, i, half + slope * e[j])
    half = 0.5 * np.einsum("pab,pa->pb", tensors, e[i])
    np.add.at(gradient, j, half + slope * e[i])
    got = _core.exchange_gradient(pairs, tensors, biquadratic, e)
    np.testing.assert_allclose(got, gradient, atol=1e-14)


def test_anisotropy_against_numpy() -> None:
    random = np.random.default_rng(6)
    tensors, e = random.normal(size=(7, 3, 3)), random.normal(size=(7, 3))
    expected = np.einsum("na,nab,nb->n", e, tensors, e)
    got = _core.anisotropy_energy(tensors, e)
    np.testing.assert_allclose(got, expected, atol=1e-14)
    symmetric = tensors + tensors.swapaxes(1, 2)
    expected = np.einsum("nab,nb->na", symmetric, e)
    got = _core.anisotropy_gradient(tensors, e)
    np.testing.assert_allclose(got, expected, atol=1e-14)
    shape = r"'tensors' has the wrong shape, got \(7, 3, 3\), expected \(6, 3, 3\)"
    with pytest.raises(SpinffError, match=shape):
        _core.anisotropy_energy(tensors, e[:6])


def test_wrong_arrays_are_named(
    sample: tuple[NDArray[np.int32], Array, Array, Array],
) -> None:
    pairs, tensors, biquadratic, e = sample
    shape = r"array 'tensors' has the wrong shape, got \(20, 9\), expected \(20, 3, 3\)"
    with pytest.raises(SpinffError, match=shape):
        _core.exchange_energy(pairs, tensors.reshape(20, 9), biquadratic, e)
    missing = "pair 3 names a missing atom, got index 4, expected one below 4"
    with pytest.raises(SpinffError, match=missing):
        _core.exchange_gradient(pairs, tensors, biquadratic, e[:4])


def test_rotation_keeps_lengths() -> None:
    random = np.random.default_rng(4)
    spins, rotation = random.normal(size=(2, 100, 3))
    turned = _core.sib_rotate(spins, rotation)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(spins, axis=1), rtol=1e-14
    )
    # the implicit equation that it solves
    middle = np.cross(rotation, 0.5 * (spins + turned))
    np.testing.assert_allclose(turned - spins, middle, atol=1e-13)


def test_a_step_without_field_and_noise_is_none() -> None:
    spins = np.eye(3)
    none = np.zeros((3, 3))
    turned = _core.sib_advance(spins, spins, none, np.ones(3), none, 0.1, 0.001)
    np.testing.assert_array_equal(turned, spins)


def test_noise_depends_on_the_atom_not_on_its_place() -> None:
    tags = np.array([5, 9, 2**40], dtype=np.uint64)
    numbers = _core.gaussian3(17, tags, 1000, 0)
    np.testing.assert_array_equal(
        _core.gaussian3(17, tags[::-1], 1000, 0), numbers[::-1]
    )
    for other in (
        _core.gaussian3(18, tags, 1000, 0),
        _core.gaussian3(17, tags, 1001, 0),
        _core.gaussian3(17, tags, 1000, 1),
    ):
        assert not np.any(other == numbers)


def test_known_answer_of_philox() -> None:
    """Random123's known-answer file: zero counter, zero key."""
    assert _core.philox4x32([0] * 4, [0] * 2) == [
        0x6627E8D5,
        0xE169C58D,
        0xBC57AC4C,
        0x9B00DBD8,
    ]
