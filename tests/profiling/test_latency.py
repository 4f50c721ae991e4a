from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.evaluation.metrics import NetworkFacts, measured
from nni_earlyexit.integration.evaluator import EarlyExitEvaluator
from nni_earlyexit.integration.tuner_arguments import TunerArguments
from nni_earlyexit.profiling.latency import measure, measure_in_turns
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space import latency_table
from nni_earlyexit.space.latency_table import LatencyTable
from nni_earlyexit.training.settings import Settings


@pytest.fixture(scope="module")
def space():
    return search_spaces.create("digits")


@pytest.fixture(scope="module")
def table(space):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency_table, "UNIT_ROUNDS", 5)
        patch.setattr(latency_table, "CALIBRATION_NETWORKS", 4)
        return LatencyTable.build(space)


@pytest.fixture
def file(table, tmp_path):
    table.save(tmp_path / "latency.json")
    return tmp_path / "latency.json"


def test_every_exit_is_measured_and_later_ones_take_longer(network):
    threads = torch.get_num_threads()
    measured = measure(network, repeats=20)
    assert len(measured) == len(network.exit_stages)
    medians = [exit.median for exit in measured]
    assert medians == sorted(medians)
    assert all(exit.median > 0 and exit.spread >= 0 for exit in measured)
    assert torch.get_num_threads() == threads
    assert next(network.parameters()).dtype == torch.float32


def test_a_larger_batch_takes_longer(network):
    one, many = (measure(network, batch_size=n, repeats=20)[-1].median for n in (1, 256))
    assert many > one


def test_bfloat16_can_be_measured(network):
    assert measure(network, dtype="bfloat16", repeats=3)[-1].median > 0


def test_sentences_can_be_measured(rng):
    text = search_spaces.create("text channels=16 tokens=8")
    assert measure(text.freeze(text.sample(rng)), repeats=3)[-1].median > 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"threads": 0}, "threads: 0 is not possible; a whole number from 1 is"),
        ({"batch_size": 1.5}, "batch_size: 1.5 is not possible"),
        ({"dtype": "float8"}, "dtype: 'float8' is unknown"),
    ],
)
def test_conditions_that_cannot_be_measured_are_refused(network, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(network, **wrong)


def test_the_table_tells_a_cheap_network_from_a_dear_one(space, table):
    predict = table.predictor(space)
    cheap, _ = space.cheapest(exit=-1)
    dear, _ = space.extreme(space.exit_costs, exit=-1, most=True)
    measured = measure_in_turns([space.freeze(cheap), space.freeze(dear)], rounds=2)
    assert predict(dear)[-1] > 2 * predict(cheap)[-1]
    assert measured[1][-1].median > 2 * measured[0][-1].median
    assert predict(dear) == sorted(predict(dear))
    assert len(predict(dear)) == len(space.exit_costs(dear))


def test_a_table_is_the_same_after_it_was_saved(space, table, file, rng):
    again = LatencyTable.load(file, space)
    assert again == table
    sample = space.sample(rng)
    assert again.predictor(space)(sample) == table.predictor(space)(sample)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"machine": {"processor": "a phone"}}, "was measured with processor 'a phone', here it is .*; measure again with"),
        ({"machine": {"torch": "1.0"}}, "was measured with torch '1.0', here it is '2.*'; measure again with 'nni-"),
        ({"space": "digits/1"}, "'digits/1' is not 'digits/2', which is searched; measure again with 'nni-earlyexit latency"),
        ({"format": 0}, "has format 0, not 1; measure again"),
        ({"seconds": None}, "is not a latency table"),
    ],
)  # fmt: skip
def test_a_table_of_another_machine_version_or_space_is_refused(space, file, change, sentence):
    content = json.loads(file.read_text())
    for field, value in change.items():
        content[field] = {**content[field], **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"latency_table: .*{sentence}"):
        LatencyTable.load(file, space)


def test_a_broken_or_absent_file_is_refused(space, tmp_path):
    with pytest.raises(FileNotFoundError, match="latency_table: there is no file"):
        LatencyTable.load(tmp_path / "none.json", space)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="broken.json' is not a latency table; measure again"):
        LatencyTable.load(tmp_path / "broken.json", space)


