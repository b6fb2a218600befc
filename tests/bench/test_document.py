import json
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.documents import METRICS, document, info, measure, row
from vivace.bench.document import Document, Measurement, Row, dump_json, read_document, schema, to_json, write_document
from vivace.errors import SinkWriteError, SourceNotFoundError, SourceUnsupportedError

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "bench-v1.json"


def test_what_is_written_is_read_back_equal(tmp_path):
    path = tmp_path / "a.json"
    write_document(path, document())
    assert read_document(path) == document()


def test_equal_documents_give_equal_bytes():
    assert to_json(document()) == to_json(document())


def test_blocks_take_one_line():
    lines = to_json(document()).splitlines()
    assert sum(line.lstrip().startswith('"blocks": [') and line.rstrip(",").endswith("]") for line in lines) == 72


def test_text_that_looks_like_a_list_is_left_alone():
    value = {"a": ["[ 1,\n 2 ]", "é", 'quote "'], "b": [1, None, 2.5], "c": [], "d": [[1, 2], [3, 4]]}
    assert json.loads(dump_json(value)) == value


def test_the_committed_schema_is_current():
    assert SCHEMA.read_text("utf-8") == dump_json(schema())


def test_a_figure_that_is_no_number_is_nothing():
    measurement = Measurement(metric="m", case="c", value=math.nan, blocks=[1.0, math.nan])
    assert measurement.value is None
    assert measurement.blocks == [1.0, None]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_refused(value):
    with pytest.raises(ValidationError):
        Measurement(metric="m", case="c", value=value)
    with pytest.raises(ValidationError):
        Measurement(metric="m", case="c", value=1.0, blocks=[value])


def test_json_without_a_number_for_it_is_never_written():
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"a": math.nan})
    with pytest.raises(ValidationError):
        document(settings={"limit": math.inf})


def test_figures_keep_nine_digits():
    value = Measurement(metric="m", case="c", value=1 / 3).value
    assert value == 0.333333333
    assert Measurement(metric="m", case="c", value=1.0).value == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": [row("mini", 1.0), row("mini", 0.5)]},
        {"metrics": [*METRICS, METRICS[0]]},
        {"metrics": list(METRICS[1:])},
        {"rows": [Row(system="m", role="subject", about="", measurements=[measure("m", "c", [1.0])] * 2, summary=[])]},
    ],
    ids=["system twice", "metric twice", "metric unexplained", "measured twice"],
)
def test_an_ambiguous_document_cannot_be_made(fields):
    with pytest.raises(ValidationError):
        document(**{"metrics": [*METRICS, info("m")], **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[1]", "no document of `vivace bench`"),
        ('{"bench": "speed"}', "no document of `vivace bench`"),
        ('{"schema_version": 99}', "schema version 99, this vivace reads 1"),
        ('{"schema_version": 1, "rows": 3}', "not a valid document"),
    ],
)
def test_another_file_is_named_and_refused(tmp_path, text, message):
    path = tmp_path / "b.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceUnsupportedError, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no such file"):
        read_document(tmp_path / "none.json")
    with pytest.raises(SourceUnsupportedError, match="cannot be read"):
        read_document(tmp_path)


def test_a_document_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(SinkWriteError, match="cannot be written"):
        write_document(tmp_path / "none" / "a.json", document())


def test_a_document_with_a_field_it_should_not_have_is_refused():
    with pytest.raises(ValidationError):
        Document.model_validate({**document().model_dump(), "extra": 1})


def test_a_metric_is_found_by_its_key():
    assert document().metric("warp_error").title == "Warp error"
    with pytest.raises(KeyError):
        document().metric("none")


def test_nested_settings_can_be_read_flat():
    made = document(settings={"speed": {"fps": 30, "sizes": [[1, 2]]}, "quick": True})
    assert made.flat_settings() == {"speed.fps": 30, "speed.sizes": [[1, 2]], "quick": True}
