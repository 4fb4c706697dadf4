"""What an S3 Select expression can say: a closed set of nodes.

Source: Amazon S3 User Guide, "SQL reference for Amazon S3 Select".
"""

from dataclasses import dataclass
from typing import Literal as OneOf

Position = tuple[int, int]
"""Line and column of the text, both 1-based."""


@dataclass(frozen=True, slots=True)
class Key:
    """`.name` or `['name']`; without quotes its case does not matter."""

    name: str
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class Index:
    """`[3]`, 0-based."""

    number: int


@dataclass(frozen=True, slots=True)
class EveryKey:
    """`.*`"""


@dataclass(frozen=True, slots=True)
class EveryIndex:
    """`[*]`"""


Step = Key | Index | EveryKey | EveryIndex


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out; `text` is its canonical spelling."""

    kind: OneOf["int", "decimal", "float", "string", "bool", "null", "missing", "timestamp"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A column, the row, or what lies deeper: `_1`, `s.name`, `s.projects[0].name`."""

    root: Key
    steps: tuple[Step, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Negation:
    """Unary minus."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * / %`, and `||` that joins strings."""

    operator: OneOf["+", "-", "*", "/", "%", "||"]
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared."""

    operator: OneOf["=", "<>", "<", "<=", ">", ">="]
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Connective:
    """Two or more conditions."""

    operator: OneOf["AND", "OR"]
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A condition's opposite."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class In:
    """Whether a value is one of several."""

    operand: "Expression"
    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Whether a value is from `low` to `high`, both included."""

    operand: "Expression"
    low: "Expression"
    high: "Expression"


@dataclass(frozen=True, slots=True)
class Like:
    """A string compared with a pattern of `%` and `_`."""

    operand: "Expression"
    pattern: "Expression"
    escape: "Expression | None"


@dataclass(frozen=True, slots=True)
class Is:
    """`IS NULL` or `IS MISSING`."""

    operand: "Expression"
    what: OneOf["NULL", "MISSING"]


@dataclass(frozen=True, slots=True)
class Cast:
    """A value of another type; `parameters` are those of DECIMAL."""

    operand: "Expression"
    type: str
    parameters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """`CASE WHEN condition THEN value … ELSE value END`; with a subject, the conditions are its equals."""

    subject: "Expression | None"
    branches: tuple[tuple["Expression", "Expression"], ...]
    otherwise: "Expression | None"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of single values, by its upper-case name; `word`: a date part, or the side TRIM works on."""

    name: str
    arguments: tuple["Expression", ...]
    word: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of all rows; no argument: `COUNT(*)`."""

    name: OneOf["AVG", "COUNT", "MAX", "MIN", "SUM"]
    argument: "Expression | None"


Expression = (
    Literal
    | Path
    | Negation
    | Arithmetic
    | Comparison
    | Connective
    | Not
    | In
    | Between
    | Like
    | Is
    | Cast
    | Case
    | Call
    | Aggregate
)


@dataclass(frozen=True, slots=True)
class Projection:
    """One column of the result."""

    expression: Expression
    alias: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """`SELECT projections FROM S3Object steps alias WHERE where LIMIT limit`."""

    projections: tuple[Projection, ...]
    """Empty: `*`."""
    steps: tuple[Step, ...]
    alias: str | None
    where: Expression | None
    limit: int | None

    @property
    def is_everything(self) -> bool:
        """`SELECT *`: rows as they are."""
        return not self.projections
