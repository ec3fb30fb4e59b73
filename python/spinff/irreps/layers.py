"""e3nn's layers for features labelled (l, p, t).

Each class has the arguments of the e3nn class of its name, with ``TIrreps`` (or their
text) for ``Irreps``, computes with it, and differs in one thing: which paths exist.
e3nn connects whatever agrees in (l, p); here blocks that differ in t never meet. The
arrays are laid out as e3nn's of ``irreps.e3``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from e3nn import nn, o3
from e3nn.util.jit import compile_mode

from spinff.errors import SpinffError
from spinff.irreps._tirreps import TIrrep, TIrreps

Scalar = Callable[[torch.Tensor], torch.Tensor]
IrrepsLike = TIrreps | TIrrep | str | Iterable[Any]


# === linear maps and tensor products ===


@compile_mode("script")
class Linear(o3.Linear):
    """Mixes copies of the same (l, p, t); ``biases`` only on 0ee.

    ``options`` are e3nn's.
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike,
        *,
        instructions: Sequence[tuple[int, int]] | None = None,
        biases: bool | Sequence[bool] = False,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build; SpinffError for an instruction or a bias that breaks a symmetry."""
        own_in, own_out = TIrreps(irreps_in), TIrreps(irreps_out)
        if instructions is None:
            instructions = [
                (i, k)
                for i, ir_in in enumerate(own_in.irreps())
                for k, ir_out in enumerate(own_out.irreps())
                if ir_in == ir_out
            ]
        for i, k in instructions:
            if own_in[i].ir != own_out[k].ir:
                raise SpinffError(
                    f"Linear: an instruction between different irreps, got ({i}, {k}), "
                    f"{own_in[i].ir} to {own_out[k].ir}, expected the same; drop it"
                )
        if isinstance(biases, bool):
            biases = [biases and ir.is_scalar() for ir in own_out.irreps()]
        for bias, ir in zip(biases, own_out.irreps(), strict=True):
            if bias and not ir.is_scalar():
                raise SpinffError(
                    f"Linear: a bias on what changes sign or direction, got {ir}, "
                    "expected biases on 0ee only; drop it"
                )
        super().__init__(
            own_in.e3,
            own_out.e3,
            instructions=list(instructions),
            biases=list(biases),
            **options,
        )
        self.irreps_in, self.irreps_out = own_in, own_out


@compile_mode("script")
class TensorProduct(o3.TensorProduct):
    """Products along the paths of ``instructions``, checked by (l, p, t)."""

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        instructions: Sequence[tuple[Any, ...]],
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build; SpinffError for an instruction that the selection rules forbid."""
        in1, in2, out = TIrreps(irreps_in1), TIrreps(irreps_in2), TIrreps(irreps_out)
        for i, j, k, *_ in instructions:
            if out[k].ir not in in1[i].ir * in2[j].ir:
                raise SpinffError(
                    f"TensorProduct: a forbidden path, got ({i}, {j}, {k}), "
                    f"{in1[i].ir} ⊗ {in2[j].ir} -> {out[k].ir}, expected one of "
                    f"{', '.join(map(str, in1[i].ir * in2[j].ir))}; drop it"
                )
        super().__init__(in1.e3, in2.e3, out.e3, list(instructions), **options)
        self.irreps_in1, self.irreps_in2, self.irreps_out = in1, in2, out


