"""Optimisers by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_cellrestore.recipe import Recipe


class Optimiser:
    """AdamW for every parameter, or Muon for the inner convolutions and AdamW for the rest.

    Muon (Jordan et al. 2024) steps along the nearest orthogonal matrix of the momentum of each weight matrix, so that
    all directions of a layer learn equally fast; a convolution counts as its matrix of (first axis, all others).

    Parameters
    ----------
    network : Module
    recipe : Recipe
        Its ``optimiser``, ``learning_rate`` (of AdamW), ``muon_rate``, ``betas`` and ``weight_decay`` are used.
    learning_rate : float, optional
        Instead of the recipe's.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, learning_rate: float | None = None) -> None:
        learning_rate = learning_rate or recipe.learning_rate
        parameters = list(network.parameters())
        inner = [p for p in parameters[1:] if p.ndim == 4][:-1] if recipe.optimiser == "muon" else []
        rest = [p for p in parameters if not any(p is other for other in inner)]
        # torch's Muon takes matrices: each is a view of its convolution's weights, so that both change together.
        self._views = [(p, nn.Parameter(p.detach().view(len(p), -1))) for p in inner]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
        ]
        self._rates = [learning_rate]
        if inner:
            self._parts.append(torch.optim.Muon([m for _, m in self._views], recipe.muon_rate, weight_decay=0.01))
            self._rates.append(recipe.muon_rate)

    def step(self, fraction_of_rate: float) -> None:
        """Change the parameters by their gradients and forget these."""
        for weights, matrix in self._views:
            matrix.grad = None if weights.grad is None else weights.grad.reshape(matrix.shape)
        for part, rate in zip(self._parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * fraction_of_rate
            part.step()
            part.zero_grad(set_to_none=True)
        for weights, _ in self._views:
            weights.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors."""
        return {
            f"{number}.{index}.{key}": torch.as_tensor(value)
            for number, part in enumerate(self._parts)
            for index, state in part.state_dict()["state"].items()
            for key, value in state.items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the state back from :meth:`tensors`."""
        states: list[dict[int, dict[str, Tensor]]] = [{} for _ in self._parts]
        for key, value in tensors.items():
            number, index, name = key.split(".", 2)
            states[int(number)].setdefault(int(index), {})[name] = value
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
