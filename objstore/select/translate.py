"""S3 Select's nodes to DuckDB's SQL.

What comes out is made of the templates below, column references of our own making and quoted literals:
no text of the caller's stands in it but inside a string literal.

S3 Select judges values as they come; DuckDB wants to know types before. So each expression here has a
`Kind`. Two kinds are open until a row is there: TEXT (a field of a CSV record, a string that is taken for
a number where one is needed) and JSON. NULL of a TEXT or JSON expression is S3's MISSING; JSON's own null is
S3's NULL. A timestamp is a struct: `t` its moment in UTC, `o` its offset in minutes, `p` its precision.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from objstore.s3 import errors
from objstore.select.lexer import where
from objstore.select.syntax import (
    Aggregate,
    Arithmetic,
    Between,
    Call,
    Case,
    Cast,
    Comparison,
    Connective,
    EveryIndex,
    EveryKey,
    Expression,
    In,
    Index,
    Is,
    Key,
    Like,
    Literal,
    Negation,
    Not,
    Path,
    Query,
    Step,
)
from objstore.select.timestamps import FORMATS, format_pieces
from objstore.select.typed import (
    COLUMNS_MAX,
    NUMERIC,
    STRINGS,
    Columns,
    CsvOutput,
    JsonOutput,
    Kind,
    Statements,
    Typed,
    checked,
    failure,
    json_compare,
    json_string,
    literal,
    of_type,
    quoted_field,
)


def translate(query: Query, columns: Columns, output: CsvOutput | JsonOutput, source: str) -> Statements:
    """The statements for a query over records of this shape, which `source` (SQL of our own) yields.

    Raises S3 errors: MissingHeaders, InvalidColumnIndex, UnsupportedSqlStructure and their like.
    """
    return _Translator(query, columns, source).statements(output)


class _Translator:
    def __init__(self, query: Query, columns: Columns, source: str) -> None:
        self._query = query
        self._source = source
        self._columns = columns
        self._alias = _row_name(query)
        self._names = 0
        self._partials: list[str] = []
        self._in_aggregate = False
        self._allows_aggregates = False

    def statements(self, output: CsvOutput | JsonOutput) -> Statements:
        query = self._query
        if query.steps and self._columns.format != "json":
            raise errors.InvalidKeyPath("Only JSON has paths after S3Object.")
        condition = ""
        if query.where is not None:
            condition = f" WHERE {self._condition(query.where)}"
        source = self._rows(query.steps)
        is_aggregate = any(_has_aggregate(projection.expression) for projection in query.projections)
        if not is_aggregate:
            record = self._everything(output) if query.is_everything else self._record(output)
            rows = f"SELECT {record} FROM {source}{condition}"
            return Statements(checked(rows), None, query.limit)
        self._allows_aggregates = True
        record = self._record(output)
        rows = f"SELECT {', '.join(self._partials) or '0 AS p0'} FROM {source}{condition}"
        return Statements(checked(rows), checked(f"SELECT {record} FROM partials"), query.limit)

    # Rows.

    def _rows(self, steps: Sequence[Step]) -> str:
        if not steps:
            return self._source
        found = "[r]"
        for step in steps:
            name = self._name()
            match step:
                case EveryIndex():
                    items = of_type(name, "ARRAY", f"nullif(json_extract({name}, '$[*]'), [])", "[NULL]")
                    found = f"flatten(list_transform({found}, lambda {name}: {items}))"
                case EveryKey():
                    items = of_type(name, "OBJECT", f"nullif(json_extract({name}, '$.*'), [])", "[NULL]")
                    found = f"flatten(list_transform({found}, lambda {name}: {items}))"
                case _:
                    inner = self._step(Typed(name, Kind.JSON, is_leaf=True), step)
                    found = f"list_transform({found}, lambda {name}: {inner.sql})"
        return f"(SELECT unnest({found}) AS r FROM {self._source})"

    # Records.

    def _record(self, output: CsvOutput | JsonOutput) -> str:
        named = []
        for number, projection in enumerate(self._query.projections, start=1):
            value = self._typed(projection.expression)
            if self._allows_aggregates and not _is_of_aggregates(projection.expression):
                raise errors.UnsupportedSqlStructure(
                    "Aggregate functions and columns cannot stand side by side in the SELECT list."
                )
            named.append((projection.alias or _implied_name(projection.expression) or f"_{number}", value))
        return self._written(named, output)

    def _written(self, named: Sequence[tuple[str, Typed]], output: CsvOutput | JsonOutput) -> str:
        if isinstance(output, CsvOutput):
            delimiter = f" || {literal(output.field_delimiter)} || "
            return (
                "(" + delimiter.join(quoted_field(self._csv_text(value), output) for _, value in named) + ")"
            )
        members = ", ".join(
            f"{literal(json_string(name) + ':')} || {self._json_text(value)}" for name, value in named
        )
        return f"('{{' || coalesce(array_to_string([{members}], ','), '') || '}}')"

    def _everything(self, output: CsvOutput | JsonOutput) -> str:
        columns = self._columns
        if columns.format == "parquet":
            assert columns.names is not None
            return self._written(
                [
                    (name, Typed(f"c{number}", kind, is_leaf=True))
                    for number, (name, kind) in enumerate(zip(columns.names, columns.kinds, strict=True))
                ],
                output,
            )
        if columns.format == "json":
            return self._whole_json(output)
        if isinstance(output, CsvOutput):
            field = quoted_field("v", output)
            return f"array_to_string(list_transform(r, lambda v: {field}), {literal(output.field_delimiter)})"
        names = ", ".join(literal(name) for name in columns.names or ())
        name = f"to_json(coalesce(CAST([{names}] AS VARCHAR[])[i], '_' || i))::VARCHAR"
        member = f"{name} || ':' || to_json(v)::VARCHAR"
        return (
            f"('{{' || coalesce(array_to_string(list_transform(r, lambda v, i: {member}), ','), '') || '}}')"
        )

    def _whole_json(self, output: CsvOutput | JsonOutput) -> str:
        row = Typed("r", Kind.JSON, is_leaf=True)
        if isinstance(output, JsonOutput):
            alone = f"('{{\"_1\":' || {self._json_text(row)} || '}}')"
            return f"coalesce({of_type('r', 'OBJECT', 'json(r)::VARCHAR', alone)}, '{{}}')"
        value = Typed("v", Kind.JSON, is_leaf=True)
        fields = (
            f"array_to_string(list_transform(json_extract(r, '$.*'), "
            f"lambda v: {quoted_field(self._csv_text(value), output)}), {literal(output.field_delimiter)})"
        )
        return of_type("r", "OBJECT", fields, quoted_field(self._csv_text(row), output))

    def _csv_text(self, value: Typed) -> str:
        match value.kind:
            case Kind.TEXT | Kind.STRING:
                return f"coalesce({value.sql}, '')"
            case Kind.JSON:
                return self._let(
                    value,
                    lambda v: (
                        f"coalesce(CASE json_type({v}) WHEN 'VARCHAR' THEN {v}->>'$' WHEN 'NULL' THEN '' "
                        f"ELSE json({v})::VARCHAR END, '')"
                    ),
                )
        return f"coalesce({self._text(value)}, '')"

    def _json_text(self, value: Typed) -> str:
        """As JSON; NULL where it is missing."""
        match value.kind:
            case Kind.TEXT:
                return f"to_json({value.sql})::VARCHAR"
            case Kind.JSON:
                return f"json({value.sql})::VARCHAR"
            case Kind.STRING | Kind.TIMESTAMP:
                return f"coalesce(to_json({self._text(value)})::VARCHAR, 'null')"
            case Kind.NULL if value.sql == _MISSING.sql:
                return "CAST(NULL AS VARCHAR)"
            case Kind.NUMBER | Kind.DOUBLE:  # JSON has no infinity
                finite = self._let(value, lambda v: f"CASE WHEN isfinite({v}) THEN {v} END")
                return f"coalesce({self._text(Typed(finite, value.kind))}, 'null')"
        return f"coalesce({self._text(value)}, 'null')"

    def _text(self, value: Typed) -> str:
        """A value as S3 Select shows it; NULL stays."""
        match value.kind:
            case Kind.TEXT | Kind.STRING:
                return value.sql
            case Kind.INT:
                return f"CAST({value.sql} AS VARCHAR)"
            case Kind.BOOL:
                return f"CAST({value.sql} AS VARCHAR)"
            case Kind.DECIMAL:
                text = f"CAST({value.sql} AS VARCHAR)"
                return rf"regexp_replace(regexp_replace({text}, '(\.\d*?)0+$', '\1'), '\.$', '')"
            case Kind.DOUBLE:
                return f"CAST({value.sql} AS VARCHAR)"
            case Kind.NUMBER:
                return self._let(
                    value,
                    lambda v: (
                        f"CASE WHEN {v} = trunc({v}) AND abs({v}) < 1e15 "
                        f"THEN CAST(CAST({v} AS BIGINT) AS VARCHAR) ELSE CAST({v} AS VARCHAR) END"
                    ),
                )
            case Kind.TIMESTAMP:
                return f"s3_show_timestamp({value.sql})"
            case Kind.JSON:
                return self._let(
                    value,
                    lambda v: (
                        f"CASE json_type({v}) WHEN 'VARCHAR' THEN {v}->>'$' WHEN 'NULL' THEN NULL "
                        f"ELSE json({v})::VARCHAR END"
                    ),
                )
            case Kind.NULL:
                return "CAST(NULL AS VARCHAR)"

    # Names and paths.

    def _name(self) -> str:
        self._names += 1
        return f"x{self._names}"

    def _let(self, value: Typed, body: Callable[[str], str]) -> str:
        """`body` of a value that it mentions several times."""
        if value.is_leaf:
            return body(value.sql)
        name = self._name()
        return checked(f"list_transform([{value.sql}], lambda {name}: {body(name)})[1]")

    def _path(self, path: Path) -> Typed:
        if EveryKey() in path.steps or EveryIndex() in path.steps:
            raise errors.ParseInvalidContextForWildcardInSelectList
        if self._allows_aggregates and not self._in_aggregate:
            raise errors.UnsupportedSqlStructure(
                "Aggregate functions and columns cannot stand side by side in the SELECT list."
            )
        steps: tuple[Step, ...] = (path.root, *path.steps)
        is_row = _matches(path.root, self._alias)
        if is_row:
            steps = steps[1:]
        if self._columns.format == "json":
            if not is_row and _position(path.root) == 1:
                steps = steps[1:]
            found = Typed("r", Kind.JSON, is_leaf=True)
            for step in steps:
                found = self._step(found, step)
            return found
        if not steps:
            raise errors.InvalidTableAlias(f"A whole record is no value, at {where(path.position)}.")
        column, deeper = self._column(steps[0], path), steps[1:]
        if deeper and column.kind is not Kind.JSON:
            raise errors.InvalidKeyPath(f"A column has no members, at {where(path.position)}.")
        for step in deeper:
            column = self._step(column, step)
        return column

    def _column(self, step: Step, path: Path) -> Typed:
        columns = self._columns
        if not isinstance(step, Key):
            raise errors.InvalidKeyPath
        matching = [n for n, name in enumerate(columns.names or ()) if _matches(step, name)]
        if len(matching) > 1:
            raise errors.AmbiguousFieldName
        number = matching[0] + 1 if matching else _position(step)
        if number is None:
            if columns.names is None:
                raise errors.InvalidColumnIndex(
                    f"The column index at {where(path.position)} is invalid. "
                    "Please check the service documentation and try again."
                )
            raise errors.MissingHeaders
        if columns.format == "csv":
            if not 1 <= number <= COLUMNS_MAX:
                raise errors.InvalidColumnIndex
            return Typed(f"r[{number}]", Kind.TEXT, is_leaf=True)
        if not 1 <= number <= len(columns.kinds):
            raise errors.InvalidColumnIndex
        return Typed(f"c{number - 1}", columns.kinds[number - 1], is_leaf=True)

    def _step(self, value: Typed, step: Step) -> Typed:
        """A member of a JSON value; NULL (missing) where there is none."""
        if isinstance(step, Index):
            number = step.number
            return Typed(
                self._let(value, lambda v: of_type(v, "ARRAY", f"json_extract({v}, '$[{number}]')", "NULL")),
                Kind.JSON,
            )
        assert isinstance(step, Key)
        if step.is_quoted:
            pointer = literal(_pointer(step.name))
            return Typed(
                self._let(value, lambda v: of_type(v, "OBJECT", f"json_extract({v}, {pointer})", "NULL")),
                Kind.JSON,
            )
        return Typed(self._let(value, lambda v: self._member(v, step.name)), Kind.JSON)

    def _member(self, value: str, written: str) -> str:
        """The member of an object whose name is `written` in whatever case."""
        keys = f"list_filter(json_keys({value}), lambda k: lower(k) = {literal(written.lower())})"
        name = self._name()
        found = f"json_extract({value}, '/' || replace(replace({name}[1], '~', '~0'), '/', '~1'))"
        chosen = (
            f"CASE len({name}) WHEN 0 THEN NULL WHEN 1 THEN {found} "
            f"ELSE {failure(errors.AmbiguousFieldName, 'JSON')} END"
        )
        return of_type(value, "OBJECT", f"list_transform([{keys}], lambda {name}: {chosen})[1]", "NULL")

    # Expressions.

    def _typed(self, expression: Expression) -> Typed:
        made = self._dispatch(expression)
        checked(made.sql)
        return made

    def _dispatch(self, expression: Expression) -> Typed:
        match expression:
            case Literal():
                return _literal(expression)
            case Path():
                return self._path(expression)
            case Negation(operand):
                value = self._number(self._typed(operand))
                return Typed(f"(- {value.sql})", value.kind)
            case Arithmetic():
                return self._arithmetic(expression)
            case Comparison() | Connective() | Not() | In() | Between() | Like() | Is():
                return Typed(self._condition(expression), Kind.BOOL)
            case Cast(operand, type_, parameters):
                return self._cast(self._typed(operand), type_, parameters)
            case Case():
                return self._case(expression)
            case Call():
                return self._call(expression)
            case Aggregate():
                return self._aggregate(expression)

    def _condition(self, expression: Expression) -> str:
        match expression:
            case Comparison(operator, left, right):
                return self._compare(operator, self._typed(left), self._typed(right))
            case Connective(operator, operands):
                return checked("(" + f" {operator} ".join(self._condition(one) for one in operands) + ")")
            case Not(operand):
                return f"(NOT {self._condition(operand)})"
            case In(operand, items):
                return self._named(
                    self._typed(operand),
                    lambda value: (
                        "("
                        + " OR ".join(self._compare("=", value, self._typed(item)) for item in items)
                        + ")"
                    ),
                )
            case Between(operand, low, high):
                return self._named(
                    self._typed(operand),
                    lambda value: (
                        f"({self._compare('>=', value, self._typed(low))} AND "
                        f"{self._compare('<=', value, self._typed(high))})"
                    ),
                )
            case Like():
                return self._like(expression)
            case Is(operand, what):
                return self._is(self._typed(operand), what)
        return self._truth(self._typed(expression))

    def _named(self, value: Typed, body: Callable[[Typed], str]) -> str:
        return self._let(value, lambda name: body(value._replace(sql=name, is_leaf=True)))

    def _truth(self, value: Typed) -> str:
        match value.kind:
            case Kind.BOOL:
                return value.sql
            case Kind.NULL:
                return "CAST(NULL AS BOOLEAN)"
            case Kind.TEXT | Kind.STRING:
                return f"CASE lower({value.sql}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
            case Kind.JSON:
                return self._let(value, lambda v: of_type(v, "BOOLEAN", f"CAST({v} AS BOOLEAN)", "NULL"))
        raise errors.InvalidDataType("A condition must be true or false.")

    def _is(self, value: Typed, what: str) -> str:
        if value.kind is Kind.NULL:
            return "TRUE" if what == "NULL" or value.sql == _MISSING.sql else "FALSE"
        if what == "MISSING" or value.kind is not Kind.JSON:
            return f"({value.sql} IS NULL)"
        return self._let(value, lambda v: f"(coalesce(json_type({v}), 'NULL') = 'NULL')")

    def _like(self, like: Like) -> str:
        operands = [self._typed(like.operand), self._typed(like.pattern)]
        if like.escape is not None:
            operands.append(self._typed(like.escape))
        for operand in operands:
            if operand.kind in NUMERIC or operand.kind in (Kind.BOOL, Kind.TIMESTAMP):
                raise errors.LikeInvalidInputs
        texts = [self._string(operand) for operand in operands]
        if like.escape is None:
            return f"like_escape({texts[0]}, {texts[1]}, '')"
        if isinstance(like.escape, Literal) and len(like.escape.text) != 1:
            raise errors.EvaluatorLikePatternInvalidEscapeSequence
        return f"like_escape({texts[0]}, {texts[1]}, {texts[2]})"

    def _string(self, value: Typed) -> str:
        """A string; NULL where a JSON value is none."""
        if value.kind is Kind.JSON:
            return self._let(value, lambda v: of_type(v, "VARCHAR", f"({v}->>'$')", "NULL"))
        return self._text(value)

    def _compare(self, operator: str, left: Typed, right: Typed) -> str:
        kinds = {left.kind, right.kind}
        if Kind.NULL in kinds:
            return "CAST(NULL AS BOOLEAN)"
        if kinds <= NUMERIC or kinds <= STRINGS or kinds == {Kind.BOOL}:
            return f"({left.sql} {operator} {right.sql})"
        if Kind.TIMESTAMP in kinds:
            moments = [self._moment(value) for value in (left, right)]
            return f"({moments[0]} {operator} {moments[1]})"
        if Kind.BOOL in kinds:
            if kinds & NUMERIC:
                raise errors.InvalidDataType("A truth value cannot be compared with a number.")
            return f"({self._truth(left)} {operator} {self._truth(right)})"
        if kinds == {Kind.JSON}:
            return self._named(
                left, lambda one: self._named(right, lambda two: json_compare(operator, one.sql, two.sql))
            )
        if kinds & NUMERIC:
            return self._with_number(operator, left, right)
        return f"({self._string(left)} {operator} {self._string(right)})"

    def _with_number(self, operator: str, left: Typed, right: Typed) -> str:
        """One side is a number; the other is text, a string or JSON, and NULL where it is no number."""
        number, other = (right, left) if right.kind in NUMERIC else (left, right)

        def compared(value: str) -> str:
            one, two = (value, number.sql) if number is right else (number.sql, value)
            return f"({one} {operator} {two})"

        if other.kind is Kind.JSON:
            return self._let(
                other,
                lambda v: (
                    f"CASE json_type({v}) WHEN 'BIGINT' THEN {compared(f'CAST({v} AS BIGINT)')} "
                    f"WHEN 'UBIGINT' THEN {compared(f'CAST({v} AS HUGEINT)')} "
                    f"WHEN 'DOUBLE' THEN {compared(f'CAST({v} AS DOUBLE)')} END"
                ),
            )
        return self._let(
            other,
            lambda v: (
                f"CASE WHEN regexp_full_match({v}, '[+-]?[0-9]{{1,18}}') "
                f"THEN {compared(f'CAST({v} AS BIGINT)')} ELSE {compared(f'TRY_CAST({v} AS DOUBLE)')} END"
            ),
        )

    def _number(self, value: Typed) -> Typed:
        if value.kind in NUMERIC:
            return value
        refused = failure(errors.CastFailed, "DOUBLE")
        match value.kind:
            case Kind.NULL:
                return Typed("CAST(NULL AS DOUBLE)", Kind.NUMBER)
            case Kind.TEXT | Kind.STRING:
                return Typed(
                    self._let(
                        value,
                        lambda v: (
                            f"CASE WHEN {v} IS NULL THEN NULL ELSE "
                            f"coalesce(TRY_CAST({v} AS DOUBLE), {refused}) END"
                        ),
                    ),
                    Kind.NUMBER,
                )
            case Kind.JSON:
                return Typed(
                    self._let(
                        value,
                        lambda v: (
                            f"CASE coalesce(json_type({v}), 'NULL') WHEN 'NULL' THEN NULL "
                            f"WHEN 'BIGINT' THEN CAST({v} AS DOUBLE) WHEN 'UBIGINT' THEN CAST({v} AS DOUBLE) "
                            f"WHEN 'DOUBLE' THEN CAST({v} AS DOUBLE) ELSE {refused} END"
                        ),
                    ),
                    Kind.NUMBER,
                )
        raise errors.IncorrectSqlFunctionArgumentType

    def _arithmetic(self, expression: Arithmetic) -> Typed:
        left, right = self._typed(expression.left), self._typed(expression.right)
        operator = expression.operator
        if operator == "||":
            return Typed(f"({self._string(left)} || {self._string(right)})", Kind.STRING)
        left, right = self._number(left), self._number(right)
        kinds = {left.kind, right.kind}
        if kinds == {Kind.INT}:
            if operator in "/%":
                divided = {"/": "//", "%": "%"}[operator]
                return Typed(
                    self._let(
                        right,
                        lambda v: (
                            f"CASE WHEN {v} = 0 THEN {failure(errors.EvaluatorInvalidArguments, 'BIGINT')} "
                            f"ELSE {left.sql} {divided} {v} END"
                        ),
                    ),
                    Kind.INT,
                )
            return Typed(f"({left.sql} {operator} {right.sql})", Kind.INT)
        if kinds <= {Kind.INT, Kind.DECIMAL} and operator in "+-":
            return Typed(f"({left.sql} {operator} {right.sql})", Kind.DECIMAL)
        kind = Kind.DOUBLE if kinds == {Kind.DOUBLE} else Kind.NUMBER
        return Typed(f"(CAST({left.sql} AS DOUBLE) {operator} CAST({right.sql} AS DOUBLE))", kind)

    # Conversions.

    def _cast(self, value: Typed, type_: str, parameters: tuple[int, ...]) -> Typed:
        match type_:
            case "STRING":
                return Typed(self._text(value), Kind.STRING)
            case "TIMESTAMP":
                return self._timestamp(value)
            case "BOOL":
                return Typed(self._to_bool(value), Kind.BOOL)
            case "INT":
                return Typed(self._to_int(value), Kind.INT)
            case "FLOAT":
                return Typed(self._to_numeric(value, "DOUBLE"), Kind.DOUBLE)
        precision, scale = parameters or (38, 12)
        return Typed(self._to_numeric(value, f"DECIMAL({precision}, {scale})"), Kind.DECIMAL)

    def _scalar_text(self, value: Typed) -> Typed:
        """Text to be read as something else: that of a JSON value is what stands in the document."""
        if value.kind is Kind.JSON:
            return Typed(self._text(value), Kind.STRING)
        return value

    def _to_int(self, value: Typed) -> str:
        if value.kind is Kind.INT:
            return value.sql
        if value.kind is Kind.BOOL:
            return f"CAST({value.sql} AS BIGINT)"
        if value.kind in NUMERIC:
            return f"CAST(trunc({value.sql}) AS BIGINT)"
        if value.kind is Kind.TIMESTAMP:
            raise errors.InvalidCast
        refused = failure(errors.CastFailed, "BIGINT")
        return self._let(
            self._scalar_text(value),
            lambda v: (
                f"CASE WHEN {v} IS NULL THEN NULL WHEN regexp_full_match(trim({v}), '[+-]?[0-9]+') "
                f"THEN coalesce(TRY_CAST(trim({v}) AS BIGINT), {failure(errors.IntegerOverflow, 'BIGINT')}) "
                rf"WHEN regexp_full_match(trim({v}), '[+-]?[0-9]+\.[0-9]*') "
                rf"THEN CAST(regexp_extract(trim({v}), '([+-]?[0-9]+)\.', 1) AS BIGINT) "
                f"ELSE {refused} END"
            ),
        )

    def _to_numeric(self, value: Typed, type_: str) -> str:
        if value.kind in NUMERIC or value.kind is Kind.NULL:
            return f"CAST({value.sql} AS {type_})"
        if value.kind is Kind.TIMESTAMP:
            raise errors.InvalidCast
        if value.kind is Kind.BOOL:
            return f"CAST(CAST({value.sql} AS BIGINT) AS {type_})"
        return self._let(
            self._scalar_text(value),
            lambda v: (
                f"CASE WHEN {v} IS NULL THEN NULL ELSE "
                f"coalesce(TRY_CAST(trim({v}) AS {type_}), {failure(errors.CastFailed, type_)}) END"
            ),
        )

    def _to_bool(self, value: Typed) -> str:
        if value.kind in NUMERIC:
            return f"({value.sql} <> 0)"
        if value.kind in (Kind.BOOL, Kind.NULL):
            return self._truth(value)
        if value.kind is Kind.TIMESTAMP:
            raise errors.InvalidCast
        return self._let(
            self._scalar_text(value),
            lambda v: (
                f"CASE WHEN {v} IS NULL THEN NULL WHEN lower({v}) = 'true' THEN TRUE "
                f"WHEN lower({v}) = 'false' THEN FALSE ELSE {failure(errors.CastFailed, 'BOOLEAN')} END"
            ),
        )

    def _timestamp(self, value: Typed) -> Typed:
        match value.kind:
            case Kind.TIMESTAMP:
                return value
            case Kind.NULL:
                return Typed("s3_parse_timestamp(CAST(NULL AS VARCHAR))", Kind.TIMESTAMP)
            case Kind.TEXT | Kind.STRING | Kind.JSON:
                return Typed(f"s3_parse_timestamp({self._string(value)})", Kind.TIMESTAMP)
        raise errors.InvalidCast

    def _moment(self, value: Typed) -> str:
        if value.kind in NUMERIC or value.kind is Kind.BOOL:
            raise errors.InvalidDataType("A timestamp can only be compared with a timestamp.")
        return f"({self._timestamp(value).sql}).t"

    def _case(self, case: Case) -> Typed:
        if case.subject is None:
            return self._branches([self._condition(one) for one, _ in case.branches], case)
        subject = self._typed(case.subject)
        name = subject.sql if subject.is_leaf else self._name()
        named = subject._replace(sql=name, is_leaf=True)
        made = self._branches([self._compare("=", named, self._typed(one)) for one, _ in case.branches], case)
        if subject.is_leaf:
            return made
        return Typed(f"list_transform([{subject.sql}], lambda {name}: {made.sql})[1]", made.kind)

    def _branches(self, conditions: Sequence[str], case: Case) -> Typed:
        values = [self._typed(value) for _, value in case.branches]
        values.append(_NULL if case.otherwise is None else self._typed(case.otherwise))
        kind, sqls = self._unified(values)
        whens = " ".join(f"WHEN {one} THEN {sql}" for one, sql in zip(conditions, sqls, strict=False))
        return Typed(f"CASE {whens} ELSE {sqls[-1]} END", kind)

    def _unified(self, values: Sequence[Typed]) -> tuple[Kind, list[str]]:
        """The kind that all these values have or can be given, and them in it."""
        kinds = {value.kind for value in values} - {Kind.NULL}
        if not kinds:
            return Kind.NULL, [_NULL.sql] * len(values)
        if len(kinds) == 1:
            (kind,) = kinds
        elif kinds <= NUMERIC:
            kind = Kind.DECIMAL if kinds <= {Kind.INT, Kind.DECIMAL} else Kind.NUMBER
        elif kinds <= STRINGS:
            kind = Kind.TEXT
        else:
            kind = Kind.JSON
        return kind, [self._as_kind(value, kind) for value in values]

    def _as_kind(self, value: Typed, kind: Kind) -> str:
        if value.kind is kind or value.kind is Kind.NULL:
            if value.kind is Kind.NULL and kind is Kind.JSON:
                return "CAST('null' AS JSON)" if value.sql == _NULL.sql else "CAST(NULL AS JSON)"
            return value.sql
        if kind is Kind.NUMBER:
            return f"CAST({value.sql} AS DOUBLE)"
        if kind is Kind.JSON:
            return f"CAST({self._json_text(value)} AS JSON)"
        return value.sql

    # Functions.

    def _call(self, call: Call) -> Typed:
        if call.name in ("COALESCE", "NULLIF"):
            return self._choosing(call)
        arguments = [self._typed(argument) for argument in call.arguments]
        match call.name:
            case "UTCNOW":
                return Typed("s3_now()", Kind.TIMESTAMP)
            case "LOWER" | "UPPER":
                return Typed(f"{call.name.lower()}({self._stringlike(arguments[0])})", Kind.STRING)
            case "CHAR_LENGTH":
                return Typed(f"length({self._stringlike(arguments[0])})", Kind.INT)
            case "TRIM":
                return self._trim(arguments, call.word)
            case "SUBSTRING":
                return self._substring(arguments)
            case "EXTRACT":
                return self._extract(call.word, arguments[0])
            case "DATE_ADD":
                return self._date_add(call.word, arguments)
            case "DATE_DIFF":
                return self._date_diff(call.word, arguments)
            case "TO_TIMESTAMP":
                if len(arguments) > 1:
                    raise errors.UnsupportedFunction("TO_TIMESTAMP with a format pattern is not supported.")
                return self._timestamp(arguments[0])
            case "TO_STRING":
                return self._to_string(arguments[0], call.arguments[1])
        raise errors.UnsupportedFunction

    def _stringlike(self, value: Typed) -> str:
        if value.kind in NUMERIC or value.kind in (Kind.BOOL, Kind.TIMESTAMP):
            raise errors.IncorrectSqlFunctionArgumentType
        return self._string(value)

    def _choosing(self, call: Call) -> Typed:
        values = [self._typed(argument) for argument in call.arguments]
        if call.name == "NULLIF":
            equal = self._compare("=", values[0], values[1])
            kind = values[0].kind
            absent = "CAST('null' AS JSON)" if kind is Kind.JSON else "NULL"
            return Typed(f"CASE WHEN {equal} THEN {absent} ELSE {values[0].sql} END", kind)
        kind, sqls = self._unified(values)
        if kind is Kind.JSON:  # JSON's null is passed over too, unless it is the last
            sqls = [f"nullif({sql}, CAST('null' AS JSON))" for sql in sqls]
        return Typed(f"coalesce({', '.join(sqls)})", kind)

    def _trim(self, arguments: Sequence[Typed], side: str) -> Typed:
        function = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
        texts = [self._stringlike(argument) for argument in arguments]
        characters = texts[1] if len(texts) > 1 else "' '"
        return Typed(f"{function}({texts[0]}, {characters})", Kind.STRING)

    def _substring(self, arguments: Sequence[Typed]) -> Typed:
        text = self._stringlike(arguments[0])
        start = self._to_int(arguments[1])
        if len(arguments) == 2:
            return Typed(f"substring({text}, greatest({start}, 1))", Kind.STRING)
        length = self._to_int(arguments[2])
        refused = failure(errors.EvaluatorInvalidArguments, "VARCHAR")
        cut = Typed(length, Kind.INT)
        return Typed(
            self._let(
                cut,
                lambda v: (
                    f"CASE WHEN {v} < 0 THEN {refused} ELSE substring({text}, greatest({start}, 1), {v}) END"
                ),
            ),
            Kind.STRING,
        )

    def _local(self, value: Typed) -> tuple[str, str]:
        """A name's binding around the local time of a timestamp: what to write before and after."""
        return self._timestamp(value).sql, self._name()

    def _extract(self, part: str, value: Typed) -> Typed:
        moment, name = self._local(value)
        if part.startswith("TIMEZONE_"):
            unit = "//" if part == "TIMEZONE_HOUR" else "%"
            body = f"sign({name}.o)::BIGINT * (abs({name}.o) {unit} 60)"
        else:
            body = f"CAST(extract({part.lower()} FROM {name}.t + to_minutes({name}.o)) AS BIGINT)"
        return Typed(f"list_transform([{moment}], lambda {name}: {body})[1]", Kind.INT)

    def _date_add(self, part: str, arguments: Sequence[Typed]) -> Typed:
        quantity = self._to_int(self._number(arguments[0]))
        moment, name = self._local(arguments[1])
        added = (
            f"{name}.t + to_{part.lower()}s(CAST({quantity} AS {'BIGINT' if part in _FINE else 'INTEGER'}))"
        )
        body = (
            f"CASE WHEN {name} IS NULL THEN NULL ELSE "
            f"{{'t': {added}, 'o': {name}.o, 'p': greatest({name}.p, {_PRECISION[part]})}} END"
        )
        return Typed(f"list_transform([{moment}], lambda {name}: {body})[1]", Kind.TIMESTAMP)

    def _date_diff(self, part: str, arguments: Sequence[Typed]) -> Typed:
        first, second = self._moment(arguments[0]), self._moment(arguments[1])
        return Typed(f"date_sub('{part.lower()}', {first}, {second})", Kind.INT)

    def _to_string(self, value: Typed, pattern: Expression) -> Typed:
        if not isinstance(pattern, Literal) or pattern.kind != "string":
            raise errors.EvaluatorInvalidTimestampFormatPattern
        moment, name = self._local(value)
        pieces = [
            literal(piece) if is_text else FORMATS[piece].replace("@", name)
            for is_text, piece in format_pieces(pattern.text)
        ]
        body = " || ".join(pieces) or "''"
        return Typed(f"list_transform([{moment}], lambda {name}: {body})[1]", Kind.STRING)

    # Aggregates.

    def _aggregate(self, aggregate: Aggregate) -> Typed:
        if not self._allows_aggregates:
            raise errors.UnsupportedSqlStructure("Aggregate functions can only stand in the SELECT list.")
        if self._in_aggregate:
            raise errors.UnsupportedSqlStructure("Aggregate functions cannot be nested.")
        self._in_aggregate = True
        try:
            return self._gathered(aggregate)
        finally:
            self._in_aggregate = False

    def _gathered(self, aggregate: Aggregate) -> Typed:
        if aggregate.argument is None:
            return Typed(f"CAST(coalesce(sum({self._partial('count(*)')}), 0) AS BIGINT)", Kind.INT)
        value = self._typed(aggregate.argument)
        if aggregate.name == "COUNT":
            counted = value.sql
            if value.kind is Kind.JSON:
                counted = self._let(value, lambda v: f"nullif(json_type({v}), 'NULL')")
            return Typed(f"CAST(coalesce(sum({self._partial(f'count({counted})')}), 0) AS BIGINT)", Kind.INT)
        if aggregate.name in ("MIN", "MAX") and value.kind is Kind.TIMESTAMP:
            function = aggregate.name.lower()
            return Typed(f"{function}({self._partial(f'{function}({value.sql})')})", Kind.TIMESTAMP)
        number = self._number(value)
        match aggregate.name:
            case "AVG":
                total = self._partial(f"sum(CAST({number.sql} AS DOUBLE))")
                count = self._partial(f"count({number.sql})")
                return Typed(f"(sum({total}) / nullif(sum({count}), 0))", Kind.NUMBER)
            case "SUM":
                total = f"sum({self._partial(f'sum({number.sql})')})"
                return Typed(f"CAST({total} AS BIGINT)" if number.kind is Kind.INT else total, number.kind)
        function = aggregate.name.lower()
        return Typed(f"{function}({self._partial(f'{function}({number.sql})')})", number.kind)

    def _partial(self, sql: str) -> str:
        name = f"p{len(self._partials)}"
        self._partials.append(f"{checked(sql)} AS {name}")
        return name


