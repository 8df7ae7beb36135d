"""Cycles in a graph: the strongly connected components that contain one, and a shortest cycle in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Graph: TypeAlias = Mapping[str, Sequence[str]]
"""Each node and its successors; a successor that is not a key is ignored."""


def cyclic_components(graph: Graph) -> Iterator[list[str]]:
    """The strongly connected components that contain a cycle, in linear time.

    Tarjan's algorithm (SIAM J. Comput. 1, 1972), without recursion, since a path may be long.
    """
    search = _Tarjan(graph)
    for node in graph:
        yield from search.run(node)


class _Tarjan:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._index: dict[str, int] = {}
        self._low_link: dict[str, int] = {}
        self._stack: dict[str, None] = {}
        """The nodes whose component is not complete yet, in order of discovery; a dict for fast lookup."""
        self._visits: list[tuple[str, Iterator[str]]] = []
        """The depth-first search: each node on the current path, and its successors not visited yet."""

    def run(self, root: str) -> Iterator[list[str]]:
        """The components reachable from a node that were not found before."""
        if root not in self._index:
            self._open(root)
        while self._visits:
            node, remaining = self._visits[-1]
            child = next(remaining, None)
            if child is None:
                self._visits.pop()
                if self._visits:
                    self._lower(self._visits[-1][0], self._low_link[node])
                yield from self._close(node)
            elif child not in self._index:
                if child in self._graph:
                    self._open(child)
            elif child in self._stack:
                self._lower(node, self._index[child])

    def _open(self, node: str) -> None:
        self._index[node] = self._low_link[node] = len(self._index)
        self._stack[node] = None
        self._visits.append((node, iter(self._graph[node])))

    def _lower(self, node: str, low_link: int) -> None:
        self._low_link[node] = min(self._low_link[node], low_link)

    def _close(self, node: str) -> Iterator[list[str]]:
        if self._low_link[node] < self._index[node]:
            return
        component: list[str] = []
        while not component or component[-1] != node:
            component.append(self._stack.popitem()[0])
        if len(component) > 1 or node in self._graph[node]:
            yield component[::-1]


def shortest_cycle(start: str, graph: Graph) -> list[str]:
    """A shortest cycle from a node that is on one, by breadth-first search; the node is not repeated."""
    predecessor: dict[str, str] = {}
    pending = deque([start])
    while pending:
        node = pending.popleft()
        for successor in graph[node]:
            if successor == start:
                path = [node]
                while path[-1] != start:
                    path.append(predecessor[path[-1]])
                return path[::-1]
            if successor in graph and successor not in predecessor:
                predecessor[successor] = node
                pending.append(successor)
    return [start]
