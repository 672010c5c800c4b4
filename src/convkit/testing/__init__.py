"""The contracts of convkit's plugins as tests: for a plugin's own pytest, and behind ``convkit plugins check``.

Each ``check_…`` takes what the entry point names, and the plugin's own options by keyword. It raises
:class:`ContractError` with a line for every clause that does not hold, each with what to do about it.
"""

from convkit.testing.architecture import check_architecture as check_architecture
from convkit.testing.contract import ContractError as ContractError
from convkit.testing.dataset import check_dataset as check_dataset
from convkit.testing.explainer import check_explainer as check_explainer
from convkit.testing.schedule import check_schedule as check_schedule

__all__ = ["ContractError", "check_architecture", "check_dataset", "check_explainer", "check_schedule"]
