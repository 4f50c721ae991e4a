"""The ladder from a static network to searched exits, in small: its rows differ in what they say, and nothing is done twice."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]

TARGET = 7e5


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("ladder")


@pytest.fixture(scope="module")
def command(examples, run_command, place):
    """Run the script; what it says, and the results by row."""

    def run():
        small = ("--quick", "--space", "digits", "--data", "digits", "--targets", TARGET, "--jobs", 2)
        said = run_command(sys.executable, examples / "cifar10" / "ladder.py", *small, folder=place)
        content = json.loads((place / "ladder" / "ladder.json").read_text())
        return said, {result["row"]: result for result in content["results"]}

    return run


@pytest.fixture(scope="module")
def first(command):
    return command()


def test_every_row_is_judged_within_its_rules(first):
    _, rows = first
    searched = ["static", "by hand", "positions", "constrained", "branches", "tuned after", "tuned"]
    assert list(rows) == [*searched, "untuned", "learned", "dropped"]
    judged = {name: row for name, row in rows.items() if "test" in row}
    assert {"by hand", "constrained", "tuned", "learned", "dropped"} <= set(
        judged
    )  # four static networks may cost too much
    assert len(judged.get("static", {"exit_costs": [0]})["exit_costs"]) == 1
    by_hand = judged["by hand"]
    assert len(by_hand["exit_costs"]) == 3
    assert len(set(by_hand["policy"]["cutoffs"][:-1])) == 1
    assert judged["constrained"]["space"].endswith("exit_depth=0 exit_heads=avg,")
    if "branches" in judged:  # one policy for each network: there may be none within the target
        assert set(judged["branches"]["policy"]["cutoffs"][:-1]) <= {0.9}
    for name, row in judged.items():
        chosen = next(point for point in row["trade_off"] if point["policy"] == row["policy"])
        assert chosen["calibration"]["avg_macs"] <= TARGET * 1.000001, name
        assert row["policy"]["confidence"] == ("learned" if name in ("learned", "dropped") else "max_prob")
    assert judged["tuned"]["sample"] == judged["learned"]["sample"] == judged["dropped"]["sample"]
    assert rows["branches"].get("sample") == rows["tuned after"].get("sample")
    assert len(set(judged["untuned"]["policy"]["cutoffs"][:-1])) == 1
    for name in ("tuned", "learned"):
        assert None not in judged[name]["policy"]["cutoffs"][:-1]  # every exit is kept


def test_the_table_is_made_of_the_results(first, run_command, examples, place):
    said, rows = first
    assert f"{rows['tuned']['test']['accuracy']:.2%}" in said
    script = examples.parent / "benchmarks" / "ladder.py"
    words = ("ladder/ladder.json", "--picture", "ladder.png", "--keep", "small.json")
    table = run_command(sys.executable, script, *words, folder=place)
    assert run_command(sys.executable, script, "small.json", folder=place) == table
    assert (place / "small.json").stat().st_size < 30_000
    line = next(line for line in table.splitlines() if line.startswith("tuned "))
    gain = 100 * (rows["tuned"]["test"]["accuracy"] - rows["constrained"]["test"]["accuracy"])
    assert f"{100 * rows['tuned']['test']['accuracy']:.2f} +- " in line
    assert f"  {gain:.2f} " in line
    assert (place / "ladder.png").stat().st_size > 10_000


def test_what_is_there_is_not_done_again(first, command, place):
    _, rows = first
    (place / "ladder" / "judged" / "tuned-700000-0.json").unlink()
    searched = place / "ladder" / "searches" / "tuned-700000-0.jsonl"
    content = searched.read_text()
    searched.write_text(content + content[:100])  # what a run that was killed left
    said, again = command()
    assert again == rows
    assert searched.read_text() == content
    assert "was finished before" in said
    assert "supernet digits" not in said