@compile_mode("script")
class FullyConnectedTensorProduct(TensorProduct):
    """Every allowed path, each with weights over all pairs of channels."""

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build the paths."""
        in1, in2, out = TIrreps(irreps_in1), TIrreps(irreps_in2), TIrreps(irreps_out)
        paths = [
            (i, j, k, "uvw", True)
            for i, ir1 in enumerate(in1.irreps())
            for j, ir2 in enumerate(in2.irreps())
            for k, ir in enumerate(out.irreps())
            if ir in ir1 * ir2
        ]
        super().__init__(in1, in2, out, paths, **options)


@compile_mode("script")
class FullTensorProduct(TensorProduct):
    """Every product of two irreps, no weights; ``irreps_out`` sorted by (l, p, t)."""

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: Iterable[TIrrep | str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build the paths, those to ``filter_ir_out`` only where it is given."""
        in1, in2 = TIrreps(irreps_in1).simplify(), TIrreps(irreps_in2).simplify()
        wanted = _wanted(filter_ir_out)
        found = [
            (i, j, mul1 * mul2, ir)
            for i, (mul1, ir1) in enumerate(in1)
            for j, (mul2, ir2) in enumerate(in2)
            for ir in ir1 * ir2
            if wanted is None or ir in wanted
        ]
        out, position, _ = TIrreps([(mul, ir) for _, _, mul, ir in found]).sort()
        paths = [
            (i, j, position[n], "uvuv", False) for n, (i, j, _, _) in enumerate(found)
        ]
        super().__init__(in1, in2, out, paths, **options)


@compile_mode("script")
class ElementwiseTensorProduct(TensorProduct):
    """Copy u of the first with copy u of the second, no weights."""

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: Iterable[TIrrep | str] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build; SpinffError unless both have the same number of copies."""
        in1, in2 = _aligned(TIrreps(irreps_in1), TIrreps(irreps_in2))
        wanted = _wanted(filter_ir_out)
        found = [
            (n, mul, ir)
            for n, ((mul, ir1), (_, ir2)) in enumerate(zip(in1, in2, strict=True))
            for ir in ir1 * ir2
            if wanted is None or ir in wanted
        ]
        paths = [(n, n, k, "uuu", False) for k, (n, _, _) in enumerate(found)]
        super().__init__(
            in1, in2, [(mul, ir) for _, mul, ir in found], paths, **options
        )


def _wanted(irreps: Iterable[TIrrep | str] | None) -> set[TIrrep] | None:
    return None if irreps is None else {TIrrep(ir) for ir in irreps}


def _aligned(first: TIrreps, second: TIrreps) -> tuple[TIrreps, TIrreps]:
    """Both lists cut where either changes its irrep, so that entries pair up."""
    if first.num_irreps != second.num_irreps:
        raise SpinffError(
            f"ElementwiseTensorProduct: numbers of irreps differ, got "
            f"{first.num_irreps} in {first} and {second.num_irreps} in {second}, "
            "expected the same; change a multiplicity"
        )
    copies1, copies2 = (
        [ir for mul, ir in irreps for _ in range(mul)] for irreps in (first, second)
    )
    runs: list[tuple[int, TIrrep, TIrrep]] = []
    for ir1, ir2 in zip(copies1, copies2, strict=True):
        if runs and runs[-1][1:] == (ir1, ir2):
            runs[-1] = (runs[-1][0] + 1, ir1, ir2)
        else:
            runs.append((1, ir1, ir2))
    return (
        TIrreps([(mul, ir) for mul, ir, _ in runs]),
        TIrreps([(mul, ir) for mul, _, ir in runs]),
    )


# === nonlinearities ===


@compile_mode("script")
class Activation(torch.nn.Module):
    """Functions of scalars, one for each entry of the irreps; None leaves it alone.

    A scalar that is odd under inversion or time reversal needs an odd function, which
    keeps it odd, or an even one, after which it is 0ee. e3nn sees inversion only: it
    takes silu for a 0eo.
    """

    def __init__(self, irreps_in: IrrepsLike, acts: Sequence[Scalar | None]) -> None:
        """Build; SpinffError for a function that no parity fits."""
        super().__init__()
        self.irreps_in = TIrreps(irreps_in)
        if len(acts) != len(self.irreps_in):
            raise SpinffError(
                f"Activation: functions do not match, got {len(acts)} for "
                f"{len(self.irreps_in)} entries of {self.irreps_in}, expected one "
                "each; give None for an entry to leave alone"
            )
        self.irreps_out = TIrreps(
            [
                (mul, ir if act is None else _after(act, ir))
                for (mul, ir), act in zip(self.irreps_in, acts, strict=True)
            ]
        )
        self.activation = nn.Activation(self.irreps_in.e3, list(acts))

    def extra_repr(self) -> str:
        """Irreps in and out."""
        return f"{self.irreps_in} -> {self.irreps_out}"

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., irreps_in.dim) -> the same shape."""
        return self.activation(features)


