"""Names under which files keep a quantity, and the rule that only one may be there.

Each table holds the names met in files of that format (docs/data.md says whose they
are). A name given by the user replaces the table for that quantity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from spinff.errors import SpinffError

QUANTITIES: Final[tuple[str, ...]] = (
    "moments",
    "magnetic_forces",
    "energy",
    "forces",
    "stress",
    "virial",
    "stress_kB",
)
# quantities that say the same in different units and signs
STRESSES: Final[tuple[str, ...]] = ("stress", "virial", "stress_kB")

EXTXYZ_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "moments": (
        "magnetic_moments",
        "spin",
        "spins",
        "moment",
        "mag",
        "magmoms",
        "initial_magmoms",
        "initial_noncollinear_magmoms",
        "magmom_smoothed",
        "magmom_raw",
    ),
    "magnetic_forces": (
        "magnetic_forces",
        "magnetic_force",
        "mforce",
        "mforces",
        "force_mag",
        "forces_mag",
        "force_mags",
        "noncollinear_magnetic_forces",
    ),
    "energy": ("energy", "energy_free", "energy_zero"),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "virial": ("virial",),
    # read only where keys names it: "kB" in a name does not say whose sign it has
    "stress_kB": (),
}

DEEPMD_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "moments": ("spin", "spins"),
    "magnetic_forces": ("force_mag", "force_mags"),
    "energy": ("energy",),
    "forces": ("force",),
    "stress": (),
    "virial": ("virial",),
    "stress_kB": (),
}


def resolve(
    who: str,
    present: Collection[str],
    aliases: Mapping[str, tuple[str, ...]],
    keys: Mapping[str, str],
) -> dict[str, str]:
    """Find the name of each quantity among the names that are there.

    Args:
        who: the file (and frame) for messages.
        present: names found in it.
        aliases: names to look for, per quantity.
        keys: names chosen by the user, per quantity; these are looked for alone.

    Returns:
        Name per quantity; a quantity that is not there is left out.

    Raises:
        SpinffError: if two names of one quantity are there, or a stress in two forms,
            and the user chose neither.
    """
    found: dict[str, str] = {}
    for quantity in QUANTITIES:
        names = (keys[quantity],) if quantity in keys else aliases[quantity]
        here = [name for name in names if name in present]
        if len(here) > 1:
            raise _ambiguous(who, quantity, here)
        if here:
            found[quantity] = here[0]
    forms = [quantity for quantity in STRESSES if quantity in found]
    if len(forms) > 1:
        chosen = [quantity for quantity in forms if quantity in keys]
        if len(chosen) != 1:
            raise _ambiguous(who, "stress", [found[quantity] for quantity in forms])
        found = {q: n for q, n in found.items() if q not in forms or q in chosen}
    return found


def _ambiguous(who: str, quantity: str, names: list[str]) -> SpinffError:
    listed = " and ".join(f"'{name}'" for name in names)
    return SpinffError(
        f"{who}: {quantity} stands under more than one name, got {listed}, expected "
        f"one; choose with keys: {{{quantity}: {names[0]}}} or remove the other"
    )


def check_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """The user's names as a plain dictionary, after a check of the quantities.

    Raises:
        SpinffError: for a quantity that does not exist.
    """
    for quantity, name in keys.items():
        if quantity not in QUANTITIES:
            raise SpinffError(
                f"data keys: unknown quantity, got '{quantity}', expected one of "
                f"{', '.join(QUANTITIES)}; correct the name in keys"
            )
        if not isinstance(name, str) or not name:
            raise SpinffError(
                f"data keys: the name of {quantity} is not a text, got {name!r}, "
                "expected the name of a column; correct it in keys"
            )
    return dict(keys)


def check_chosen_found(
    path: str, keys: Mapping[str, str], seen: Collection[str]
) -> None:
    """Refuse a name the user chose that no frame has.

    Args:
        path: the file for the message.
        keys: names chosen by the user.
        seen: every name that was there in any frame.

    Raises:
        SpinffError: for the first chosen name that is nowhere.
    """
    for quantity, name in keys.items():
        if name not in seen:
            listed = ", ".join(sorted(seen)) or "nothing"
            raise SpinffError(
                f"{path}: the name chosen for {quantity} is in no frame, got "
                f"'{name}', expected one of {listed}; correct keys"
            )
