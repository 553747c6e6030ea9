"""From an answer to the changes in it and their verdicts."""

from __future__ import annotations

from pollex.worddiff import diff
from pollex.words.changes import Change, Confidence, Judged, Kind, Reason, Verdict
from pollex.words.options import Options


def judge(
    text: str,
    answer: str,
    options: Options,  # noqa: ARG001 - judged by the next step
    *,
    prompt_sent: str = "",  # noqa: ARG001 - judged by the next step
    confidence: Confidence | None = None,  # noqa: ARG001 - judged by the next step
) -> Judged:
    """What of the model's raw answer to a block of the author's is believed.

    Args:
        text: the block as it was sent, without its marker.
        answer: what the model said, as it came.
        options: the author's wishes.
        prompt_sent: all that was sent besides the text, so that an echo of it is known as one.
        confidence: how sure the model was, where its server tells.
    """
    changes, at = [], 0
    for piece in diff(text, answer.strip()):
        if piece.changed:
            place = (at, at + len(piece.before), piece.before, piece.after)
            changes.append(Change(*place, Kind.WORDING, Verdict.TAKEN, Reason.MODE))
        at += len(piece.before)
    return Judged(answer.strip(), tuple(changes))
