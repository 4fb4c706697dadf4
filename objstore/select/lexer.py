"""S3 Select's text as tokens."""

import re
from dataclasses import dataclass
from typing import Final
from typing import Literal as OneOf

from objstore.s3 import errors
from objstore.select.syntax import Position

EXPRESSION_BYTES_MAX: Final = 256 * 1024

RESERVED: Final = frozenset(
    """
    absolute action add all allocate alter and any are as asc assertion at authorization avg bag begin
    between bit bit_length blob bool boolean both by cascade cascaded case cast catalog char char_length
    character character_length check clob close coalesce collate collation column commit connect
    connection constraint constraints continue convert corresponding count create cross current
    current_date current_time current_timestamp current_user cursor date day deallocate dec decimal
    declare default deferrable deferred delete desc describe descriptor diagnostics disconnect distinct
    domain double drop else end end-exec escape except exception exec execute exists external extract
    false fetch first float for foreign found from full get global go goto grant group having hour
    identity immediate in indicator initially inner input insensitive insert int integer intersect
    interval into is isolation join key language last leading left level like limit list local lower match
    max min minute missing module month names national natural nchar next no not null nullif numeric
    octet_length of on only open option or order outer output overlaps pad partial pivot position
    precision prepare preserve primary prior privileges procedure public read real references relative
    restrict revoke right rollback rows schema scroll second section select session session_user set sexp
    size smallint some space sql sqlcode sqlerror sqlstate string struct substring sum symbol system_user
    table temporary then time timestamp timezone_hour timezone_minute to trailing transaction translate
    translation trim true tuple union unique unknown unpivot update upper usage user using value values
    varchar varying view when whenever where with work write year zone
    """.upper().split()
)
"""Words that name nothing unless they stand in double quotes."""

_TOKEN: Final = re.compile(
    r"""
      (?P<space> [ \t\r\n\f]+ | --[^\n]* | /\*(?s:.*?)\*/ )
    | (?P<number> (?: \d+ (?:\.\d*)? | \.\d+ ) (?: [eE][+-]?\d+ )? )
    | (?P<word> [A-Za-z_][A-Za-z0-9_$]* )
    | (?P<quoted> "(?:[^"]|"")*" )
    | (?P<string> '(?:[^']|'')*' )
    | (?P<ion> `[^`]*` )
    | (?P<operator> <> | != | <= | >= | \|\| | [-+*/%=<>(),.\[\]] )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`text`: words and operators in upper case as keywords are compared, all else as its value.

    `written` is what stands in the expression.
    """

    kind: OneOf["number", "word", "quoted", "string", "ion", "operator", "end"]
    text: str
    written: str
    position: Position

    @property
    def is_reserved(self) -> bool:
        """A word that names nothing."""
        return self.kind == "word" and self.text in RESERVED


def tokens(expression: str) -> list[Token]:
    """The tokens of an expression, an `end` last.

    Raises ExpressionTooLong, LexerInvalidChar, LexerInvalidLiteral.
    """
    if len(expression.encode()) > EXPRESSION_BYTES_MAX:
        raise errors.ExpressionTooLong
    found: list[Token] = []
    offset, line, line_began = 0, 1, 0
    while offset < len(expression):
        match = _TOKEN.match(expression, offset)
        position = line, offset - line_began + 1
        if match is None:
            if expression[offset] in "\"'`":
                raise errors.LexerInvalidLiteral(f"Unterminated literal at {where(position)}.")
            raise errors.LexerInvalidChar(f"Invalid character at {where(position)}.")
        written = match.group()
        match match.lastgroup:
            case "word":
                found.append(Token("word", written.upper(), written, position))
            case "quoted":
                found.append(Token("quoted", written[1:-1].replace('""', '"'), written, position))
            case "string":
                found.append(Token("string", written[1:-1].replace("''", "'"), written, position))
            case "ion":
                found.append(Token("ion", written[1:-1], written, position))
            case "number":
                found.append(Token("number", written, written, position))
            case "operator":
                text = "<>" if written == "!=" else written
                found.append(Token("operator", text, written, position))
        breaks = written.count("\n")
        if breaks:
            line += breaks
            line_began = offset + written.rindex("\n") + 1
        offset = match.end()
    found.append(Token("end", "", "the end", (line, offset - line_began + 1)))
    return found


def where(position: Position) -> str:
    """`line 1, column 8`."""
    return f"line {position[0]}, column {position[1]}"
