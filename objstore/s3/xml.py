"""The XML codec: a frozen dataclass is the schema, and both reads and writes its document.

    @document("Tagging")
    class Tagging:
        tags: tuple[Tag, ...] = element("Tag", wrap="TagSet")

A field's element name is its own name in CamelCase unless `element` says otherwise. Annotations decide
the rest: `str`, `int`, `bool`, `Literal` (only these values), `Instant`, `Moment`, `ETag`, another document,
a tuple of them (repeated elements; of a union of documents: each under its own class's element name),
`| None`. A field without a default is required: its element must occur, a repeated one at least once, and
of a wrapped one the wrapper.

Invariants kept here, so that handlers need not think of them:
- Untrusted bytes: over-long ones, any DOCTYPE and any encoding but UTF-8 are refused before parsing.
- What does not fit the schema is MalformedXML: wrong root or namespace, an element unknown, missing or
  repeated, junk in a number. An element we do not know might change the meaning of those we do (one
  more condition in a lifecycle filter), so it is never skipped.
- What is written reads back the same: carriage return and control characters go out as character
  references, because XML parsers turn a literal CR into LF.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from time import gmtime, strftime
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from lxml import etree

from objstore.s3.errors import MalformedXML

T = TypeVar("T")

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
ACCEPTED_NAMESPACES: Final = frozenset(
    {
        "",
        NAMESPACE,
        NAMESPACE.rstrip("/"),
        "http://doc.s3.amazonaws.com/2006-03-01",
        "http://awss3control.amazonaws.com/doc/2018-08-20/",
    }
)
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""The longest document read unless its class says otherwise."""

Instant = Annotated[int, "instant"]
"""Milliseconds since the epoch here, `2006-02-03T16:45:09.000Z` in the document.

Other ISO 8601 forms and RFC 1123 dates are read too: SDKs write a few elements that way."""

Moment = Annotated[int, "moment"]
"""As Instant, but told in whole seconds: when something was made. S3 knows of no fractions there, and whoever
compares a listing with a Last-Modified header finds the same time."""

ETag = Annotated[str, "etag"]
"""Bare here, in double quotes in the document; both are read."""


def element(
    name: str | None = None, *, default: Any = MISSING, wrap: str | None = None, attribute: bool = False
) -> Any:
    """A field whose element is called `name`; `wrap` names one element around all repetitions.

    With `attribute` it is an attribute (`xsi:type`) of the element its class is written as.
    """
    return field(default=default, metadata={"name": name, "wrap": wrap, "attribute": attribute})


def content(*, default: Any = MISSING) -> Any:
    """A field that is the text of the element its class is written as."""
    return field(default=default, metadata={"content": True})


@overload
def document(root: type[T], /) -> type[T]: ...
@overload
def document(
    root: str | None = None, *, namespace: str = NAMESPACE, limit: int = MAX_DOCUMENT_BYTES
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(element, content))
def document(
    root: type[Any] | str | None = None, *, namespace: str = NAMESPACE, limit: int = MAX_DOCUMENT_BYTES
) -> Any:
    """Make a class a document: a frozen dataclass with keyword fields, written in their order.

    `root` is its element's name where that is not the class's own; `limit` bounds what `parse` reads.
    """
    if isinstance(root, type):
        return document()(root)

    def decorate(cls: type[Any]) -> type[Any]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.__document__ = _Document(root or cls.__name__, namespace, limit)
        return made

    return decorate


class _Document(NamedTuple):
    root: str
    namespace: str
    limit: int


def limit_of(cls: type[Any]) -> int:
    """How many bytes a document of this class may have; `bytes`: one that is not XML."""
    return MAX_DOCUMENT_BYTES if cls is bytes else _document_of(cls).limit


def _document_of(cls: type[Any]) -> _Document:
    made: _Document = cls.__document__
    return made


# --- the plan of a class: its annotations, worked out once ------------------------------------------


Put = Callable[[str], None]
"""Takes the next piece of a document that is written."""


class _Scalar(NamedTuple):
    """How one kind of text is read (ValueError: MalformedXML) and written (escaped)."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


class _Field(NamedTuple):
    attribute: str
    """The dataclass field's name."""
    name: str
    """The element's (or XML attribute's) name; unused for a union of documents."""
    scalar: _Scalar | None
    classes: dict[str, type[Any]]
    """Element name → document class, when it is not a scalar."""
    optional: bool
    """May be None: then nothing is written."""
    repeated: bool
    required: bool
    wrap: str | None
    open: str
    close: str


class _Plan(NamedTuple):
    elements: tuple[_Field, ...]
    write: "Callable[[Any, Put], None]"
    """Writes the child elements of a value of the class."""
    attributes: tuple[_Field, ...]
    content: _Field | None
    by_name: dict[str, _Field]


