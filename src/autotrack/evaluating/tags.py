"""The tags by which an evaluation's run is found."""

MODEL = "evaluated_model"
"""The model's address; of a registered one its version's, whatever alias it was asked by."""
MODEL_ID = "evaluated_model_id"
"""The model's own id, which stays whatever it is called."""
CHAMPION = "evaluated_against"
"""The champion's."""
PASSED = "evaluation_passed"
"""``true`` or ``false``: whether all thresholds were reached; where there were none it is not there.

An evaluation that does not come to its end has reached none of those it had."""
