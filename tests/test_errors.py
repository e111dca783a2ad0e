"""What messages to users are made of."""

from prime.errors import first_line, some


def test_some_names_and_how_many_more() -> None:
    assert some([]) == ""
    assert some(["a", "b"]) == "a, b"
    assert some([str(n) for n in range(1005)]) == "0, 1, 2, 3, 4 and 1,000 more"
    assert some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert some(["x" * 100, "y" * 101]) == "x" * 100 + ", " + "y" * 97 + "..."


def test_the_first_line_of_an_error_and_its_kind_where_it_says_nothing() -> None:
    assert first_line(ValueError("no such key\nTraceback")) == "no such key"
    assert first_line(EOFError()) == "EOFError"
