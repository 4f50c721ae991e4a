"""The example of sentences: from a file of lines to a front."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from nni_earlyexit import EarlyExitNetwork
from support import free_port

pytestmark = [pytest.mark.nni, pytest.mark.slow]


def test_sentences_become_a_front(examples, run_command, tmp_path):
    script = examples / "text" / "search.py"
    said = run_command(sys.executable, script, "--quick", "--results", "own", "--port", free_port(), folder=tmp_path)
    written = json.loads((tmp_path / "own" / "front.json").read_text())
    assert 1 <= written["trials"] <= 4  # a busy machine ends it by its time
    for member in written["front"]:
        network = EarlyExitNetwork.load(member["trial_folder"])
        assert network.class_names == ("blame", "praise")
        assert len(network.predict(["the cast is very good", "the story is not good"]).classes) == 2
        assert member["architecture"] in said


def test_a_not_turns_what_a_made_up_sentence_says(examples, tmp_path):
    spec = importlib.util.spec_from_file_location("text_search", examples / "text" / "search.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    lines = script.write_sentences(tmp_path / "s.tsv", 300).read_text().splitlines()
    assert len(set(lines)) == 300
    labels = {"good": "praise", "bad": "blame"}
    turned = {"good": "blame", "bad": "praise"}
    seen = set()
    for sentence, label in (line.split("\t") for line in lines):
        words = sentence.split()
        for word in labels.keys() & set(words):
            assert label == (turned if "not" in words else labels)[word]
            seen.add((word, "not" in words))
    assert len(seen) == 4
