"""Lightning callbacks of a spinff training run."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from nequip.train import MetricsManager

from spinff.errors import SpinffError


class StopOnNaN(Callback):
    """Stops the run when a term of the loss is not a number, and says which."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's own type
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Looks at the terms of this step's loss."""
        loss = pl_module.loss
        assert isinstance(loss, MetricsManager)
        terms = loss.metrics_values_step
        bad = [
            name
            for name, value in terms.items()
            if not torch.isfinite(torch.tensor(value))
        ]
        if bad:
            raise SpinffError(
                f"loss not finite at step {trainer.global_step}, epoch "
                f"{trainer.current_epoch}, got {', '.join(bad)} = {terms[bad[0]]}, "
                "expected a number; lower the learning rate or check the data with "
                "'spinff data check'"
            )
