"""Circles in a graph: the sets of nodes that lead to one another, and a shortest way round."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Graph: TypeAlias = Mapping[str, Sequence[str]]
"""Each node and those it leads to; what is no key of it is left out."""


def circles(graph: Graph) -> Iterator[list[str]]:
    """Every largest set of nodes that can all come to one another, in linear time.

    Tarjan's algorithm (SIAM J. Comput. 1, 1972), without recursion: a chain may be long.
    """
    search = _Search(graph)
    for node in graph:
        yield from search.run(node)


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._order: dict[str, int] = {}
        self._low: dict[str, int] = {}
        self._standing: dict[str, None] = {}
        """Nodes whose set is not known yet, in the order in which they were come to."""
        self._path: list[tuple[str, Iterator[str]]] = []

    def run(self, root: str) -> Iterator[list[str]]:
        """The sets that a node leads to and that were not found before."""
        if root not in self._order:
            self._open(root)
        while self._path:
            node, following = self._path[-1]
            child = next(following, None)
            if child is None:
                self._path.pop()
                if self._path:
                    self._lower(self._path[-1][0], self._low[node])
                yield from self._close(node)
            elif child not in self._order:
                if child in self._graph:
                    self._open(child)
            elif child in self._standing:
                self._lower(node, self._order[child])

    def _open(self, node: str) -> None:
        self._order[node] = self._low[node] = len(self._order)
        self._standing[node] = None
        self._path.append((node, iter(self._graph[node])))

    def _lower(self, node: str, low: int) -> None:
        self._low[node] = min(self._low[node], low)

    def _close(self, node: str) -> Iterator[list[str]]:
        if self._low[node] < self._order[node]:
            return
        found: list[str] = []
        while not found or found[-1] != node:
            found.append(self._standing.popitem()[0])
        if len(found) > 1 or node in self._graph[node]:
            yield found[::-1]


def circle_from(start: str, graph: Graph) -> list[str]:
    """A shortest way from a node that can come back to itself, without its repetition at the end."""
    came: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for following in graph[node]:
            if following == start:
                path = [node]
                while path[-1] != start:
                    path.append(came[path[-1]])
                return path[::-1]
            if following in graph and following not in came:
                came[following] = node
                waiting.append(following)
    return [start]
