"""The vocabulary of a task on sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nni_earlyexit.nn.preprocessing import UNKNOWN_WORD, words_of


def build_vocabulary(sentences: Iterable[str], size: int) -> tuple[str, ...]:
    """The most frequent words of the training sentences, so that there are ``size`` ids with padding and unknown words.

    Words that are as frequent as each other stand in the order of the alphabet, so that the ids are always the same.
    """
    counts = Counter(word for sentence in sentences for word in words_of(sentence))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(ranked[: size - UNKNOWN_WORD - 1])
