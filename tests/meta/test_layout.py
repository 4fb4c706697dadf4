"""Layouts of completed uploads against the plainest arithmetic."""

from hypothesis import example, given
from hypothesis import strategies as st

from objstore.meta.layout import Layout, Piece, Run

parts_lists = st.dictionaries(
    st.integers(1, 10_000), st.sampled_from([0, 1, 5, 5, 5, 8]), min_size=1, max_size=12
).map(lambda sizes: sorted(sizes.items()))


def test_ten_thousand_equal_parts_are_two_runs() -> None:
    layout = Layout.of([(number, 8 << 20) for number in range(1, 10_000)] + [(10_000, 17)])
    assert layout.runs == (Run(1, 9_999, 8 << 20), Run(10_000, 1, 17))
    assert len(layout.pack()) < 32
    assert (layout.count, layout.size) == (10_000, 9_999 * (8 << 20) + 17)
    assert layout.part(10_000) == (9_999 * (8 << 20), 17)
    assert list(layout.pieces(9_999 * (8 << 20) - 1, 3)) == [
        Piece(9_999, (8 << 20) - 1, 1),
        Piece(10_000, 0, 2),
    ]


@given(parts_lists)
def test_a_layout_comes_back_as_it_was_packed(parts: list[tuple[int, int]]) -> None:
    layout = Layout.of(parts)
    assert Layout.unpack(layout.pack()) == layout
    assert list(layout.parts()) == parts
    assert (layout.count, layout.size) == (len(parts), sum(size for _, size in parts))


@given(parts_lists, st.integers(0, 70), st.integers(0, 70))
@example([(1, 5)], 1, 0)
def test_pieces_are_the_bytes_asked_for(parts: list[tuple[int, int]], offset: int, length: int) -> None:
    every = [(number, index) for number, size in parts for index in range(size)]
    pieces = list(Layout.of(parts).pieces(offset, length))
    found = [
        (piece.part_number, index)
        for piece in pieces
        for index in range(piece.offset, piece.offset + piece.length)
    ]
    assert found == every[offset : offset + length]
    assert all(piece.length > 0 for piece in pieces)


@given(parts_lists, st.integers(1, 10_000))
def test_a_part_is_found_by_its_number(parts: list[tuple[int, int]], wanted: int) -> None:
    layout, offset = Layout.of(parts), 0
    for number, size in parts:
        assert layout.part(number) == (offset, size)
        offset += size
    assert wanted in dict(parts) or layout.part(wanted) is None
