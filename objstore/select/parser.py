"""S3 Select's SQL: tokens to nodes, by recursive descent with bounds on depth and size."""

import re
from typing import Final, NoReturn

from objstore.s3 import errors
from objstore.s3.errors import S3Error
from objstore.select.lexer import Token, tokens, where
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
    Projection,
    Query,
    Step,
)

DEPTH_MAX: Final = 50
"""Operators and brackets within each other."""
OPERATORS_MAX: Final = 2000
"""Operators, functions and columns of one expression."""
CHAIN_MAX: Final = 200
"""Operators of one precedence in a row."""
INDEX_MAX: Final = 2**31 - 1
LIMIT_MAX: Final = 2**63 - 1

AGGREGATES: Final = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM"})
DATE_PARTS: Final = frozenset({"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"})
EXTRACTED_PARTS: Final = DATE_PARTS | {"TIMEZONE_HOUR", "TIMEZONE_MINUTE"}
COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
FUNCTIONS: Final = {
    "CHAR_LENGTH": (1, 1),
    "CHARACTER_LENGTH": (1, 1),
    "COALESCE": (1, 100),
    "LOWER": (1, 1),
    "NULLIF": (2, 2),
    "TO_STRING": (2, 2),
    "TO_TIMESTAMP": (1, 2),
    "UPPER": (1, 1),
    "UTCNOW": (0, 0),
}
"""Functions called in the ordinary way, with the least and most arguments each takes."""
TYPES: Final = {
    "BOOL": "BOOL",
    "BOOLEAN": "BOOL",
    "INT": "INT",
    "INTEGER": "INT",
    "SMALLINT": "INT",
    "FLOAT": "FLOAT",
    "REAL": "FLOAT",
    "DOUBLE": "FLOAT",
    "DECIMAL": "DECIMAL",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
    "STRING": "STRING",
    "VARCHAR": "STRING",
    "CHAR": "STRING",
    "CHARACTER": "STRING",
    "TIMESTAMP": "TIMESTAMP",
}
_TIMESTAMP: Final = re.compile(
    r"\d{4}(?:T|-\d\d(?:T|-\d\d(?:T(?:\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?)?))"
)
_REFUSED_CLAUSES: Final = {
    "GROUP": errors.ParseExpectedIdentForGroupName,
    "JOIN": errors.ParseMalformedJoin,
    "INNER": errors.ParseMalformedJoin,
    "LEFT": errors.ParseMalformedJoin,
    "RIGHT": errors.ParseMalformedJoin,
    "FULL": errors.ParseMalformedJoin,
    "CROSS": errors.ParseMalformedJoin,
    "NATURAL": errors.ParseMalformedJoin,
    "ORDER": errors.UnsupportedSqlStructure,
    "HAVING": errors.UnsupportedSqlStructure,
    "UNION": errors.UnsupportedSqlStructure,
    "INTERSECT": errors.UnsupportedSqlStructure,
    "EXCEPT": errors.UnsupportedSqlStructure,
}
"""SQL that S3 Select knows of and does not have."""