@pytest.mark.parametrize("value", [math.nan, -1.0, 0, "1", None, math.inf])
def test_a_table_of_impossible_seconds_is_refused(space, file, value):
    content = json.loads(file.read_text())
    content["seconds"][next(iter(content["seconds"]))] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not a latency table; measure again"):
        LatencyTable.load(file, space)


def test_a_table_that_lacks_a_block_is_refused(space, file):
    content = json.loads(file.read_text())
    del content["seconds"]["stem"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="latency_table: .* has no seconds of 'stem'"):
        LatencyTable.load(str(file), space)


def test_a_file_that_is_no_text_is_refused(space, tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="binary.json' is not a latency table"):
        LatencyTable.load(tmp_path / "binary.json", space)


def test_a_measured_network_stays_as_it_was(space, two_exits):
    network = space.freeze(two_exits).double()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measure(network, dtype="bfloat16", repeats=2)
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
    loss = sum(logits.sum() for logits in network(torch.zeros(2, *space.input_shape, dtype=torch.float64)))
    loss.backward()


def test_latency_is_a_metric_and_a_limit_of_training(space, table, file, two_exits):
    predicted = table.predictor(space)(two_exits)
    limit = sum(predicted) / 2
    evaluator = EarlyExitEvaluator(epochs=1, threads=1, latency_table=str(file), max_latency_s=limit)
    torch.manual_seed(0)
    metrics = evaluator.evaluate(space.freeze(two_exits)).metrics
    share = metrics["exit0_share"]
    assert metrics["latency_s"] == pytest.approx(share * predicted[0] + (1 - share) * predicted[1])
    assert metrics["latency_s"] <= limit
    assert metrics["full_latency_s"] == predicted[1]

    tight = EarlyExitEvaluator(epochs=1, latency_table=str(file), max_latency_s=predicted[0] / 2)
    infeasible = tight.evaluate(space.freeze(two_exits)).metrics
    assert (infeasible["feasible"], infeasible["excess"]) == (0, pytest.approx(1))
    assert list(infeasible) == list(metrics)


def test_a_dropped_exit_saves_the_seconds_of_its_branch(space, table, file, two_exits):
    seconds = table.predictor(space).seconds(two_exits)
    without = table.predictor(space)({**two_exits, **dict.fromkeys(space.optional_exits, "no")})
    assert seconds.until[-1] - sum(seconds.branches[:-1]) == pytest.approx(without[-1])
    # logits of a first exit that is always wrong: it does not pay
    y = np.arange(40) % 10
    logits = np.stack([np.eye(10)[(y + 1) % 10], np.eye(10)[y]], axis=1) + 0.1
    macs, branches = space.exit_costs(two_exits), space.all_costs(two_exits).branch_macs
    costs = ExitCosts(macs, branch_macs=branches, latency_s=seconds.until, branch_latency_s=seconds.branches)
    facts = NetworkFacts(two_exits, space.freeze(two_exits).exit_stages, 4, costs)
    settings = Settings.from_options(latency_table=str(file), max_latency_s=1.01 * without[-1])
    result = measured(facts, settings, logits.astype(np.float32), y, 1)
    assert result.policy.kept == (1,)
    assert result.metrics["latency_s"] == pytest.approx(without[-1])
    assert result.metrics["feasible"] == 1


def test_no_strategy_proposes_what_misses_a_limit_on_latency(space, table):
    from nni_earlyexit import strategies
    from nni_earlyexit.space.search_domain import domain

    predict = table.predictor(space)
    cheapest = space.extreme(predict, exit=0)[1]
    strategy = strategies.create("random", seed=0)
    strategy.start(domain(space, Limits(max_latency_s=2 * cheapest), predict))
    assert all(predict(strategy.ask())[0] <= 2 * cheapest for _ in range(10))
    with pytest.raises(ValueError, match="max_latency_s: .* is below the cheapest network .* seconds"):
        domain(space, Limits(max_latency_s=cheapest / 2), predict)


@pytest.mark.parametrize(
    "arguments",
    [{"max_latency_s": 0.1}, {"objectives": {"accuracy": "max", "latency_s": "min"}}],
    ids=["limit", "objective"],
)
def test_latency_without_a_table_is_refused(arguments):
    with pytest.raises(ValueError, match="latency.* needs a latency_table; 'nni-earlyexit latency' makes one"):
        TunerArguments.parse({"space": "digits", **arguments}).agreed_limits(None)
