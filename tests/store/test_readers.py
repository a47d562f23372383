import codecs
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.store.readers import file_rows
from teacherlm.store.readers_csv import csv_rows
from teacherlm.store.readers_text import Found

ROWS = [{"q": "Wie häufig?", "a": "3"}, {"q": "𝔖o; “quoted”", "a": ""}]


def as_text(name: str) -> str:
    if "csv" in name or "tsv" in name:
        mark = "\t" if "tsv" in name else ","
        return "".join(f"{mark.join(row)}\n" for row in (["q", "a"], *([row["q"], row["a"]] for row in ROWS)))
    return json.dumps(ROWS, ensure_ascii=False, indent=1) if ".json" in name and "jsonl" not in name else lines_of(ROWS)


def lines_of(rows: list[Any]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def written(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    data = content if isinstance(content, bytes) else content.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def rows(path: Path, **how: Any) -> list[dict[str, Any]]:
    found = [row for _, row in file_rows(path, **how)]
    assert not [row for row in found if isinstance(row, UserError)], found
    return found  # type: ignore[return-value]


def outcome(found: Found) -> list[str]:
    return [str(row) if isinstance(row, UserError) else where.rsplit("/", 1)[-1] for where, row in found]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.tsv", "x.jsonl.gz", "x.json.gz", "x.csv.gz", "x.tsv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "gb18030"])
def test_every_text_format_is_read_in_every_encoding(name: str, encoding: str, tmp_path: Path):
    path = written(tmp_path / name, as_text(name), encoding)
    given = encoding if encoding in ("utf-16-le", "gb18030") else "utf-8"
    assert rows(path, encoding=given) == ROWS


def test_a_byte_order_mark_says_more_than_the_setting(tmp_path: Path):
    assert rows(written(tmp_path / "x.csv", as_text("x.csv"), "utf-8-sig"), encoding="latin-1") == ROWS
    assert rows(written(tmp_path / "y.jsonl", codecs.BOM_UTF16_BE + as_text("x.jsonl").encode("utf-16-be"))) == ROWS


@pytest.mark.parametrize(("name", "place"), [("x.jsonl", "x.jsonl:2"), ("x.csv.gz", "x.csv.gz:2")])
def test_a_byte_outside_the_encoding_is_named_and_the_next_row_is_read(name: str, place: str, tmp_path: Path):
    before = b'{"q": "caf' if "jsonl" in name else b"caf"
    first, behind = (b'{"q": "x"}\n', b'"}\n{"q": "y"}\n') if "jsonl" in name else (b"q\n", b"\ny\n")
    path = written(tmp_path / name, first + before + b"\xe9" + behind)
    found = outcome(file_rows(path))
    message = f"{tmp_path / place}: byte 0xe9 at column {len(before) + 1} is not utf-8; say encoding: latin-1 (or what it is)."
    assert message in found and found[-1] == f"{name}:3"
    assert {"q": "café"} in rows(path, encoding="latin-1")


def test_encodings_that_do_not_fit_are_one_line(tmp_path: Path):
    path = written(tmp_path / "x.jsonl", '{"q": 1}\n')
    with pytest.raises(UserError, match=r"encoding: 'latin-99' is not known; expected utf-8, latin-1"):
        rows(path, encoding="latin-99")
    with pytest.raises(UserError, match=r"x\.jsonl: behind line 0: is not utf-16-le \(truncated data\)"):
        rows(path, encoding="utf-16-le")
    assert outcome(file_rows(written(path, b'{"q": "\x81"}'), encoding="cp1252")) == [
        f"{path}:1: byte 0x81 at column 8 is not cp1252; say encoding: the one it is in."
    ]


def test_broken_json_lines_are_named_one_by_one_and_the_rest_is_read(tmp_path: Path):
    path = written(tmp_path / "x.jsonl", '{"a": 1}\n\n{broken\n[1]\n{"a": 2}')
    assert outcome(file_rows(path)) == [
        "x.jsonl:1",
        f"{path}:3: not valid JSON (unexpected character, expected a string key at column 2).",
        f"{path}:4: expected a JSON object, found list.",
        "x.jsonl:5",
    ]
    with pytest.raises(UserError, match=r"x\.jsonl:1: not valid JSON .*expected one whole JSON object a line, or one JSON list"):
        raise next(row for _, row in file_rows(written(path, '{\n "a": 1\n}\n')))  # type: ignore[misc]


def test_a_json_list_is_named_by_item_and_broken_ones_by_line(tmp_path: Path):
    path = written(tmp_path / "x.json", '\n[{"a": 1}, 7]')
    assert outcome(file_rows(path)) == ["x.json: item 1", f"{path}: item 2: expected a JSON object, found int."]
    with pytest.raises(UserError, match=r"x\.json:2: not valid JSON"):
        rows(written(path, '[{"a": 1},\n{"b"}]'))
    with pytest.raises(UserError, match=r"x\.json:2: byte 0xff at column 8 is not utf-8"):
        rows(written(path, b'[{"a": 1},\n{"b": "\xff"}]'))


