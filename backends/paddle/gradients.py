"""Gradients of all processes, summed while the backward pass still computes others."""

from collections.abc import Sequence

import paddle
from paddle import Tensor

from backends.paddle import distributed
from cic.training.buckets import SIZE, Bucket, buckets


class _Bucket:
    """Gradients that travel as one flat tensor, laid out as `plan` says."""

    def __init__(self, plan: Bucket, parameters: Sequence[Tensor]) -> None:
        self.parameters = [parameters[index] for index in plan.indices]
        first = self.parameters[0]
        self.flat = paddle.zeros([plan.length], first.dtype)
        self.parts = [
            self.flat[offset : offset + parameter.size].view(parameter.shape)
            for parameter, offset in zip(self.parameters, plan.offsets)
        ]
        self.missing = 0

    @paddle.no_grad()
    def send(self) -> None:
        for part, parameter in zip(self.parts, self.parameters):
            part.copy_(parameter.grad, False)  # type: ignore[call-arg]
        self.arrive = distributed.begin_sum_(self.flat)

    def receive(self) -> None:
        self.arrive()
        for parameter, part in zip(self.parameters, self.parts):
            parameter._copy_gradient_from(part)  # which shares it; `grad = part` copies


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
            sizes = [parameter.size for parameter in parameters]
            plans = buckets(sizes, SIZE // parameters[0].element_size())
            self.buckets = [_Bucket(plan, parameters) for plan in plans]
        for bucket in self.buckets:
            for parameter in bucket.parameters:
                parameter._register_backward_hook(lambda *_, b=bucket: self._note(b))

    @property
    def tensors(self) -> list[Tensor]:
        if self.buckets:
            return [bucket.flat for bucket in self.buckets]
        return [parameter.grad for parameter in self.parameters]  # type: ignore[misc]

    def clear(self) -> None:
        """Forget those of the step before."""
        for parameter in self.parameters:
            parameter.clear_gradient()  # to zeros: Paddle 3.3.1 loses those in buckets if to None

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
