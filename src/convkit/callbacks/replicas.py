"""The replicas of distributed training, when the parameters that learn are others than before."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel


def rebuild(trainer: Trainer) -> None:
    """Wrap the model anew: DDP averages the gradients of those parameters that learned when it was wrapped, no others.

    Without this the replicas drift apart from the first step after a thaw, with no word of it (lightning#20340).
    Collective: every rank calls it before the same step.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy) or not isinstance(strategy.model, DistributedDataParallel):
        return
    strategy.model = (
        strategy.lightning_module
    )  # with the old wrapper its hooks go, and memory as large as its gradients
    strategy.configure_ddp()