def test_csv_keeps_every_cell_as_it_is_written(tmp_path: Path):
    text = 'id,text,\n007,"two\nlines, one ""quoted""",true\n\n1e3,"in\r\nside", 1.0\r\n,NA,null\n'
    path = written(tmp_path / "x.csv", text)
    assert list(csv_rows(path)) == [
        (f"{path}:2", {"id": "007", "text": 'two\nlines, one "quoted"', "Unnamed: 2": "true"}),
        (f"{path}:5", {"id": "1e3", "text": "in\r\nside", "Unnamed: 2": " 1.0"}),
        (f"{path}:7", {"id": "", "text": "NA", "Unnamed: 2": "null"}),
    ]


def test_broken_csv_rows_are_named_by_the_line_they_begin_at_and_the_rest_is_read(tmp_path: Path):
    path = written(tmp_path / "x.csv", 'a,b\n1,"x\ny"\n1\n1,2,3\n"x"y,2\n5,6\n')
    assert outcome(csv_rows(path)) == [
        "x.csv:2",
        f"{path}:4: the row has 1 cell where the header names 2 columns.",
        f"{path}:5: the row has 3 cells where the header names 2 columns.",
        f"{path}:6: not valid CSV (',' expected after '\"', in line 6; a quotation mark inside a quoted cell is written twice).",
        "x.csv:7",
    ]
    assert outcome(csv_rows(written(path, 'a,b\n1,2\n3,"open\n4,5\n')))[1:] == [
        f"{path}:3: not valid CSV (a quotation mark that opens a cell is never closed)."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file has no rows"),
        ("a,b\n", "the file has no rows below its header"),
        ("a,b,a\n1,2,3\n", "x.csv:1: the header names column 'a' twice"),
        ("a;b\n1;2\n", "x.csv:1: the header is one cell, 'a;b'; say delimiter: ';'"),
        ("a,b\r1,2\r", "x.csv:1: not valid CSV (a bare carriage return in line 1; lines have to end in LF or CRLF)"),
    ],
)
def test_a_csv_file_that_is_none_says_why(text: str, message: str, tmp_path: Path):
    with pytest.raises(UserError) as error:
        rows(written(tmp_path / "x.csv", text))
    assert message in str(error.value)


def test_a_header_can_be_brought_along_and_a_delimiter_said(tmp_path: Path):
    path = written(tmp_path / "x.csv", "1;2\n3;4\n")
    assert [row for _, row in csv_rows(path, header=("a", "b"), delimiter=";")] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert outcome(csv_rows(path, header=("a",), delimiter=";"))[0] == f"{path}:1: the row has 2 cells where the dataset names 1 columns."


def test_cells_longer_than_the_csv_module_takes_by_itself(tmp_path: Path):
    path = written(tmp_path / "x.csv", f"a\n{'x' * 500_000}\n")
    assert [len(row["a"]) for row in rows(path)] == [500_000]


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz", "x.json.gz"])
def test_a_gzip_file_that_is_cut_short_or_none_is_one_line(name: str, tmp_path: Path):
    path = written(tmp_path / name, as_text(name) * 500 if "jsonl" in name else as_text(name))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"gz: the gzip file is cut short; fetch or copy it again"):
        rows(path)
    path.write_text("plain")
    with pytest.raises(UserError, match=r"gz: is not a sound gzip file \(Not a gzipped file"):
        rows(path)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet", "x.arrow", "x.json", "x.csv.gz"])
def test_a_file_that_is_empty_missing_or_a_folder_is_one_line(name: str, tmp_path: Path):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"is a folder; a file is needed"):
        list(file_rows(tmp_path / name))
    (tmp_path / name).rmdir()
    with pytest.raises(UserError, match=r"no such file"):
        list(file_rows(tmp_path / name))
    with pytest.raises(UserError, match=r"the file has no rows|cannot be read as"):
        list(file_rows(written(tmp_path / name, b"")))


def test_parquet_and_arrow_files_give_their_rows_with_class_labels_as_names(tmp_path: Path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"n": Value("int64"), "label": ClassLabel(names=["no", "yes"])})
    data = Dataset.from_list([{"n": i, "label": i % 2} for i in range(2500)], features=features)
    data.to_parquet(str(tmp_path / "x.parquet"))
    data.save_to_disk(str(tmp_path / "d"))
    (arrow,) = (tmp_path / "d").glob("*.arrow")
    expected = [{"n": i, "label": ("no", "yes")[i % 2]} for i in range(2500)]
    assert rows(tmp_path / "x.parquet") == rows(arrow) == expected
    assert [where for where, _ in file_rows(arrow)][::1000] == [f"{arrow}: row {i}" for i in (0, 1000, 2000)]


def test_an_arrow_file_with_a_footer_and_broken_ones(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"a": ["x", "y"]})
    with pa.ipc.new_file(str(tmp_path / "x.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert rows(tmp_path / "x.arrow") == [{"a": "x"}, {"a": "y"}]
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_bytes((tmp_path / "x.parquet").read_bytes()[:-20])
    with pytest.raises(UserError, match=r"x\.parquet: cannot be read as a parquet file"):
        rows(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"a \.parquet file is not read gzip'd .*; unpack it with gunzip"):
        rows(written(tmp_path / "y.parquet.gz", b"x"))


@pytest.mark.real
def test_real_csv_files_are_read_as_the_csv_module_reads_them(test_data: Path):
    paths = [test_data / "data" / "ecqa" / "cqa_data_val.csv", *sorted((test_data / "data" / "mmlu").rglob("*.csv"))]
    assert len(paths) > 70
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            expected = list(csv.reader(file))[1:]
        assert [list(row.values()) for row in rows(path)] == expected, path
