//! What folders' names and answers that are no numbers become, the same in every format.

use super::*;

fn parquet_of(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn folders_name_columns_of_the_contract_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lines/n=3/a.jsonl", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":2}\nnot json\n");
    write("csv/n=3/a.csv", "id,x\na,1\nb,2\nc,word\n");
    parquet_of(
        &folder.path().join("parquet/n=3/a.parquet"),
        vec![
            ("id", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]))),
            ("x", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]))),
        ],
    );
    for input in ["lines", "csv", "parquet"] {
        let asked = ScoreConfig {
            output: folder.path().join(input).with_extension("out"),
            predicate: Some("n = 3".into()),
            ..config(folder.path(), &[input])
        };
        let counts = run(asked.clone()).unwrap().counts;
        assert_eq!(counts, Counts { rows: 3, scored: 2, rejected: 1 }, "{input}");
        let file = asked.output.join("results/000000.parquet");
        let results: Vec<_> = ParquetRows::open(&file, 9).unwrap().map(Result::unwrap).collect();
        assert_eq!(texts(&results, "n"), ["3", "3"], "{input}");
        assert_eq!(results[0]["n"].data_type(), &DataType::Int16, "{input}");
    }
}

#[test]
fn a_line_goes_before_its_folder_and_a_folder_may_say_null() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"id\":\"a\",\"n\":7}\n{\"id\":\"b\"}\n{\"id\":\"c\",\"n\":null}\n{\"id\":\"d\",\"n\":\"x\"}\n";
    for day in ["n=3", "n=__HIVE_DEFAULT_PARTITION__"] {
        fs::create_dir_all(folder.path().join("in").join(day)).unwrap();
        fs::write(folder.path().join("in").join(day).join("a.jsonl"), lines).unwrap();
    }
    let counts = run(config(folder.path(), &["in"])).unwrap().counts;
    assert_eq!(counts, Counts { rows: 8, scored: 4, rejected: 4 });
    let results = rows(folder.path(), "results");
    assert_eq!(texts(&results, "id"), ["a", "b", "c", "a"]);
    assert_eq!(texts(&results, "n"), ["7", "3", "3", "7"]);
    let rejects = rows(folder.path(), "rejects");
    assert_eq!(texts(&rejects, "id"), ["", "b", "c", ""]);
    assert!(texts(&rejects, "reason")[1].contains("null was found"), "{rejects:?}");
}

#[test]
fn files_that_only_partly_name_a_folders_column_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("n=1/a.csv", "id,x,n\na,1,5\n"), ("n=2/b.csv", "id,x\nb,2\n")] {
        let path = folder.path().join("in").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let said = refused(config(folder.path(), &["in"]));
    assert!(said.contains("n=2/b.csv") && said.contains("score them apart"), "{said}");
    run(config(folder.path(), &["in/n=1"])).unwrap();
    assert_eq!(texts(&rows(folder.path(), "results"), "n"), ["5"], "the file's own goes before");
}

#[test]
fn a_file_without_a_required_column_is_refused_and_an_optional_one_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |id: &str| -> ArrayRef { Arc::new(StringArray::from(vec![id])) };
    let numbers = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
    let csv = |name: &str, text: &str| {
        let path = folder.path().join("csv").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    csv("a.csv", "id,x,n\na,1,5\n");
    csv("b.csv", "id,x\nb,2\n");
    let at = |name: &str| folder.path().join("parquet").join(name);
    parquet_of(&at("a.parquet"), vec![("id", ids("a")), ("x", numbers(1)), ("n", numbers(5))]);
    parquet_of(&at("b.parquet"), vec![("id", ids("b")), ("x", numbers(2))]);
    for (input, file) in [("csv", "b.csv"), ("parquet", "b.parquet")] {
        let said = refused(config(folder.path(), &[input]));
        assert!(said.contains(file) && said.contains("no column \"n\""), "{said}");
        assert!(!folder.path().join("out").exists(), "{input}: something was written");
    }
    // Without rows there is nothing that it could spoil.
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<String>::new()));
    parquet_of(&at("b.parquet"), vec![("id", none)]);
    csv("b.csv", "id,n\nb,2\n");
    for (input, answers) in [("csv", vec!["2.0", ""]), ("parquet", vec!["2.0"])] {
        run(config(folder.path(), &[input])).unwrap();
        assert_eq!(texts(&rows(folder.path(), "results"), "prediction_twice"), answers, "{input}");
        assert!(rows(folder.path(), "rejects").is_empty(), "{input}");
        fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}

#[test]
fn an_answer_that_is_not_finite_is_null_as_in_the_output_topic() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"id\":\"a\",\"x\":1e308,\"n\":1}\n{\"id\":\"b\",\"x\":2,\"n\":1}\n";
    // With and without a row that is refused: the answers are put in their places, or are there.
    for (more, rejected) in [("", 0), ("not json\n", 1)] {
        let input = format!("{rejected}.jsonl");
        fs::write(folder.path().join(&input), format!("{lines}{more}")).unwrap();
        let counts = run(config(folder.path(), &[&input])).unwrap().counts;
        assert_eq!((counts.scored, counts.rejected), (2, rejected));
        let results = rows(folder.path(), "results");
        assert_eq!(texts(&results, "prediction_twice"), ["", "4.0"]);
        fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}
