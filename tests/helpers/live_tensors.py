"""The peak of the bytes of live tensors that a block makes."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class LiveTensors(TorchDispatchMode):
    """Follows every operator's results until they are freed.

    Only storages made inside the block count; a cache or a weight that was there before does not.
    """

    def __init__(self) -> None:
        # Torch leaves this constructor without types.
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        old = {id_of(tensor) for tensor in tensors_in((args, kwargs))}
        for tensor in tensors_in(result):
            storage, key = tensor.untyped_storage(), id_of(tensor)
            if key in self._sizes or key in old:
                continue
            self._sizes[key] = storage.nbytes()
            self.current += storage.nbytes()
            self.peak = max(self.peak, self.current)
            weakref.finalize(storage, self._freed, key)
        return result

    def _freed(self, key: int) -> None:
        self.current -= self._sizes.pop(key, 0)


def id_of(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def tensors_in(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]
