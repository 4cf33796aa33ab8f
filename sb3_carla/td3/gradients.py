"""Gradients of the parts of an optimizer: measured as global L2 norms, checked, clipped.

The order of a gradient step is zero_grad, backward, measure, check that all is finite, clip, step. A norm here is
always the L2 norm over all tensors of a part together, never a sum of the norms of its tensors: eight tensors under a
common limit of 1 can have norms that sum to 2.8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch as th

# A clipped gradient is scaled this little below its limit, so that rounding in float32 sums cannot carry it over.
ROUNDING = 1e-5


class GradientError(RuntimeError):
    """Training cannot go on because of its gradients."""


class GradientLimitExceeded(GradientError):
    """A gradient is larger than its limit after clipping: a defect, so nothing may be trained with it."""


class NonFiniteGradients(GradientError):
    """Too many updates in a row had NaN or Inf gradients."""


@dataclass(frozen=True)
class GradientNorms:
    """Global L2 norms of the parts of one optimizer in one update."""

    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def finite(self) -> bool:
        """Whether no part had a NaN or Inf gradient."""
        return all(math.isfinite(norm) for norm in self.before.values())


def clip_and_step(
    optimizer: th.optim.Optimizer, max_norm: Mapping[str, float], max_value: Mapping[str, float]
) -> GradientNorms:
    """Finish a gradient step after backward: measure, check finite, clip each part, step.

    With a NaN or Inf anywhere nothing is stepped (``finite`` is then False): Adam would keep it in its averages for
    ever.

    :param optimizer: with named parameter groups, see `group_optimizers`
    :param max_norm: limit of the global L2 norm per part; a missing part is not clipped
    :param max_value: limit of every component per part; a missing part is not clipped
    """
    gradients = {
        group["name"]: [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        for group in optimizer.param_groups
    }
    before = measure(gradients)
    if not all(map(math.isfinite, before.values())):
        return GradientNorms(before, before)
    clipped = {}
    for part, tensors in gradients.items():
        if part in max_value:
            for tensor in tensors:
                tensor.clamp_(-max_value[part], max_value[part])
            clipped[part] = tensors
        if before[part] > max_norm.get(part, math.inf):
            scale = max_norm[part] * (1 - ROUNDING) / before[part]
            for tensor in tensors:
                tensor.mul_(scale)
            clipped[part] = tensors
    after = {**before, **measure(clipped)} if clipped else before
    for part, limit in max_norm.items():
        if not after.get(part, 0.0) <= limit:
            raise GradientLimitExceeded(
                f"The gradient norm of {part} is {after[part]} after clipping to {limit}. "
                "Nothing was trained with it; please report this as a defect."
            )
    optimizer.step()
    return GradientNorms(before, after)


def measure(gradients: Mapping[str, Sequence[th.Tensor]]) -> dict[str, float]:
    """Measure the global L2 norm of each part, with one transfer from the device for all of them.

    :param gradients: the gradient tensors of each part; a part without gradients has norm 0
    """
    norms = {
        part: th.stack([tensor.norm() for tensor in tensors]).norm() for part, tensors in gradients.items() if tensors
    }
    values = th.stack(list(norms.values())).tolist() if norms else []
    return {**dict.fromkeys(gradients, 0.0), **dict(zip(norms, values, strict=True))}
