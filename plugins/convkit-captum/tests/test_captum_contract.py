"""What convkit asks of every explainer, by convkit's own suite."""

from typing import Any

import pytest

from convkit.plugins import find, load

testing = pytest.importorskip("convkit.testing")
QUICK: dict[str, dict[str, Any]] = {
    "feature_ablation": {"cells": 4},
    "gradient_shap": {"samples": 5},
    "integrated_gradients": {"steps": 5},
    "lime": {"cells": 4, "samples": 20},
    "noise_tunnel": {"samples": 4},
}


@pytest.mark.parametrize("name", QUICK)
def test_explainer(name: str) -> None:
    testing.check_explainer(load(find("explainer", name)), **QUICK[name])
