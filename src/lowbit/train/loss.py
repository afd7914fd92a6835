"""What training makes small, as the mean over samples.

    cross-entropy    -sum_c t_c log softmax(z)_c,   t = (1 - s) onehot(y) + s / classes
    squared-hinge    mean_c max(0, 1 - t_c z_c)^2,  t_c = +1 for c = y, else -1     (Courbariaux et al. 2016)
    distillation     (1 - d) loss + d T^2 KL(softmax(z' / T) || softmax(z / T))     (Hinton et al. 2015)

with logits z, those of the teacher z', smoothing s, weight d and temperature T.
"""

from torch import Tensor
from torch.nn import functional

from lowbit.train.settings import Loss


def loss_of(settings: Loss, logits: Tensor, labels: Tensor, taught: Tensor | None = None) -> Tensor:
    """Return the loss, a float32 without axes.

    Args:
        settings: which loss.
        logits: float32 `[n, classes]`.
        labels: int64 `[n]`.
        taught: the teacher's logits `[n, classes]`, where there is one.
    """
    own = (
        _squared_hinge(logits, labels)
        if settings.name == "squared-hinge"
        else functional.cross_entropy(logits, labels, label_smoothing=settings.smoothing)
    )
    if taught is None:
        return own
    weight = settings.distillation
    return (1 - weight) * own + weight * _divergence(logits, taught, settings.temperature)


def _squared_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    targets = functional.one_hot(labels, logits.shape[1]).to(logits.dtype).mul_(2).sub_(1)
    return (1 - targets * logits).clamp(min=0).square().mean()


def _divergence(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    found = functional.log_softmax(logits / temperature, 1)
    wanted = functional.log_softmax(taught / temperature, 1)
    divergence = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return divergence * temperature**2
