"""Arithmetic on the values of an ONNX graph, written as arithmetic on arrays is."""

from typing import TypeAlias, Union

from cic.weights.files.onnx_file import Graph

Operand: TypeAlias = Union["Term", float, int]


class Term:
    """A value in a Graph, by its `name`; its numbers are float32, or int64 if it `is_whole`.

    +, -, *, / and @ work as in NumPy; numbers take the term's type. A quotient of whole numbers is
    cut off at the point.
    """

    def __init__(self, graph: Graph, name: str, is_whole: bool = False) -> None:
        self.graph, self.name, self.is_whole = graph, name, is_whole

    def __add__(self, other: Operand) -> "Term":
        return self.of("Add", self, other)

    def __sub__(self, other: Operand) -> "Term":
        return self.of("Sub", self, other)

    def __mul__(self, other: Operand) -> "Term":
        return self.of("Mul", self, other)

    def __truediv__(self, other: Operand) -> "Term":
        return self.of("Div", self, other)

    def __mod__(self, other: Operand) -> "Term":
        return self.of("Mod", self, other)

    def __matmul__(self, other: "Term") -> "Term":
        return self.of("MatMul", self, other)

    def at_least(self, other: Operand) -> "Term":
        """Return the larger of each two."""
        return self.of("Max", self, other)

    def at_most(self, other: Operand) -> "Term":
        """Return the smaller of each two."""
        return self.of("Min", self, other)

    def exceeds(self, other: Operand) -> "Term":
        """Return which numbers are above the other ones: for `where`."""
        return self.of("Greater", self, other)

    def of(self, operator: str, *operands: Operand) -> "Term":
        """Return what an operator makes of operands: a Term of this one's type."""
        return Term(self.graph, self.graph(operator, *map(self._named, operands)), self.is_whole)

    def _named(self, operand: Operand) -> str:
        if isinstance(operand, Term):
            return operand.name
        return self.graph.constant(operand, "i8" if self.is_whole else "f4")

    def sum(self, axis: int) -> "Term":
        """Return the sum along an axis, which stays."""
        return Term(self.graph, self.graph("ReduceSum", self.name, self.graph.whole(axis)))

    def root(self) -> "Term":
        return self.of("Sqrt", self)

    def rows(self, count: int) -> "list[Term]":
        """Return the `count` rows of it (count, ...), (1, ...) each."""
        names = self.graph.many("Split", self.name, outputs=count, axis=0)
        return [Term(self.graph, name, self.is_whole) for name in names]


def stacked(*rows: Term) -> Term:
    """Return (n, ...) of rows (1, ...)."""
    graph = rows[0].graph
    return Term(graph, graph("Concat", *(row.name for row in rows), axis=0), rows[0].is_whole)


def where(condition: Term, one: Term, other: Term) -> Term:
    """Of each two the first where the condition holds."""
    name = one.graph("Where", condition.name, one.name, other.name)
    return Term(one.graph, name, one.is_whole)
