"""The time of a sum over the devices of a node as the least of three lines over its bytes.

An engine chooses among algorithms by size: every device reads all of the others (one step, but
traffic that grows with their number), a reduce-scatter and an all-gather (two steps, the least
traffic), and for large messages a ring or the switch of NCCL. Each takes a start and a time a byte,
and the quickest counts. Both depend on the number of devices in ways that links and topology make,
so that each number has its own lines.

Tables count elements of two bytes: taken as bytes, eight H100 would reach 234 GB/s of the 450 GB/s
that NVLink has in one direction, where NCCL is known to reach more than 400 GB/s.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.common.arrays import Number, clip, minimum, where
from cost_analysis.kernels.shapes import AllReduce

LINES = 3
"""Lines of each number of devices."""


@dataclass(frozen=True, slots=True)
class ReduceCurve:
    """The time of sums over devices of one kind, under one engine.

    Attributes:
        devices: Numbers of devices that were measured, in rising order from 2.
        starts: Starts of the lines, `LINES` for each of `devices` [s].
        byte_seconds: Of each byte of the message, `LINES` for each of `devices` [s/B].
    """

    devices: tuple[float, ...]
    starts: tuple[float, ...]
    byte_seconds: tuple[float, ...]

    def seconds(self, shape: AllReduce, *, warm: bool = False) -> Number:
        """Time of one call [s]: 0 for one device; as of the most measured for more than those.

        Between two numbers of devices, time is interpolated.

        Args:
            shape: The sum; its numbers or arrays broadcast.
            warm: Of no effect: no weights are read.
        """
        del warm
        devices, size = shape.devices, shape.bytes
        time, before = self._of(0, size), self.devices[0]
        for place, count in enumerate(self.devices[1:], start=1):
            share = clip((devices - before) / (count - before), 0.0, 1.0)
            time = time * (1.0 - share) + self._of(place, size) * share
            before = count
        return where(devices > 1.0, time, 0.0)

    def _of(self, place: int, size: Number) -> Number:
        """Time of one call [s] on the number of devices at a place."""
        first = place * LINES
        time = self.starts[first] + self.byte_seconds[first] * size
        for line in range(first + 1, first + LINES):
            time = minimum(time, self.starts[line] + self.byte_seconds[line] * size)
        return time
