"""A histogram as files are read into it: 16 bytes a bucket where a dictionary takes ninety."""

from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterator, Mapping, ValuesView


class Histogram(Mapping[int, int]):
    """Lower edge of a bucket in ns -> echoes, edges rising; equal to a dictionary of the same.

    counts: from 0 to 2**63 - 1, as are its keys.
    """

    __slots__ = ("_counts", "_edges")

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._edges = array("q", sorted(counts))
        self._counts = array("q", map(counts.__getitem__, self._edges))

    def __getitem__(self, edge: int) -> int:
        place = bisect_left(self._edges, edge)
        if place == len(self._edges) or self._edges[place] != edge:
            raise KeyError(edge)
        return self._counts[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self._edges)

    def __len__(self) -> int:
        return len(self._edges)

    def __repr__(self) -> str:
        return f"Histogram({dict(self)!r})"

    def items(self) -> ItemsView[int, int]:
        """As of any mapping, but without a search for every edge."""
        return dict(zip(self._edges, self._counts, strict=True)).items()

    def values(self) -> ValuesView[int]:
        """As of any mapping, but without a search for every edge."""
        return dict(enumerate(self._counts)).values()
