"""NNI's database of an experiment, as tests write it."""

from __future__ import annotations

import json
import sqlite3

TABLES = """
create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text, sequenceId integer,
    message text, environmentId text);
create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, sequence integer, data text);
create table ExperimentProfile (params text, id text, execDuration integer, startTime integer, endTime integer, logDir text,
    nextSequenceId integer, revision integer);
"""
"""The tables of NNI 3.0."""


def write(folder, events, results, elapsed=60, **params):
    """The folder of an experiment, its database as NNI writes it."""
    (folder / "db").mkdir(parents=True)
    with sqlite3.connect(folder / "db" / "nni.sqlite") as connection:
        connection.executescript(TABLES)
        params = {"experimentName": "a search", "maxTrialNumber": 4, **params}
        profile = (json.dumps(params), folder.name, elapsed, 1_700_000_000_000, None, str(folder), 0, 1)
        connection.execute("insert into ExperimentProfile values (?, ?, ?, ?, ?, ?, ?, ?)", profile)
        for time, (trial, event) in enumerate(events):
            connection.execute(
                "insert into TrialJobEvent values (?, ?, ?, null, null, null, null, null)", (time, trial, event)
            )
        for time, (trial, result) in enumerate(results):
            data = json.dumps(json.dumps(result))
            connection.execute("insert into MetricData values (?, ?, '0', 'FINAL', 0, ?)", (time, trial, data))
    connection.close()
    return folder
