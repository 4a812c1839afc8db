"""A point of a search's front as a network: as its trial left it, or trained for longer."""

from pathlib import Path

from eexit_tf.data import Dataset
from eexit_tf.exits import keep_exits
from eexit_tf.keras import keras, seed_everything
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.training import fit, load_weights, report_epochs, save_weights
from eexit_tf.tuners.search import make_tuner
from eexit_tf.tuners.settings import SearchSettings, check_data
from eexit_tf.vocabulary import OperatingPoint


class Winner:
    """The network of a point, cut down to the point's exits.

    Args:
        data: what was searched on.
        directory: the search's folder.
        point: of its front.

    Attributes:
        net: with the weights that the trial left, until `train` goes on.
        settings: of the search.

    Raises:
        UserError: no search there, other data, or the trial's weights are gone.
    """

    def __init__(self, data: Dataset, directory: Path, point: OperatingPoint) -> None:
        self.settings = SearchSettings.load(directory)
        check_data(data, self.settings, directory)
        self._data, self._point = data, point
        self._space = self.settings.space(data)
        tuner = make_tuner(self._space, directory, self.settings, max_trials=1)
        self._trial_directory = Path(tuner.get_trial_dir(point.trial))
        whole = tuner.load_network(point.trial)
        self.net: keras.Model = keep_exits(whole, [use.exit for use in point.exits])

    def train(self, epochs: int, *, seed: int, reporter: Reporter = SILENT) -> None:
        """Train for more epochs, as the search trains.

        The state is kept in the trial's folder after every epoch, so that a training that was
        stopped goes on, and one that has ended is not done again.

        Raises:
            UserError: what was kept is not this network's.
        """
        kept = self._trial_directory / f"longer-{self._point.id}-{epochs}-{seed}"
        weights = kept / "network.weights.h5"
        if not weights.is_file():
            seed_everything(seed)
            fit(
                self._space.to_train(self.net),
                self._data.train,
                epochs=epochs,
                learning_rate=self._space.learning_rate,
                augmentation=self.settings.augmentation,
                backup=kept / "backup",
                callbacks=[report_epochs(reporter, "training", epochs)],
            )
            save_weights(self.net, weights)
        load_weights(self.net, weights)
