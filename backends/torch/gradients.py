"""Gradients of all processes, summed while the backward pass still computes others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backends.torch import distributed
from cic.training.buckets import SIZE, Bucket, buckets


class _Bucket:
    """Gradients that travel as one flat tensor, laid out as `plan` says."""

    def __init__(self, plan: Bucket, parameters: Sequence[Tensor]) -> None:
        self.parameters = [parameters[index] for index in plan.indices]
        first = self.parameters[0]
        self.flat = first.new_zeros(plan.length)
        self.parts = [  # with the parameters' own strides, as fused optimizers want them
            self.flat.as_strided(parameter.shape, parameter.stride(), offset)
            for parameter, offset in zip(self.parameters, plan.offsets)
        ]
        self.missing = 0

    @torch.no_grad()
    def send(self) -> None:
        gradients = [parameter.grad for parameter in self.parameters]
        torch._foreach_copy_(self.parts, gradients)  # type: ignore[arg-type]
        self.arrive = distributed.begin_sum_(self.flat)

    def receive(self) -> None:
        self.arrive()
        for parameter, part in zip(self.parameters, self.parts):
            parameter.grad = part


class Gradients:
    """The gradients of a list of parameters; of several processes, their sums.

    A bucket is sent once its last gradient is there and those before it are sent: in the same order
    by all. `tensors` hold all gradients, after `finish`.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.sent: int | None = None
        self.buckets: list[_Bucket] = []
        if distributed.world_size() > 1:
            sizes = [parameter.numel() for parameter in parameters]
            plans = buckets(sizes, SIZE // parameters[0].element_size())
            self.buckets = [_Bucket(plan, parameters) for plan in plans]
        for bucket in self.buckets:
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(lambda _, b=bucket: self._note(b))

    @property
    def tensors(self) -> list[Tensor]:
        if self.buckets:
            return [bucket.flat for bucket in self.buckets]
        return [parameter.grad for parameter in self.parameters]  # type: ignore[misc]

    def clear(self) -> None:
        """Forget those of the step before."""
        for parameter in self.parameters:
            parameter.grad = None

    def expect(self) -> None:
        """Send them in the backward pass that comes, the last one that adds to them."""
        self.sent = 0
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)

    def finish(self) -> None:
        """Wait until those of all processes are there."""
        self.sent = None
        for bucket in self.buckets:
            bucket.receive()

    def _note(self, bucket: _Bucket) -> None:
        """Send what is complete, now that a gradient of a bucket is there."""
        if self.sent is None:
            return
        bucket.missing -= 1
        while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
            self.buckets[self.sent].send()
            self.sent += 1