_NULL: Final = Typed("NULL", Kind.NULL)
_MISSING: Final = Typed("(NULL)", Kind.NULL)
_FINE: Final = frozenset({"HOUR", "MINUTE", "SECOND"})
_PRECISION: Final = {"YEAR": 1, "MONTH": 2, "DAY": 3, "HOUR": 4, "MINUTE": 4, "SECOND": 5}


def _literal(value: Literal) -> Typed:
    match value.kind:
        case "int":
            return Typed(f"CAST({value.text} AS BIGINT)", Kind.INT, is_leaf=True)
        case "decimal":
            return Typed(f"({value.text})", Kind.DECIMAL, is_leaf=True)
        case "float":
            return Typed(f"CAST({literal(value.text)} AS DOUBLE)", Kind.DOUBLE, is_leaf=True)
        case "string":
            return Typed(literal(value.text), Kind.STRING, is_leaf=len(value.text) < 100)
        case "bool":
            return Typed(value.text, Kind.BOOL, is_leaf=True)
        case "timestamp":
            return Typed(f"s3_parse_timestamp({literal(value.text)})", Kind.TIMESTAMP)
        case "null":
            return _NULL
        case "missing":
            return _MISSING


def _row_name(query: Query) -> str:
    """What the query calls a row."""
    if query.alias is not None:
        return query.alias
    if not query.steps:
        return "S3Object"
    last = query.steps[-1]
    return last.name if isinstance(last, Key) else "_1"