_plans: dict[type[Any], _Plan] = {}


def _plan(cls: type[Any]) -> _Plan:
    if (plan := _plans.get(cls)) is None:
        plan = _plans[cls] = _make_plan(cls)
    return plan


def _make_plan(cls: type[Any]) -> _Plan:
    hints = get_type_hints(cls, include_extras=True)
    elements, attributes, text, by_name = [], [], None, {}
    for declared in fields(cls):
        is_content = declared.metadata.get("content", False)
        name = declared.metadata.get("name") or _camel_case(declared.name)
        hint, repeated = _without_none(hints[declared.name]), False
        if get_origin(hint) is tuple:
            hint, repeated = get_args(hint)[0], True
        classes = _classes(hint, name)
        planned = _Field(
            attribute=declared.name,
            name=name,
            scalar=None if classes else _scalar(hint),
            classes=classes,
            optional=_without_none(hints[declared.name]) is not hints[declared.name],
            repeated=repeated,
            required=declared.default is MISSING,
            wrap=declared.metadata.get("wrap"),
            open=f"<{name}>",
            close=f"</{name}>",
        )
        if is_content:
            text = planned
        elif declared.metadata.get("attribute"):
            attributes.append(planned)
        else:
            elements.append(planned)
            for element_name in [planned.wrap] if planned.wrap else classes or [name]:
                by_name[element_name] = planned
    return _Plan(tuple(elements), _writer(elements), tuple(attributes), text, by_name)


def _camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        options = tuple(option for option in get_args(hint) if option is not NoneType)
        return options[0] if len(options) == 1 else Union[options]  # noqa: UP007  (built from values)
    return hint


def _classes(hint: Any, name: str) -> dict[str, type[Any]]:
    if hasattr(hint, "__document__"):
        return {name: hint}
    if get_origin(hint) in (Union, UnionType):
        return {_document_of(option).root: option for option in get_args(hint)}
    return {}


def _scalar(hint: Any) -> _Scalar:
    if get_origin(hint) is Literal:
        return _Scalar(partial(_read_literal, frozenset(get_args(hint))), escape)
    return _SCALARS[hint]


# --- scalars ----------------------------------------------------------------------------------------

_SPECIAL: Final = re.compile('[&<>"\x00-\x08\x0a-\x1f\ufffe\uffff]')
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """`text` as element content or attribute value, such that a parser gives it back unchanged.

    Control characters become character references, as S3 writes them. XML 1.0 forbids even those: we read
    them all the same, and clients that list such keys ask for encoding-type=url.
    """
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    character = match[0]
    return _NAMED.get(character) or f"&#{ord(character)};"


def _read_literal(allowed: frozenset[str], text: str) -> str:
    if (value := text.strip()) not in allowed:
        raise ValueError(value)
    return value


def _read_integer(text: str) -> int:
    if _INTEGER.fullmatch(digits := text.strip()) is None:
        raise ValueError(text)
    return int(digits)


def _read_bool(text: str) -> bool:
    return {"true": True, "false": False, "1": True, "0": False}[text.strip().lower()]


