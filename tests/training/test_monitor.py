from __future__ import annotations

from nni_earlyexit.training.fit import fit
from nni_earlyexit.training.monitor import EVERY, Monitor
from nni_earlyexit.training.recipe import Recipe
from small_networks import network, task
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_losses_rates_and_speed_are_written_where_the_button_of_the_web_ui_looks(tmp_path):
    with Monitor.writing(tmp_path) as monitor:
        fit(
            network(),
            task(inputs=EVERY * 2 * 8),
            Recipe(recipe="plain", epochs=1, batch_size=8),
            lambda epochs, net: monitor.epoch({"epochs": epochs, "accuracy": 0.5, "sample": {}}) or True,
            callbacks=monitor.callbacks,
        )
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "inputs a second",
        "learning rate",
        "loss/all",
        "loss/exit 0",
        "loss/exit 1",
        "loss/exit 2",
        "validation/epochs",
        "validation/accuracy",
    }
    assert [event.step for event in events.Scalars("loss/all")] == [EVERY, EVERY * 2]
    assert all(event.value > 0 for event in events.Scalars("inputs a second"))


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Monitor.writing(None) as monitor:
        assert monitor.callbacks == ()
        monitor.epoch({"epochs": 1, "accuracy": 0.5})
    assert list(tmp_path.iterdir()) == []
