from __future__ import annotations

import pytest
from nni_earlyexit.utils.amounts import format_macs, parse_amount, parse_duration


@pytest.mark.parametrize(("text", "macs"), [("150000", 150000), ("150k", 150e3), ("2M", 2e6), ("1.5G", 1.5e9)])
def test_macs_are_read_with_their_unit(text, macs):
    assert parse_amount(text) == macs


def test_macs_are_shown_with_their_unit():
    assert [format_macs(m) for m in (950, 150_000, 2_340_000, 4.1e9)] == ["950", "150k", "2.34M", "4.1G"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), (90, 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_durations_are_written_as_nni_writes_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "-1s", 0, True, None, "inf", "nan", "10000000h", [], {}])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration; examples: 90, 90s, 10m, 2h"):
        parse_duration(text)
