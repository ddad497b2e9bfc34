"""The loaders of the paper's data sets on small files in the official formats."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fgbench import ConfigurationError, DataError, DataFolder, Dataset
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry

REGISTRY = Registry.load()


def load(reference: str, data: Path) -> Dataset:
    loader = REGISTRY.create("dataset", PartReference.parse(reference))
    dataset: Dataset = loader.load(DataFolder(data, data / "no cache"))
    return dataset


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_zip(path: Path, member: str, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)


def texts(dataset: Dataset) -> set[str]:
    return {str(text) for split in dataset.splits.values() for text in split.inputs}


def error(reference: str, data: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(reference, data)
    return str(caught.value)


# Twitter complaints: no header; id, text, label, domain.


def tweets(extra: str = "", n: int = 40) -> str:
    return "".join(f'{i},"tweet, number {i}",{i % 2},food\n' for i in range(n)) + extra


def test_tc_reads_rows_with_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    extra = '99,"it said ""no""\nand broke",1,food\n\n100,bom\u00e9 \u2026,0,food\n'
    write(tmp_path / "tc/complaints-data.csv", b"\xef\xbb\xbf" + tweets(extra).encode())
    dataset = load("tc", tmp_path)
    assert {'it said "no"\nand broke', "bom\u00e9 \u2026", "tweet, number 0"} <= texts(dataset)
    assert dataset.label_names == ("no complaint", "complaint")
    assert sum(len(split) for split in dataset.splits.values()) == 42


@pytest.mark.parametrize(
    ("extra", "line", "problem"),
    [
        ("7,text,2,food\n", 41, "label '2' is not 0 or 1."),
        ("7,text,,food\n", 41, "label '' is not 0 or 1."),
        ("7,  ,1,food\n", 41, "empty text."),
        ("7,text,1\n", 41, "has 3 columns instead of 4."),
        ("7\n", 41, "has 1 column instead of 4."),
        ('1,"three\nlines\nof text",0,food\n7,text,2,food\n', 44, "label '2'"),
        ('1,a,0,food\r\n7,"never closed,1,food\nmore\n', 42, "not valid CSV"),
        ('7,"closed" too early,1,food\n', 41, "not valid CSV"),
    ],
)
def test_tc_refuses_a_malformed_row_with_file_and_line(
    tmp_path: Path, extra: str, line: int, problem: str
) -> None:
    write(tmp_path / "tc/complaints-data.csv", tweets(extra))
    message = error("tc", tmp_path)
    assert message.startswith(f"datasets/tc: complaints-data.csv line {line}: ")
    assert problem in message


def test_tc_refuses_bytes_that_are_not_utf_8_with_their_line(tmp_path: Path) -> None:
    write(tmp_path / "tc/complaints-data.csv", tweets().encode() + b"7,caf\xe9,0,food\n")
    assert "complaints-data.csv line 41: byte 0xE9 is not valid utf-8" in error("tc", tmp_path)


def test_tc_reads_field_of_many_megabytes(tmp_path: Path) -> None:
    write(tmp_path / "tc/complaints-data.csv", tweets(f"7,{'long ' * 100_000},0,food\n"))
    assert max(map(len, texts(load("tc", tmp_path)))) > 131_072


def test_tc_refuses_empty_file_and_single_class(tmp_path: Path) -> None:
    write(tmp_path / "tc/complaints-data.csv", "")
    assert "empty" in error("tc", tmp_path)
    write(tmp_path / "tc/complaints-data.csv", "".join(f"{i},t{i},1,food\n" for i in range(20)))
    assert "every training row has the same label (complaint)" in error("tc", tmp_path)


# Subjectivity and customer reviews: one file a class, one sentence a line.


def test_subj_decodes_windows_1252(tmp_path: Path) -> None:
    write(tmp_path / "subj/subj.objective", "".join(f"fact {i} .\n" for i in range(20)))
    opinions = b"".join(b"opinion %d .\n" % i for i in range(20))
    write(tmp_path / "subj/subj.subjective", opinions + b"a clich\xe9 \x85 or two \n\n \n")
    dataset = load("subj", tmp_path)
    assert "a clich\u00e9 \u2026 or two" in texts(dataset)
    assert sum(len(split) for split in dataset.splits.values()) == 41


def test_subj_refuses_a_byte_that_windows_1252_does_not_have(tmp_path: Path) -> None:
    write(tmp_path / "subj/subj.objective", "fact .\n" * 10)
    write(tmp_path / "subj/subj.subjective", b"good\nbad \x81\n")
    message = error("subj", tmp_path)
    assert "subj.subjective line 2: byte 0x81 is not valid cp1252" in message


def test_se_skips_blank_lines_and_keeps_duplicates_in_one_split(tmp_path: Path) -> None:
    write(tmp_path / "cr/custrev.pos", "great !\n" * 7 + "".join(f"good {i}\n" for i in range(30)))
    write(tmp_path / "cr/custrev.neg", "\n" + "".join(f"bad {i}\n" for i in range(30)) + "\n")
    dataset = load("se", tmp_path)
    homes = [name for name, split in dataset.splits.items() if "great !" in split.inputs]
    assert len(homes) == 1
    assert sum(len(split) for split in dataset.splits.values()) == 67


# Banking77: header; text, category; official train and test.


def banking(data: Path, extra: str = "") -> None:
    intents = ("age_limit", "atm_support", "pin_blocked")
    rows = [f"question {i} of {intent},{intent}" for i in range(10) for intent in intents]
    write(data / "banking77/train.csv", "text,category\r\n" + "\r\n".join(rows) + "\r\n" + extra)
    tests = [f"test {i} of {intent},{intent}" for i in range(4) for intent in intents]
    swapped = [",".join(reversed(row.split(","))) for row in tests]
    write(data / "banking77/test.csv", "\n".join(["category,text", *swapped]))


def test_banking77_keeps_order_of_requested_intents(tmp_path: Path) -> None:
    banking(tmp_path)
    dataset = load("banking77:intents=[pin_blocked,age_limit]", tmp_path)
    assert dataset.label_names == ("pin_blocked", "age_limit")
    assert dataset.label_descriptions[0] == "the PIN is blocked after wrong attempts"
    for split in dataset.splits.values():
        for text, label in zip(split.inputs, split.labels, strict=True):
            assert str(text).endswith(dataset.label_names[label])
    assert [len(split) for split in dataset.splits.values()] == [16, 4, 8]


def test_banking77_refuses_an_intent_that_is_not_on_the_card(tmp_path: Path) -> None:
    banking(tmp_path, '"two\nlines",age_limit\nhello,greeting\n')
    assert "train.csv line 34: 'greeting' is not one of the 77 intents" in error(
        "banking77", tmp_path
    )


def test_banking77_refuses_a_missing_column_and_a_missing_header(tmp_path: Path) -> None:
    banking(tmp_path)
    write(tmp_path / "banking77/train.csv", "text,intent\na,age_limit\n")
    assert "line 1: no column 'category' in the header of 2 columns" in error("banking77", tmp_path)
    write(tmp_path / "banking77/train.csv", "\n")
    assert "line 1: missing header: text, category" in error("banking77", tmp_path)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[age_limit]", "at least two"),
        ("age_limit", "at least two"),
        ("[age_limit,age_limit]", "duplicate"),
        ("[age_limit,atm_suport]", "closest match is 'atm_support'"),
        ("[all,age_limit]", "unknown class 'all'"),
    ],
)
def test_banking77_checks_intents_at_construction(value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        REGISTRY.create("dataset", PartReference.parse(f"banking77:intents={value}"))


# Arxiv-10: ArXiv-10.zip holds arxiv100.csv; title, abstract, label.


def papers(extra: str = "", n: int = 100) -> str:
    rows = [
        f'"A {name} title\n  number {i}","An abstract of {name}\n{i}",{name}\n'
        for i in range(n)
        for name in ("cs", "math", "stat")
    ]
    return "title,abstract,label\n" + "".join(rows) + extra


def test_arxiv_takes_thirty_percent_of_two_classes_from_the_archive(tmp_path: Path) -> None:
    write_zip(tmp_path / "arxiv/ArXiv-10.zip", "arxiv100.csv", papers())
    dataset = load("arxiv", tmp_path)
    assert dataset.label_names == ("cs", "stat")
    assert [len(split) for split in dataset.splits.values()] == [38, 10, 12]
    assert all("title number" in text for text in texts(dataset))
    assert not list((tmp_path / "arxiv").glob("*.csv"))


def test_arxiv_can_take_abstracts_and_three_classes(tmp_path: Path) -> None:
    write_zip(tmp_path / "arxiv/ArXiv-10.zip", "data/arxiv100.csv", papers())
    dataset = load("arxiv:classes=[stat,math,cs],sample=1,text=abstract", tmp_path)
    assert dataset.n_classes == 3
    assert sum(len(split) for split in dataset.splits.values()) == 300
    assert all(text.startswith("An abstract of") for text in texts(dataset))


def test_arxiv_draws_the_same_sample_for_the_same_seed_only(tmp_path: Path) -> None:
    write_zip(tmp_path / "arxiv/ArXiv-10.zip", "arxiv100.csv", papers())
    assert load("arxiv", tmp_path).digest == load("arxiv:split_seed=0", tmp_path).digest
    assert load("arxiv", tmp_path).digest != load("arxiv:split_seed=1", tmp_path).digest


def test_arxiv_error_names_line_inside_archive(tmp_path: Path) -> None:
    archive = tmp_path / "arxiv/ArXiv-10.zip"
    write_zip(archive, "arxiv100.csv", papers("t,a,biology\n", n=1))
    assert "ArXiv-10.zip/arxiv100.csv line 11: 'biology' is not one of" in error("arxiv", tmp_path)
    write_zip(archive, "arxiv100.csv", papers(" ,a,cs\n", n=1))
    assert "line 11: empty title" in error("arxiv", tmp_path)


def test_invalid_or_incomplete_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "arxiv/ArXiv-10.zip"
    write(archive, "no archive")
    assert "corrupt archive" in error("arxiv", tmp_path)
    write_zip(archive, "other.csv", "")
    assert "exactly one such file in the archive, which contains other.csv" in error(
        "arxiv", tmp_path
    )
    write_zip(archive, "arxiv100.csv", papers())
    content = bytearray(archive.read_bytes())
    content[200:240] = bytes(40)
    archive.write_bytes(content)
    assert "corrupt archive" in error("arxiv", tmp_path)


# DDXPlus: release_evidences.json and three archives of patients.

HEADER = "AGE,DIFFERENTIAL_DIAGNOSIS,SEX,PATHOLOGY,EVIDENCES,INITIAL_EVIDENCE\n"


def entry(question: str, kind: str, meanings: dict[str, str] | None = None, top: int = 0) -> Any:
    values: list[Any] = list(meanings or {}) or list(range(top + 1) if top else [])
    return {
        "name": "E",
        "code_question": "E",
        "question_fr": "?",
        "question_en": question,
        "is_antecedent": False,
        "default_value": 0,
        "value_meaning": {key: {"fr": "?", "en": text} for key, text in (meanings or {}).items()},
        "possible-values": values,
        "data_type": kind,
    }


EVIDENCES = {
    "E_91": entry("Do you have a fever?", "B"),
    "E_56": entry("How intense is the pain?", "C", top=10),
    "E_55": entry("Where is the pain?", "M", {"V_1": "forehead", "V_2": "back of the neck"}),
    "E_204": entry("Have you travelled?", "C", {"V_10": "N", "V_0": "North Africa"}),
}


def patient(pathology: str, age: str = "30", sex: str = "M", evidences: str = "['E_91']") -> str:
    return (
        f"{age},\"[['{pathology}', 0.9], ['URTI', 0.1]]\",{sex},{pathology},\"{evidences}\",E_91\n"
    )


def medical(data: Path, extra: str = "", n: int = 6) -> Path:
    write(data / "medical/release_evidences.json", json.dumps(EVIDENCES))
    for split in ("train", "validate", "test"):
        rows = [
            patient(name, age=str(20 + i))
            for i in range(n)
            for name in ("Influenza", "URTI", "Anaphylaxis")
        ]
        member = f"release_{split}_patients"
        write_zip(data / f"medical/{member}.zip", member, HEADER + "".join(rows) + extra)
    return data


def test_medical_text_contains_evidence_but_not_diagnosis(tmp_path: Path) -> None:
    codes = "['E_91', 'E_55_@_V_2', 'E_56_@_4', 'E_55_@_V_1', 'E_204_@_V_10']"
    medical(tmp_path, patient("Influenza", "7", "F", codes))
    dataset = load("medical", tmp_path)
    assert (
        "Age: 7. Sex: female. Do you have a fever? yes. Where is the pain? back of the neck, "
        "forehead. How intense is the pain? 4 out of 10. Have you travelled? no."
    ) in texts(dataset)
    assert dataset.label_names == ("Influenza", "Anaphylaxis")
    assert not any("Influenza" in text or "URTI" in text for text in texts(dataset))
    assert [len(split) for split in dataset.splits.values()] == [13, 13, 13]


def test_medical_samples_each_class_of_each_file_by_seed(tmp_path: Path) -> None:
    medical(tmp_path)
    dataset = load("medical:limit_per_class=4,pathologies=[URTI,Influenza]", tmp_path)
    for split in dataset.splits.values():
        assert split.labels.tolist().count(0) == split.labels.tolist().count(1) == 4
    again = load("medical:limit_per_class=4,pathologies=[URTI,Influenza]", tmp_path)
    assert dataset.digest == again.digest


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (patient("Common cold"), "'Common cold' is not one of the 49 pathologies"),
        (patient("Influenza", age="old"), "age 'old' is not an integer"),
        (patient("Influenza", sex="X"), "sex 'X' is not M or F"),
        (patient("Influenza", evidences="['E_999']"), "evidence 'E_999' is not in"),
        (patient("Influenza", evidences="['E_56_@_11']"), "'E_56_@_11' is not a valid value"),
        (patient("Influenza", evidences="['E_56']"), "'E_56' is not a valid value"),
        (patient("Influenza", evidences="['E_91_@_1']"), "'E_91_@_1' is not a valid value"),
        (patient("Influenza", evidences="E_91"), "are not a list of codes"),
        (patient("Influenza", evidences="[1]"), "are not a list of codes"),
        (patient("Influenza", evidences="[" * 5000), "are not a list of codes"),
        (patient("Influenza", evidences="[__import__('os').getcwd()]"), "not a list of codes"),
        ("30,M\n", "has 2 columns instead of 6"),
    ],
)
def test_medical_refuses_a_malformed_patient_with_the_line(
    tmp_path: Path, row: str, problem: str
) -> None:
    message = error("medical", medical(tmp_path, row, n=2))
    assert "release_train_patients.zip/release_train_patients line 8: " in message
    assert problem in message


def test_medical_refuses_malformed_evidence(tmp_path: Path) -> None:
    path = medical(tmp_path) / "medical/release_evidences.json"
    path.write_text('{"E_91": {"question_en": "?"}}')
    assert "evidence 'E_91' is not in the official form" in error("medical", tmp_path)
    path.write_text('{\n"E_91": ')
    assert "release_evidences.json line 2: not valid JSON" in error("medical", tmp_path)


def test_missing_source_error_names_fetch_and_folder(tmp_path: Path) -> None:
    for name in ("tc", "subj", "banking77", "se", "arxiv", "medical"):
        message = error(name, tmp_path)
        assert f"fgbench data fetch {name}" in message and str(tmp_path) in message


def test_file_with_other_digest_is_read_with_warning(tmp_path: Path) -> None:
    banking(tmp_path)
    folder = DataFolder(tmp_path, tmp_path / "cache")
    REGISTRY.create("dataset", PartReference("banking77")).load(folder)
    assert len(folder.warnings) == 2
