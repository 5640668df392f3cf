"""Gradients of all processes, summed while the backward pass still computes others."""

import paddle

from backends.paddle import distributed
from cic.training.buckets import SIZE, buckets


class _Bucket:
    """Gradients that travel as one flat tensor, laid out as `plan` says."""

    def __init__(self, plan, parameters):
        self.parameters = [parameters[index] for index in plan.indices]
        first = self.parameters[0]
        self.flat = paddle.zeros([plan.length], first.dtype)
        self.parts = [
            self.flat[offset : offset + parameter.size].view(parameter.shape)
            for parameter, offset in zip(self.parameters, plan.offsets)
        ]
        self.missing = 0

    @paddle.no_grad()
    def send(self):
        for part, parameter in zip(self.parts, self.parameters):
            part.copy_(parameter.grad, False)
        self.arrive = distributed.begin_sum_(self.flat)

    def receive(self):
        self.arrive()
        for parameter, part in zip(self.parameters, self.parts):
            parameter._copy_gradient_from(part)  # which shares it; `grad = part` copies


class Gradients:
    """The gradients of a list of parameters; of several processes, their sums.

    A bucket is sent once its last gradient is there and those before it are sent: in the same order
    by all. `tensors` hold all gradients, after `finish`.
    """

    def __init__(self, parameters):
        self.parameters, self.sent = parameters, None
        self.buckets = []
        if distributed.world_size() > 1:
            sizes = [parameter.size for parameter in parameters]
            plans = buckets(sizes, SIZE // parameters[0].element_size())
            self.buckets = [_Bucket(plan, parameters) for plan in plans]
        for bucket in self.buckets:
            for parameter in bucket.parameters:
                parameter._register_backward_hook(lambda *_, b=bucket: self._note(b))

    @property
    def tensors(self):
        if self.buckets:
            return [bucket.flat for bucket in self.buckets]
        return [parameter.grad for parameter in self.parameters]

    def clear(self):
        """Forget those of the step before."""
        for parameter in self.parameters:
            parameter.clear_gradient()  # to zeros: Paddle 3.3.1 loses those in buckets if to None

    def expect(self):
        """Send them in the backward pass that comes, the last one that adds to them."""
        self.sent = 0
        for bucket in self.buckets:
            bucket.missing = len(bucket.parameters)

    def finish(self):
        """Wait until those of all processes are there."""
        self.sent = None
        for bucket in self.buckets:
            bucket.receive()

    def _note(self, bucket):
        """Send what is complete, now that a gradient of a bucket is there."""
        if self.sent is None:
            return
        bucket.missing -= 1
        while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
            self.buckets[self.sent].send()
            self.sent += 1
