"""Classification of sentences: token embedding and transformer blocks; early exit is not only for images.

An input is a row of token ids, filled up with 0. Padding changes no result. Costs are those of a full row.
"""

from __future__ import annotations

from functools import partial

from nni_earlyexit.nn.mutables import exit_branch, stage
from nni_earlyexit.nn.tokens import WordTokens, token_head
from nni_earlyexit.space.base import EarlyExitSpace, Parts
from nni_earlyexit.utils.checks import check_number

BLOCKS = tuple(f"attn_h{heads}_r{ratio}_pad" for heads in (2, 4, 8) for ratio in (1, 2, 4))
EXIT_LAYERS = ("attn_h4_r1_pad", "attn_h4_r2_pad", "mlp_r1_pad", "mlp_r2_pad", "mlp_r4_pad")
DEPTH = (1, 3)
STAGES = 4


class Space(EarlyExitSpace):
    """Blocks per stage (1 to 3), heads and MLP ratio of each, and per exit: presence, depth 0 to 3, layers, head.

    Parameters
    ----------
    tokens
        Token ids of an input.
    vocabulary
        Number of different ids, padding (0) included.
    channels
        Length of a token's vector, a multiple of 8.
    num_classes
        Number of classes.
    """

    name = "text"
    examples = ({},)

    @classmethod
    def parts(cls, tokens: int = 64, vocabulary: int = 8192, channels: int = 128, num_classes: int = 2) -> Parts:
        """Embedding, four stages, an exit after each of the first three, and the classifier."""
        check_number("tokens", tokens, 1)
        check_number("vocabulary", vocabulary, 2)
        check_number("channels", channels, 8, multiple_of=8)
        head = partial(token_head, channels, num_classes, padded=True)
        return Parts(
            stem=WordTokens(vocabulary, tokens, channels),
            stages=[stage(BLOCKS, channels, channels, 1, DEPTH, label=f"stage{i}") for i in range(STAGES)],
            exits=[
                partial(exit_branch, channels, num_classes, label=f"exit{i}", layers=EXIT_LAYERS, head=head)
                for i in range(STAGES - 1)
            ],
            head=head(),
            input_shape=(tokens,),
            num_classes=num_classes,
        )