def _after(act: Scalar, ir: TIrrep) -> TIrrep:
    """The irrep of ``act`` applied to an irrep."""
    name = getattr(act, "__name__", type(act).__name__)
    if ir.l != 0:
        raise SpinffError(
            f"Activation: a function of something with a direction, got {name} of "
            f"{ir}, expected scalars; use Gate or NormActivation"
        )
    if ir.is_scalar():
        return ir
    x = torch.linspace(0.01, 10, 256)
    plus, minus = act(x), act(-x)
    if torch.allclose(plus, minus, atol=1e-5):
        return TIrrep("0ee")
    if torch.allclose(plus, -minus, atol=1e-5):
        return ir
    raise SpinffError(
        f"Activation: a function without parity of an odd scalar, got {name} of {ir}, "
        "expected an odd one such as tanh or an even one such as abs; choose the "
        "function by both parities, as in {1: silu, -1: tanh}[min(ir.p, ir.t)]"
    )


@compile_mode("script")
class Norm(torch.nn.Module):
    """Length of each irrep, or its square, which has derivatives at zero: 0ee."""

    def __init__(self, irreps_in: IrrepsLike, squared: bool = False) -> None:
        """Declare the irreps."""
        super().__init__()
        self.irreps_in = TIrreps(irreps_in)
        self.irreps_out = TIrreps(
            [(mul, "0ee") for mul, _ in self.irreps_in]
        ).simplify()
        self.norm = o3.Norm(self.irreps_in.e3, squared)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., irreps_in.dim) -> (..., number of irreps)."""
        return self.norm(features)


@compile_mode("script")
class NormActivation(torch.nn.Module):
    """Scales each irrep by a function of its length; ``options`` are e3nn's."""

    def __init__(
        self,
        irreps_in: IrrepsLike,
        scalar_nonlinearity: Scalar,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Build; the irreps stay what they are, because a length is 0ee."""
        super().__init__()
        self.irreps_in = self.irreps_out = TIrreps(irreps_in)
        self.activation = nn.NormActivation(
            self.irreps_in.e3, scalar_nonlinearity, **options
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., irreps_in.dim) -> the same shape."""
        return self.activation(features)


@compile_mode("script")
class Gate(torch.nn.Module):
    """φ(scalars) ⊕ φ(gates)·gated, one gate for each gated irrep.

    ``irreps_in`` is the sorted union of the three; with a gate that stays odd under
    time reversal what it multiplies changes its t, as it does with p.
    """

    def __init__(
        self,
        irreps_scalars: IrrepsLike,
        act_scalars: Sequence[Scalar | None],
        irreps_gates: IrrepsLike,
        act_gates: Sequence[Scalar | None],
        irreps_gated: IrrepsLike,
    ) -> None:
        """Build; SpinffError for functions without parity or other numbers of gates."""
        super().__init__()
        parts = [TIrreps(x) for x in (irreps_scalars, irreps_gates, irreps_gated)]
        self.act_scalars = Activation(parts[0], act_scalars)
        self.act_gates = Activation(parts[1], act_gates)
        self.mul = ElementwiseTensorProduct(parts[2], self.act_gates.irreps_out)
        irreps_in, position, _ = (parts[0] + parts[1] + parts[2]).sort()
        entries, start = [], 0
        for part in parts:
            entries.append(tuple(position[start : start + len(part)]))
            start += len(part)
        self.cut = nn.Extract(irreps_in.e3, [part.e3 for part in parts], entries)
        self.irreps_in = irreps_in.simplify()
        self.irreps_out = self.act_scalars.irreps_out + self.mul.irreps_out

    def extra_repr(self) -> str:
        """Irreps in and out."""
        return f"{self.irreps_in} -> {self.irreps_out}"

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., irreps_in.dim) -> (..., irreps_out.dim)."""
        scalars, gates, gated = self.cut(features)
        scalars = self.act_scalars(scalars)
        if gates.size(-1) == 0:
            return scalars
        return torch.cat([scalars, self.mul(gated, self.act_gates(gates))], dim=-1)
