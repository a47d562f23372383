"""Steps in which a student's output head alone learns, before the rest follows.

The head is the layer that gives each token its logit (`get_output_embeddings`). Where a model ties it to its embeddings they are the same
weights, and change with it. Of a regression only the rows of its two words get a gradient.
"""

from typing import Any

from teacherlm.errors import UserError
from teacherlm.training.settings import Recipe


def require_head_first(recipe: Recipe, steps: int) -> None:
    """Raises: UserError where no step would be left for the rest, and where gradients do not lie with their weights."""
    if not recipe.head_first:
        return
    if recipe.head_first >= steps:
        raise UserError(f"head_first: {recipe.head_first} steps, but the training has {steps}; nothing would be left for the rest.")
    if recipe.ds_config or recipe.tensor_parallel > 1:
        other = f"ds_config {recipe.ds_config}" if recipe.ds_config else "tensor_parallel"
        raise UserError(f"head_first: does not go with {other}, which keeps the gradients by itself; leave one of them out.")


def keep_head_alone(model: Any) -> None:
    """Drops the gradients of everything else, so that the optimizer passes it over: neither weight decay nor moments touch it.

    Gradients are dropped rather than switched off: processes that train together wait for those of every weight.
    """
    head = {id(weight) for weight in model.get_output_embeddings().parameters()}
    for weight in model.parameters():
        if id(weight) not in head:
            weight.grad = None