def _matches(key: Key, name: str) -> bool:
    return key.name == name if key.is_quoted else key.name.lower() == name.lower()


def _position(key: Step) -> int | None:
    """The number in `_3`."""
    found = re.fullmatch(r"_(\d{1,6})", key.name) if isinstance(key, Key) else None
    return int(found.group(1)) if found else None


def _implied_name(expression: Expression) -> str | None:
    """What a column is called that was given no name: as the path that it is ends."""
    if not isinstance(expression, Path):
        return None
    last = expression.steps[-1] if expression.steps else expression.root
    return last.name if isinstance(last, Key) else None


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _operands(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside one."""
    match expression:
        case Literal() | Path():
            return ()
        case Negation(one) | Not(one) | Is(one, _) | Cast(one, _, _):
            return (one,)
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return left, right
        case Connective(_, operands):
            return operands
        case In(operand, items):
            return operand, *items
        case Between(operand, low, high):
            return operand, low, high
        case Like(operand, pattern, escape):
            return (operand, pattern) if escape is None else (operand, pattern, escape)
        case Call(_, arguments, _):
            return arguments
        case Aggregate(_, argument):
            return () if argument is None else (argument,)
        case Case(subject, branches, otherwise):
            inside = [one for branch in branches for one in branch]
            return tuple(one for one in (subject, *inside, otherwise) if one is not None)


def _has_aggregate(expression: Expression) -> bool:
    return isinstance(expression, Aggregate) or any(map(_has_aggregate, _operands(expression)))


def _is_of_aggregates(expression: Expression) -> bool:
    """Whether its value is one for all rows."""
    match expression:
        case Aggregate() | Literal():
            return True
        case Path():
            return False
    return all(map(_is_of_aggregates, _operands(expression)))
