"""Charts as inline SVG."""

import xml.etree.ElementTree as ElementTree

from teacherlm.reporting.charts import Curve, Interval, draw_curves, draw_forest, short_number


def test_names_with_markup_and_formulas_are_drawn_as_text() -> None:
    name = "<script>alert(1)</script> & $x_1$ \\1"
    svg = draw_forest([Interval(name, 1, 0.2, 0.1, 0.3)], name, "points")
    assert "<script" not in svg
    drawing = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    assert name in ["".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert drawing.attrib["aria-label"] == name


def test_colours_follow_the_page_and_none_is_fixed() -> None:
    svg = draw_curves([Curve("text", 0, [[(0, 1.0), (5, 0.5)]]), Curve("cot", 9, [[(0, 2.0), (5, 0.1)]])], "loss", "step", "loss")
    assert {"var(--s0)", "var(--s1)", "var(--line)", "var(--muted)"} <= {f"var({part.split(')')[0]})" for part in svg.split("var(")[1:]}
    assert "#0000" not in svg and "<style" not in svg


def test_a_long_training_does_not_make_a_heavy_page() -> None:
    points = [(float(step), 1 / (1 + step)) for step in range(50_000)]
    assert len(draw_curves([Curve("text", 0, [points])], "loss", "step", "loss")) < 30_000


def test_the_same_data_is_drawn_byte_for_byte_the_same() -> None:
    curves = [Curve("text", 0, [[(1, 0.1), (2, 0.4)], [(1, 0.2), (2, 0.3)]])]
    assert draw_curves(curves, "acc", "step", "acc", percent=True) == draw_curves(curves, "acc", "step", "acc", percent=True)


def test_short_numbers() -> None:
    assert [short_number(value) for value in (0.25, 12, 40_000, 1_250_000, 3e9)] == ["0.25", "12", "40k", "1.25M", "3G"]
