"""The trainable module of a description gives what the graph gives. Needs torch."""

import numpy as np
import pytest

from lowbit.ir import evaluate
from lowbit.zoo import NETWORKS, float_graph, parameters, random_weights

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", NETWORKS)
def test_module_and_graph_agree(name: str) -> None:
    from lowbit.nn import Network

    description, weights = NETWORKS[name], random_weights(NETWORKS[name], seed=1)
    module = Network(description).eval()
    assert {key for key in module.state_dict() if "num_batches" not in key} == parameters(description).keys()
    module.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()}, strict=False)
    x = np.random.default_rng(0).random((2, *description.input_shape), np.float32)
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    wanted = evaluate(float_graph(description, weights), {"x": x})["logits"]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