def _read_instant(text: str) -> int:
    text = text.strip()
    is_iso = text[4:5] == "-"  # `20060203` is no time to S3
    instant = datetime.fromisoformat(text) if is_iso else parsedate_to_datetime(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    try:
        utc = instant.astimezone(UTC)
    except OverflowError:  # not in the years 1 to 9999 once it is UTC, in which it is written
        raise ValueError(text) from None
    return (utc - _EPOCH) // timedelta(milliseconds=1)


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    moment = gmtime(seconds)
    return f"{moment.tm_year:04}{strftime('-%m-%dT%H:%M:%S', moment)}"


def write_instant(ms: int) -> str:
    """Milliseconds since the epoch as S3 writes times in XML, always with milliseconds and Z."""
    seconds, milliseconds = divmod(ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def _write_moment(ms: int) -> str:
    return f"{_second(ms // 1000)}.000Z"


def _write_bool(value: bool) -> str:
    return "true" if value else "false"


def _read_etag(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def _write_etag(etag: str) -> str:
    return f"&quot;{escape(etag)}&quot;"


_SCALARS: Final[dict[Any, _Scalar]] = {
    str: _Scalar(str, escape),
    int: _Scalar(_read_integer, str),
    bool: _Scalar(_read_bool, _write_bool),
    Instant: _Scalar(_read_instant, write_instant),
    Moment: _Scalar(_read_instant, _write_moment),
    ETag: _Scalar(_read_etag, _write_etag),
}


# --- writing ----------------------------------------------------------------------------------------


def dumps(value: Any, *, declaration: bool = True) -> bytes:
    """The document, as UTF-8 with its namespace on the root element.

    About 2 µs for each listed key: call it off the event loop for more than a few hundred.
    `declaration=False` leaves out the `<?xml …?>` line, for answers that have sent it already.
    """
    about = _document_of(type(value))
    out: list[str] = []
    namespace = f' xmlns="{about.namespace}"' if about.namespace else ""
    _write(value, about.root, namespace, out.append)
    return (DECLARATION if declaration else b"") + "".join(out).encode()


def _write(value: Any, name: str, opening: str, put: Put) -> None:
    """Write one document as element `name`; `opening` is what follows the name in its start tag."""
    plan = _plan(type(value))
    for planned in plan.attributes:
        if (given := getattr(value, planned.attribute)) is not None and planned.scalar:
            prefix = f' xmlns:xsi="{XSI}"' if planned.name.startswith("xsi:") else ""
            opening += f'{prefix} {planned.name}="{planned.scalar.write(given)}"'
    put(f"<{name}{opening}>")
    plan.write(value, put)
    if plan.content and plan.content.scalar and (given := getattr(value, plan.content.attribute)):
        put(plan.content.scalar.write(given))
    put(f"</{name}>")


def _writer(elements: Sequence[_Field]) -> Callable[[Any, Put], None]:
    """A function that writes the child elements of a document of one class.

    Its source is put together from the class's plan and compiled once, as `dataclasses` does for
    `__init__`: one formatted string for each run of plain elements, where a loop over the plan costs three
    times as much. Nothing but names of fields and elements, all ours, gets into the source.
    """
    names: dict[str, Any] = {"write_document": _write, "name_of": _name_of}
    lines: list[str] = []
    run: list[str] = []

    def flush() -> None:
        if run:
            lines.append(f' put(f"{"".join(run)}")')
            run.clear()

    for index, planned in enumerate(elements):
        given, item = f"value.{planned.attribute}", f"item_{index}"
        if planned.scalar is not None:
            names[f"text_{index}"] = planned.scalar.write
        else:
            names[f"classes_{index}"] = planned.classes
        if planned.scalar is not None and not planned.optional and not planned.repeated:
            run.append(f"{planned.open}{{text_{index}({given})}}{planned.close}")
            continue
        flush()
        if planned.scalar is not None:
            write = f'put(f"{planned.open}{{text_{index}({item})}}{planned.close}")'
        else:
            write = f'write_document({item}, name_of({item}, classes_{index}), "", put)'
        lines.append(f" {item} = {given}")
        lines.append(f" if {item} is not None:")
        if planned.wrap:
            lines.append(f'  put("<{planned.wrap}>")')
        if planned.repeated:
            lines.append(f"  for {item} in {item}:")
            lines.append(f"   {write}")
        else:
            lines.append(f"  {write}")
        if planned.wrap:
            lines.append(f'  put("</{planned.wrap}>")')
    flush()
    source = "\n".join(["def write(value, put):", *(lines or [" pass"])])
    exec(compile(source, "<xml writer>", "exec"), names)  # noqa: S102
    written: Callable[[Any, Put], None] = names["write"]
    return written


def _name_of(item: Any, classes: dict[str, type[Any]]) -> str:
    if len(classes) == 1:
        return next(iter(classes))
    return _document_of(type(item)).root


# --- reading ----------------------------------------------------------------------------------------

_ENCODING: Final = re.compile(rb"""\A\s*<\?xml\s[^>]*?encoding\s*=\s*["']([^"']*)["']""")


def parse(cls: type[T], data: bytes) -> T:
    """The document in `data`, with or without XML declaration and namespace.

    Raises MalformedXML for everything that is not exactly such a document. Never expands entities,
    reads files or opens connections; time and memory are linear in `len(data)`.
    """
    about = _document_of(cls)
    if len(data) > about.limit:
        raise MalformedXML
    data, hidden = _hide_controls(data)
    root = _tree(data)
    if _local_name(root.tag) != about.root:
        raise MalformedXML
    try:
        return _read(cls, root, hidden)
    except (ValueError, KeyError, OverflowError) as exc:
        raise MalformedXML from exc


_HIDDEN: Final = (*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF)
"""Characters that XML 1.0 does not know even as references. XML 1.1 does, and so do S3 and its clients: a
key may have them, and listings show it so."""
_HIDDEN_REFERENCE: Final = re.compile(
    rb"&#(?:x0{0,8}([1-8bBcCeEfF]|1[0-9a-fA-F]|[fF]{3}[eEfF])|0{0,8}([1-8]|1[124-9]|2[0-9]|3[01]|6553[45]));"
)
_HIDDEN_REFERENCES_MAX: Final = 100_000
_STAND_INS: Final = range(0x10F000, 0x10FF80, 0x40)
"""Private characters to stand for them while the document is parsed: the first run of 64 it does not use.
The characters of a run share all bytes of their UTF-8 form but the last."""
_STAND_IN_REFERENCE: Final = re.compile(rb"&#(?:x0{0,8}(10[fF][0-9a-fA-F]{3})|0{0,8}(111[0-9]{4}));")


def _hide_controls(data: bytes) -> tuple[bytes, Mapping[int, int]]:
    """The document with stand-ins in the place of references to such characters, and what each stands for."""
    if b"&#" not in data or _HIDDEN_REFERENCE.search(data) is None:
        return data, {}
    if b"<![CDATA[" in data:  # there it would be no reference
        return data, {}
    used = set(map(_value, _STAND_IN_REFERENCE.finditer(data)))
    for base in _STAND_INS:
        if chr(base).encode()[:3] not in data and used.isdisjoint(range(base, base + 0x40)):
            break
    else:
        raise MalformedXML
    stand_ins = {value: chr(base + number).encode() for number, value in enumerate(_HIDDEN)}
    data, count = _HIDDEN_REFERENCE.subn(lambda match: stand_ins[_value(match)], data, _HIDDEN_REFERENCES_MAX)
    if count == _HIDDEN_REFERENCES_MAX:
        raise MalformedXML
    return data, {base + number: value for number, value in enumerate(_HIDDEN)}


def _value(reference: re.Match[bytes]) -> int:
    """The character that a reference names; of its two groups one is hexadecimal, the other decimal."""
    return int(reference[1], 16) if reference[1] else int(reference[2])


def _tree(data: bytes) -> etree._Element:
    declared = _ENCODING.match(data)
    if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise MalformedXML
    # Entities live in a DTD alone, so without one nothing can be expanded. Looked for in the bytes,
    # which is sound because UTF-16 and its kin are refused: they have NUL bytes or a byte order mark.
    if b"<!DOCTYPE" in data or b"\x00" in data:
        raise MalformedXML
    try:
        data.decode("utf-8")
        parser = etree.XMLParser(
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        root = etree.fromstring(data, parser)
    except (UnicodeDecodeError, etree.XMLSyntaxError) as exc:
        raise MalformedXML from exc
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedXML
    return root


def _read(cls: type[T], node: etree._Element, hidden: Mapping[int, int]) -> T:
    """`hidden`: what stand-ins in texts stand for (`_hide_controls`)."""
    plan = _plan(cls)
    values: dict[str, Any] = {}
    for planned in plan.attributes:
        if (given := node.get(_clark(planned.name))) is not None and planned.scalar:
            values[planned.attribute] = planned.scalar.read(given.translate(hidden))
    if plan.content and plan.content.scalar:
        if len(node):
            raise MalformedXML
        values[plan.content.attribute] = plan.content.scalar.read((node.text or "").translate(hidden))
    elif _has_text(node):
        raise MalformedXML
    for child in node:
        name = _local_name(child.tag)
        planned = plan.by_name[name]
        if planned.repeated and not planned.wrap:
            values.setdefault(planned.attribute, []).append(_read_one(planned, name, child, hidden))
        elif planned.attribute in values:
            raise MalformedXML
        elif planned.wrap:
            values[planned.attribute] = list(_read_wrapped(planned, child, hidden))
        else:
            values[planned.attribute] = _read_one(planned, name, child, hidden)
    for planned in (*plan.elements, *plan.attributes):
        if planned.attribute not in values and planned.required:
            raise MalformedXML
        if planned.repeated and planned.attribute in values:
            values[planned.attribute] = tuple(values[planned.attribute])
    return cls(**values)


def _read_wrapped(planned: _Field, wrapper: etree._Element, hidden: Mapping[int, int]) -> Iterator[Any]:
    if _has_text(wrapper):
        raise MalformedXML
    for child in wrapper:
        name = _local_name(child.tag)
        if name != planned.name and name not in planned.classes:
            raise MalformedXML
        yield _read_one(planned, name, child, hidden)


def _read_one(planned: _Field, name: str, node: etree._Element, hidden: Mapping[int, int]) -> Any:
    if planned.scalar is None:
        return _read(planned.classes[name], node, hidden)
    if len(node):
        raise MalformedXML
    return planned.scalar.read((node.text or "").translate(hidden))


def _has_text(node: etree._Element) -> bool:
    """Whether anything but white space stands between a node's children."""
    if node.text and not node.text.isspace():
        return True
    return any(child.tail and not child.tail.isspace() for child in node)


def _local_name(tag: Any) -> str:
    if not isinstance(tag, str):
        raise MalformedXML
    namespace, _, name = tag.rpartition("}")
    if namespace[1:] not in ACCEPTED_NAMESPACES:
        raise MalformedXML
    return name


def _clark(name: str) -> str:
    return f"{{{XSI}}}{name[4:]}" if name.startswith("xsi:") else name
