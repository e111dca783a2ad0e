"""A method is one file and one entry: a toy one, from a file of its own, is evaluated by its name alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from prime.catalogue.methods import METHODS, Method
from prime.downstream.grid import Evaluation
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store

TOY = '''
import numpy as np

from prime.methods.interface import ClassicalModel
from prime.settings.strict import Strict


class ToySettings(Strict):
    share: float = 0.5


class Toy(ClassicalModel):
    """Everybody outlives each bin with the same share."""

    Settings = ToySettings
    parameters = 1

    def fit(self, train, validation):
        self.bins = len(train.target.edges) - 1

    def survival(self, vectors):
        return np.tile(self.settings.share ** np.arange(1, self.bins + 1), (len(vectors), 1))
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Method]:
    (tmp_path / "toy_method.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield METHODS.add(Method("toy", "Toy", "classical", "toy_method:Toy", "none", "nothing", "nothing"))
    METHODS.remove("toy")


def test_a_method_of_one_file_and_one_entry_is_evaluated(
    toy: Method, evaluation_store: Store, tmp_path: Path
) -> None:
    evaluate = {"inits": [], "methods": ["toy"], "fold_count": 2, "cohorts": ["A"], "bootstrap": 0}
    comparison = {"settings": {"toy": {"share": 0.25}}}
    config = ExperimentConfig.model_validate(
        {"cohort": "cohort.yaml", "evaluate": evaluate, "comparison": comparison}
    )
    evaluation = Evaluation(evaluation_store, config, None, tmp_path / "out")
    scores = evaluation.run(progress=False)
    c_index = scores[(scores["metric"] == "c_index") & (scores["pattern"] == "all")]
    assert set(c_index["method"]) == {toy.name}
    np.testing.assert_array_equal(c_index["value"], 0.5)
    with pytest.raises(ValueError, match="share"):
        ExperimentConfig.model_validate(
            {"cohort": "cohort.yaml", "comparison": {"settings": {"toy": {"share": "half"}}}}
        )