def parse(expression: str) -> Query:
    """The query an expression says.

    Raises the S3 error of what is wrong with it: LexerInvalidChar, ParseUnexpectedToken and their like,
    UnsupportedSqlStructure, ExpressionTooLong, MaxOperatorsExceeded.
    """
    return _Parser(tokens(expression)).query()


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._depth = 0
        self._operators = 0

    # Tokens.

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        if token.kind != "end":
            self._next += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._token.kind in ("word", "operator") and self._token.text in texts

    def _accept(self, *texts: str) -> bool:
        if not self._is(*texts):
            return False
        self._next += 1
        return True

    def _expect(self, text: str, error: type[S3Error] = errors.ParseExpectedTokenType) -> None:
        if not self._accept(text):
            self._refuse(error, f"Expected {text}")

    def _refuse(self, error: type[S3Error], what: str | None = None) -> NoReturn:
        token = self._token
        found = "the end of the expression" if token.kind == "end" else f"'{token.written[:64]}'"
        raise error(f"{what or error.default_message.rstrip('.')}: found {found} at {where(token.position)}.")

    def _count(self) -> None:
        self._operators += 1
        if self._operators > OPERATORS_MAX:
            raise errors.MaxOperatorsExceeded

    # The query.

    def query(self) -> Query:
        if not self._accept("SELECT"):
            self._refuse(errors.ParseUnsupportedSelect, "Expected SELECT")
        projections = self._projections()
        self._expect("FROM", errors.ParseSelectMissingFrom)
        steps, alias = self._source()
        if self._is(","):
            self._refuse(errors.MultipleDataSourcesUnsupported)
        condition = self._expression() if self._accept("WHERE") else None
        limit = self._limit() if self._accept("LIMIT") else None
        if self._token.kind != "end":
            if self._token.kind == "word" and self._token.text in _REFUSED_CLAUSES:
                self._refuse(_REFUSED_CLAUSES[self._token.text])
            self._refuse(errors.ParseUnexpectedToken, "Unexpected token")
        return Query(projections, steps, alias, condition, limit)

    def _projections(self) -> tuple[Projection, ...]:
        if self._is("FROM"):
            self._refuse(errors.ParseEmptySelect)
        if self._accept("*"):
            if self._is(","):
                self._refuse(errors.ParseAsteriskIsNotAloneInSelectList)
            return ()
        if self._is("DISTINCT", "ALL"):
            self._refuse(errors.UnsupportedSqlStructure, "DISTINCT and ALL are not supported")
        found: list[Projection] = []
        while True:
            if self._is("*"):
                self._refuse(errors.ParseAsteriskIsNotAloneInSelectList)
            expression = self._expression()
            if isinstance(expression, Path) and EveryKey() in expression.steps:
                if found or expression.steps != (EveryKey(),) or self._is(",", "AS"):
                    self._refuse(errors.ParseInvalidContextForWildcardInSelectList)
                return ()
            found.append(Projection(expression, self._alias()))
            if not self._accept(","):
                return tuple(found)

    def _alias(self) -> str | None:
        if self._accept("AS"):
            if self._token.kind == "quoted" or (self._token.kind == "word" and not self._token.is_reserved):
                return _name(self._take())
            self._refuse(errors.ParseExpectedIdentForAlias)
        if self._token.kind == "quoted" or (self._token.kind == "word" and not self._token.is_reserved):
            return _name(self._take())
        return None

    def _source(self) -> tuple[tuple[Step, ...], str | None]:
        token = self._token
        if token.kind not in ("word", "quoted"):
            error = errors.UnsupportedSqlStructure if self._is("(") else errors.ParseUnexpectedToken
            self._refuse(error, "Expected S3Object after FROM")
        if token.text.upper() != "S3OBJECT":
            self._refuse(errors.EvaluatorBindingDoesNotExist, "There is no table but S3Object")
        self._take()
        if self._is("("):
            self._refuse(errors.UnsupportedSqlStructure, "S3Object is no function")
        steps = self._steps()
        if steps and steps[0] != EveryIndex():
            self._refuse(errors.ParseInvalidPathComponent, "A path begins with S3Object[*]")
        return steps[1:], self._alias()

    def _limit(self) -> int:
        if self._accept("-"):
            raise errors.EvaluatorNegativeLimit
        token = self._take()
        if token.kind != "number" or not token.text.isdigit():
            self._next -= token.kind != "end"
            self._refuse(errors.ParseExpectedNumber)
        return min(int(token.text[:20]), LIMIT_MAX)

    # Expressions, the loosest operator first.

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise errors.MaxOperatorsExceeded
        found = self._connective("OR")
        self._depth -= 1
        return found

    def _connective(self, operator: str) -> Expression:
        operands = []
        while True:
            operands.append(self._connective("AND") if operator == "OR" else self._negated())
            if not self._accept(operator):
                break
            self._count()
        if len(operands) == 1:
            return operands[0]
        return Connective("OR" if operator == "OR" else "AND", tuple(operands))

    def _negated(self) -> Expression:
        negations = 0
        while self._accept("NOT"):
            self._count()
            negations += 1
        found = self._compared()
        return Not(found) if negations % 2 else found

    def _compared(self) -> Expression:
        found = self._tested()
        if self._token.kind == "operator" and self._token.text in COMPARISONS:
            self._count()
            operator = self._take().text
            found = Comparison(operator, found, self._tested())  # type: ignore[arg-type]  # one of COMPARISONS
            if self._token.kind == "operator" and self._token.text in COMPARISONS:
                self._refuse(errors.ParseUnexpectedOperator)
        return found

    def _tested(self) -> Expression:
        found = self._sum()
        for _ in range(CHAIN_MAX):
            if self._accept("IS"):
                is_not = self._accept("NOT")
                if not self._is("NULL", "MISSING"):
                    self._refuse(errors.ParseUnexpectedToken, "Expected NULL or MISSING")
                test: Expression = Is(found, "NULL" if self._take().text == "NULL" else "MISSING")
            else:
                is_not = self._is("NOT")
                if is_not:
                    self._take()
                if self._accept("IN"):
                    test = In(found, self._items())
                elif self._accept("BETWEEN"):
                    low = self._sum()
                    self._expect("AND", errors.ParseExpectedKeyword)
                    high = self._sum()
                    test = Between(found, low, high)
                elif self._accept("LIKE"):
                    pattern = self._sum()
                    test = Like(found, pattern, self._sum() if self._accept("ESCAPE") else None)
                elif is_not:
                    self._refuse(errors.ParseUnexpectedToken, "Expected IN, BETWEEN or LIKE")
                else:
                    return found
            self._count()
            found = Not(test) if is_not else test
        raise errors.MaxOperatorsExceeded

    def _items(self) -> tuple[Expression, ...]:
        self._expect("(", errors.ParseExpectedLeftParenValueConstructor)
        if self._is("SELECT"):
            self._refuse(errors.UnsupportedSqlStructure, "Subqueries are not supported")
        return self._arguments()

    def _arguments(self) -> tuple[Expression, ...]:
        """The rest of a list in parentheses."""
        found = [self._expression()]
        while not self._accept(")"):
            if not self._accept(","):
                self._refuse(errors.ParseExpectedArgumentDelimiter)
            found.append(self._expression())
            self._count()
        return tuple(found)

    def _sum(self) -> Expression:
        found = self._product()
        for _ in range(CHAIN_MAX):
            if not self._is("+", "-", "||"):
                return found
            self._count()
            operator = self._take().text
            found = Arithmetic(operator, found, self._product())  # type: ignore[arg-type]  # one of the three
        raise errors.MaxOperatorsExceeded

    def _product(self) -> Expression:
        found = self._signed()
        for _ in range(CHAIN_MAX):
            if not self._is("*", "/", "%"):
                return found
            self._count()
            operator = self._take().text
            found = Arithmetic(operator, found, self._signed())  # type: ignore[arg-type]  # one of the three
        raise errors.MaxOperatorsExceeded

    def _signed(self) -> Expression:
        is_negative = False
        while self._is("-", "+"):
            self._count()
            is_negative ^= self._take().text == "-"
        found = self._value()
        if not is_negative:
            return found
        if isinstance(found, Literal) and found.kind in ("int", "decimal", "float"):
            return Literal(found.kind, f"-{found.text}")
        return Negation(found)

    def _value(self) -> Expression:
        self._count()
        token = self._token
        match token.kind:
            case "number":
                return _number(self._take())
            case "string":
                return Literal("string", self._take().text)
            case "ion":
                return _ion(self._take())
            case "quoted":
                return self._path()
            case "word":
                return self._word()
            case "operator" if token.text == "(":
                self._take()
                if self._is("SELECT"):
                    self._refuse(errors.UnsupportedSqlStructure, "Subqueries are not supported")
                found = self._expression()
                self._expect(")")
                return found
            case "end":
                self._refuse(errors.ParseExpectedExpression)
            case _:
                self._refuse(errors.ParseUnexpectedToken, "Unexpected token")

    def _word(self) -> Expression:
        word = self._token.text
        match word:
            case "TRUE" | "FALSE":
                self._take()
                return Literal("bool", word)
            case "NULL" | "MISSING":
                self._take()
                return Literal("null" if word == "NULL" else "missing")
            case "CAST":
                return self._cast()
            case "CASE":
                return self._case()
            case "EXTRACT":
                return self._extract()
            case "DATE_ADD" | "DATE_DIFF" if self._is_call():
                return self._dated()
            case "SUBSTRING":
                return self._substring()
            case "TRIM":
                return self._trim()
        if word in AGGREGATES:
            return self._aggregate()
        if word in FUNCTIONS and (self._is_call() or self._token.is_reserved):
            return self._function()
        if self._is_call():
            self._refuse(errors.UnsupportedFunction)
        if self._token.is_reserved:
            self._refuse(errors.ParseUnExpectedKeyword, "Unexpected keyword")
        return self._path()

    def _is_call(self) -> bool:
        following = self._tokens[self._next + 1]
        return following.kind == "operator" and following.text == "("

    def _open(self) -> None:
        self._take()
        self._expect("(", errors.ParseExpectedLeftParenBuiltinFunctionCall)

    def _close(self) -> None:
        self._expect(")", errors.ParseExpectedRightParenBuiltinFunctionCall)

    def _path(self) -> Path:
        position = self._token.position
        root = _key(self._take())
        return Path(root, self._steps(), position)

    def _steps(self) -> tuple[Step, ...]:
        found: list[Step] = []
        while len(found) < DEPTH_MAX:
            if self._accept("."):
                if self._accept("*"):
                    found.append(EveryKey())
                elif self._token.kind == "quoted" or (
                    self._token.kind == "word" and not self._token.is_reserved
                ):
                    found.append(_key(self._take()))
                elif self._token.kind == "word":
                    self._refuse(errors.ParseUnExpectedKeyword, "Unexpected keyword")
                else:
                    self._refuse(errors.ParseInvalidPathComponent)
            elif self._accept("["):
                found.append(self._bracketed())
                self._expect("]", errors.ParseInvalidPathComponent)
            else:
                return tuple(found)
        raise errors.MaxOperatorsExceeded

    def _bracketed(self) -> Step:
        if self._accept("*"):
            return EveryIndex()
        token = self._take()
        if token.kind == "string":
            return Key(token.text, is_quoted=True)
        if token.kind == "number" and token.text.isdigit() and len(token.text) <= 10:
            return Index(min(int(token.text), INDEX_MAX))
        self._next -= token.kind != "end"
        self._refuse(errors.ParseInvalidPathComponent)

    # What has a grammar of its own.

    def _aggregate(self) -> Aggregate:
        name = self._token.text
        self._open()
        if self._accept("*"):
            if name != "COUNT":
                self._refuse(errors.ParseUnsupportedCallWithStar)
            self._close()
            return Aggregate("COUNT", None)
        if self._is("DISTINCT", "ALL"):
            self._refuse(errors.UnsupportedSyntax, "DISTINCT is not supported")
        argument = self._expression()
        if self._is(","):
            self._refuse(errors.ParseNonUnaryAgregateFunctionCall)
        self._close()
        return Aggregate(name, argument)  # type: ignore[arg-type]  # one of AGGREGATES

    def _function(self) -> Call:
        name = self._token.text
        self._open()
        arguments = () if self._accept(")") else self._arguments()
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            raise errors.EvaluatorInvalidArguments(
                f"{errors.EvaluatorInvalidArguments.default_message} {name} takes {least} to {most}."
            )
        return Call("CHAR_LENGTH" if name == "CHARACTER_LENGTH" else name, arguments)

    def _cast(self) -> Cast:
        self._take()
        self._expect("(", errors.ParseExpectedLeftParenAfterCast)
        operand = self._expression()
        if self._is(","):
            self._refuse(errors.ParseCastArity)
        self._expect("AS", errors.ParseExpectedKeyword)
        token = self._take()
        type_ = TYPES.get(token.text) if token.kind == "word" else None
        if type_ is None:
            self._next -= token.kind != "end"
            self._refuse(errors.ParseExpectedTypeName)
        if token.text == "DOUBLE":
            self._accept("PRECISION")
        parameters: list[int] = []
        if self._accept("("):
            while True:
                token = self._take()
                if token.kind != "number" or not token.text.isdigit() or len(token.text) > 10:
                    self._next -= token.kind != "end"
                    self._refuse(errors.ParseInvalidTypeParam)
                parameters.append(int(token.text))
                if not self._accept(","):
                    break
            self._expect(")")
        if parameters and type_ not in ("DECIMAL", "STRING"):
            raise errors.ParseInvalidTypeParam
        if type_ == "DECIMAL" and parameters:
            precision, scale = parameters[0], parameters[1] if len(parameters) > 1 else 0
            if len(parameters) > 2 or not 1 <= precision <= 38 or scale > precision:
                raise errors.ParseInvalidTypeParam
            parameters = [precision, scale]
        self._close()
        return Cast(operand, type_, tuple(parameters) if type_ == "DECIMAL" else ())

    def _case(self) -> Case:
        self._take()
        subject = None if self._is("WHEN") else self._expression()
        branches = []
        if not self._is("WHEN"):
            self._refuse(errors.ParseExpectedWhenClause)
        while self._accept("WHEN"):
            condition = self._expression()
            self._expect("THEN", errors.ParseExpectedKeyword)
            branches.append((condition, self._expression()))
            self._count()
        otherwise = self._expression() if self._accept("ELSE") else None
        self._expect("END", errors.ParseExpectedKeyword)
        return Case(subject, tuple(branches), otherwise)

    def _date_part(self, parts: frozenset[str]) -> str:
        token = self._take()
        if token.kind != "word" or token.text not in parts:
            self._next -= token.kind != "end"
            self._refuse(errors.ParseExpectedDatePart)
        return token.text

    def _extract(self) -> Call:
        self._open()
        part = self._date_part(EXTRACTED_PARTS)
        self._expect("FROM", errors.ParseExpectedKeyword)
        operand = self._expression()
        self._close()
        return Call("EXTRACT", (operand,), part)

    def _dated(self) -> Call:
        name = self._token.text
        self._open()
        part = self._date_part(DATE_PARTS)
        if not self._accept(","):
            self._refuse(errors.ParseExpectedArgumentDelimiter)
        arguments = self._arguments()
        if len(arguments) != 2:
            raise errors.EvaluatorInvalidArguments
        return Call(name, arguments, part)

    def _substring(self) -> Call:
        self._open()
        arguments = [self._expression()]
        if self._accept("FROM"):
            arguments.append(self._expression())
            if self._accept("FOR"):
                arguments.append(self._expression())
            self._close()
        elif self._accept(","):
            arguments += self._arguments()
        else:
            self._refuse(errors.ParseExpectedArgumentDelimiter)
        if len(arguments) > 3:
            raise errors.EvaluatorInvalidArguments
        return Call("SUBSTRING", tuple(arguments))

    def _trim(self) -> Call:
        self._open()
        side = self._take().text if self._is("LEADING", "TRAILING", "BOTH") else ""
        if side and self._accept("FROM"):
            arguments = (self._expression(),)
        else:
            first = self._expression()
            if self._accept("FROM"):
                arguments = (self._expression(), first)  # type: ignore[assignment]  # one more
            elif side:
                self._refuse(errors.ParseExpectedKeyword, "Expected FROM")
            else:
                arguments = (first,)
        self._close()
        return Call("TRIM", arguments, side or "BOTH")


def _name(token: Token) -> str:
    return token.text if token.kind == "quoted" else token.written


def _key(token: Token) -> Key:
    return Key(_name(token), is_quoted=token.kind == "quoted")


def _number(token: Token) -> Literal:
    text = token.text
    if text.isdigit():
        text = text.lstrip("0") or "0"
        if len(text) > 19 or int(text) >= 2**63:
            raise errors.IntegerOverflow
        return Literal("int", str(int(text)))
    if "e" in text.lower():
        return Literal("float", text)
    if len(text) > 38:
        raise errors.NumberFormatError
    return Literal(
        "decimal", f"0{text}" if text.startswith(".") else f"{text}0" if text.endswith(".") else text
    )


def _ion(token: Token) -> Literal:
    """Of Ion's literals S3 Select's documentation has timestamps."""
    if _TIMESTAMP.fullmatch(token.text):
        return Literal("timestamp", token.text)
    raise errors.LexerInvalidIONLiteral(
        f"{errors.LexerInvalidIONLiteral.default_message} At {where(token.position)}."
    )
