"""A document's cluster as lines for a terminal; control characters in crawled text are made visible.

Reads:  a Cluster
Writes: lines of bounded length, at most four for each member
"""

from __future__ import annotations

from pipeline.explain_cluster import Cluster, Member
from pipeline.wording import count, number, one_line, plural

MAX_URL_CHARS = 400
MAX_MEMBER_CHARS = 200  # of the URLs of other members
MAX_PASSAGE_CHARS = 300


def duplicate_lines(duplicate_of: str, url: str | None, cluster: Cluster | None) -> list[str]:
    """What a document was dropped for, how alike they are, and what else was."""
    where = one_line(url, MAX_URL_CHARS) if url else "its URL is not known"
    lines = [f"duplicate of {duplicate_of}: {where}"]
    if cluster is None:
        return lines
    if cluster.of_earlier_run:
        lines.append("  which an earlier run has seen")
    if cluster.representative_dropped_by:
        lines.append(f"  which {one_line(cluster.representative_dropped_by, 80)} dropped in turn")
    lines += _compared(cluster, cluster.threshold)
    here = plural(cluster.documents - cluster.of_earlier_run, "document")
    size = f"cluster of {here} of this run and that one" if cluster.of_earlier_run else f"cluster of {here}"
    num_others = cluster.documents - 2
    return [*lines, f"{size}; also in it:" if num_others else size, *_members(cluster, num_others)]


def kept_lines(cluster: Cluster) -> list[str]:
    """How many documents the representative stands for, and some of them."""
    head = f"kept for {plural(cluster.documents, 'document')}; dropped for it:"
    return [head, *_members(cluster, cluster.documents - 1)]


def _members(cluster: Cluster, num: int) -> list[str]:
    """The members that are named, of `num` there are."""
    lines = []
    width = max((len(number(member.value)) for member in cluster.members if member.value is not None), default=0)
    for member in cluster.members:
        measured = f"measured {number(member.value):{width}}  " if member.value is not None else ""
        lines.append(f"  {measured}{_name(member, cluster)}")
        lines += [f"    {line}" for line in _compared(member, cluster.threshold)]
    left_out = num - len(cluster.members)
    return [*lines, f"  and {count(left_out)} more"] if left_out > 0 else lines


def _name(member: Member, cluster: Cluster) -> str:
    """Its URL, with the id where that alone tells it from another one."""
    if not member.url:
        return member.id
    shown = one_line(member.url, MAX_MEMBER_CHARS)
    same_url = [cluster.representative_url, *(other.url for other in cluster.members)].count(member.url) > 1
    return f"{shown} (id {member.id})" if same_url else shown


def _compared(told: Cluster | Member, threshold: float | None) -> list[str]:
    """The similarity to the representative, and where the two texts first differ, the representative's below."""
    known = [
        (similarity, f"{number(similarity)} {how}")
        for similarity, how in ((told.similarity, "exactly"), (told.estimate, "by signatures"))
        if similarity is not None
    ]
    lines = [f"similarity to it: {', '.join(words for _, words in known)}"] if known else []
    if known and threshold is not None and max(known)[0] < threshold:
        lines.append("  below the threshold: other members of the cluster link the two")
    if told.differs is not None:
        left, right = (one_line(passage, MAX_PASSAGE_CHARS) for passage in told.differs)
        if left or right:
            lines += [f"first difference: “{left}”", f"              to: “{right}”"]
        else:
            lines.append("their words are the same")
    return [*lines, one_line(told.note, MAX_PASSAGE_CHARS)] if told.note else lines
