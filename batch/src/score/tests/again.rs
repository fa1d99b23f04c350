//! Jobs that are started again, over what a killed one or somebody else left.

use super::*;

/// The model with another `model.toml`.
fn described(package: &str) -> Arc<Model> {
    let model = Arc::into_inner(model(CONTRACT)).expect("nobody else's");
    Arc::new(Model { package: package.into(), ..model })
}

fn prepared() -> (tempfile::TempDir, ScoreConfig) {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("in/a.parquet"), 0, 4);
    let asked = config(folder.path(), &["in"]);
    (folder, asked)
}

#[test]
fn another_descriptor_of_the_same_model_is_refused() {
    let (folder, asked) = prepared();
    drop(Job::open(asked.clone(), described("aa")).unwrap());
    let said = Job::open(asked.clone(), described("bb")).err().expect("refused").to_string();
    assert!(said.contains("model.toml's SHA-256: aa then, bb now"), "{said}");
    assert!(said.contains("name another folder, or remove this one"), "{said}");
    assert!(!said.contains("model's SHA-256"), "the model file is the same: {said}");
    Job::open(asked.clone(), described("aa")).unwrap();
    // A manifest of the form before does not say which descriptor it was.
    let path = folder.path().join("out/manifest.json");
    let mut before: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let members = before.as_object_mut().unwrap();
    members.insert("format".into(), 1.into());
    assert!(members.remove("package_sha256").is_some() && members.remove("hive").is_some());
    fs::write(&path, before.to_string()).unwrap();
    let said = Job::open(asked, described("aa")).err().expect("refused").to_string();
    assert!(said.contains("form of the manifest: 1 then, 2 now)"), "{said}");
}

#[test]
fn what_was_not_published_is_no_part_no_manifest_and_no_mark() {
    let (folder, asked) = prepared();
    let temporary = |name: &str| folder.path().join("out/.tidegate-tmp").join(name);
    fs::create_dir_all(temporary("")).unwrap();
    let left = ["manifest.json", "_SUCCESS", "results-000000.parquet", "rejects-000000.parquet"];
    left.iter().for_each(|name| fs::write(temporary(name), "cut").unwrap());
    let mut job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
    assert_eq!(job.state().parts_done, 0);
    assert!(left.iter().all(|name| !temporary(name).exists()), "what was left is swept");
    job.run(1, SystemTime::now(), &|_| {}, &|| false).unwrap();
    // Somebody else is at the mark: that it was put there cannot be said.
    fs::write(temporary("_SUCCESS"), "").unwrap();
    let said = job.mark_whole().unwrap_err().to_string();
    assert!(said.contains(".tidegate-tmp/_SUCCESS"), "{said}");
    assert_eq!(found(&asked.output).unwrap(), Found::Begun);
    drop(job);
    Job::open(asked.clone(), model(CONTRACT)).unwrap().mark_whole().unwrap();
    assert_eq!(found(&asked.output).unwrap(), Found::Whole);
    assert_eq!(fs::read_dir(temporary("")).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_get_its_name_leaves_no_temporary() {
    let bucket = Arc::new(object_store::memory::InMemory::new());
    crate::files::put_for_tests("test-put", bucket);
    let local = tempfile::tempdir().unwrap();
    for root in [local.path(), Path::new("s3://test-put/out")] {
        let folders = Folders::below(root).unwrap();
        folders.make(&[]).unwrap();
        assert!(folders.put("report.json", b"first").unwrap());
        for _ in 0..2 {
            assert!(!folders.put("report.json", b"second").unwrap(), "{}", root.display());
        }
        let path = root.join("report.json");
        assert_eq!(folders.files.read(&path, 0, 5).unwrap(), b"first");
    }
}

#[test]
fn clear_removes_what_the_job_wrote_and_nothing_where_there_is_more() {
    let (folder, asked) = prepared();
    let at = |name: &str| asked.output.join(name);
    let mut job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
    job.run(1, SystemTime::now(), &|_| {}, &|| false).unwrap();
    job.put_beside("report.json", b"{}").unwrap();
    assert!(clear(&asked.output).unwrap_err().to_string().contains("another job"));
    job.mark_whole().unwrap();
    drop(job);
    // The job has one part: a second one is not its own.
    for foreign in ["notes.txt", "results/mine.parquet", "results/000001.parquet", "rejects/a.csv"]
    {
        fs::write(at(foreign), "mine").unwrap();
        let said = clear(&asked.output).unwrap_err().to_string();
        assert!(said.contains(foreign) && said.contains("move it away"), "{foreign}: {said}");
        for own in ["results/000000.parquet", "report.json", "_SUCCESS", "manifest.json"] {
            assert!(at(own).exists(), "{foreign}: {own}");
        }
        fs::remove_file(at(foreign)).unwrap();
    }
    fs::write(at(".hidden"), "mine").unwrap();
    clear(&asked.output).unwrap();
    assert_eq!(found(&asked.output).unwrap(), Found::Nothing);
    let left = fs::read_dir(&asked.output).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".hidden", ".lock", ".tidegate-tmp", "rejects", "results"]);
    assert_eq!(fs::read_dir(at("results")).unwrap().count(), 0);
    assert_eq!(run(asked).unwrap().counts.scored, 4);
    drop(folder);
}

#[test]
fn a_part_that_is_more_than_one_object_has_several_and_is_done_when_all_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let lines = ["0", "1", "2", "3", "-4", "5", "6", "7", "8", "9"].iter().enumerate();
    let lines: String = lines.map(|(row, x)| format!("r{row},{x},1\n")).collect();
    fs::write(folder.path().join("in.csv"), format!("id,x,n\n{lines}")).unwrap();
    crate::files::put_for_tests("test-large", Arc::new(object_store::memory::InMemory::new()));
    let output = Path::new("s3://test-large/out");
    let asked = ScoreConfig { output: output.into(), ..config(folder.path(), &["in.csv"]) };
    let open = || {
        let mut job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
        job.folders.file_rows = 4;
        job
    };
    let folders = Folders::below(output).unwrap();
    assert!(folders.file_rows < 1 << 20, "bounded in a store");
    assert_eq!(Folders::below(folder.path()).unwrap().file_rows, u64::MAX);
    let names = |of: &Path| {
        let mut names = folders.names(of).unwrap();
        names.sort();
        names
    };
    let whole = ["000000-000000.parquet", "000000-000001.parquet", "000000.parquet"];
    let made_whole = |now: SystemTime| {
        let mut job = open();
        assert_eq!(job.state().parts_done, 0);
        job.run(1, now, &|_| {}, &|| false).unwrap();
        assert_eq!(job.state().counts, Counts { rows: 10, scored: 9, rejected: 1 });
        assert_eq!(names(&folders.results), whole);
        assert_eq!(names(&folders.rejects), ["000000-000001.parquet"]);
        let files = whole.iter().map(|name| folders.results.join(name));
        let batches = files.flat_map(|file| ParquetRows::open(&file, 1000).unwrap());
        let ids = texts(&batches.map(Result::unwrap).collect::<Vec<_>>(), "id");
        assert_eq!(ids, ["r0", "r1", "r2", "r3", "r5", "r6", "r7", "r8", "r9"]);
    };
    made_whole(SystemTime::UNIX_EPOCH);
    assert_eq!(open().state().parts_done, 1);
    // The last one as of a job that was killed, one before it as of somebody who tidied up.
    for gone in [whole[2], whole[0]] {
        folders.files.remove(&folders.results.join(gone)).unwrap();
        made_whole(SystemTime::now());
    }
    assert_eq!(open().state().counts.scored, 9);
    // Of a try that was killed and had more rows: nobody counts them, and no reader may.
    let extra = folders.results.join("000000-000002.parquet");
    let temporary = folders.temporaries.join("extra");
    folders.files.create(&temporary).unwrap().sync().unwrap();
    folders.files.publish(&temporary, &extra).unwrap();
    assert_eq!(names(&folders.results).len(), 4);
    assert_eq!(open().state().parts_done, 1);
    assert_eq!(names(&folders.results), whole);
    clear(output).unwrap();
    assert!(names(&folders.results).is_empty() && names(&folders.rejects).is_empty());
}

#[test]
fn parts_without_a_manifest_are_nobodys() {
    let (_folder, asked) = prepared();
    run(asked.clone()).unwrap();
    fs::remove_file(asked.output.join("manifest.json")).unwrap();
    let said = refused(asked.clone());
    assert!(said.contains("results/000000.parquet") && said.contains("no job's"), "{said}");
    assert!(asked.output.join("results/000000.parquet").exists());
}

/// Puts beside the job's files one that goes before them, one that is being written and one of another format.
fn more_came(folder: &Path) {
    parquet(&folder.join("in/0.parquet"), 100, 4);
    fs::write(folder.join("in/half.parquet"), "PAR1 and no more").unwrap();
    fs::write(folder.join("in/z.csv"), "id,x,n\na,1,1\n").unwrap();
}

#[test]
fn what_came_into_the_input_since_is_counted_and_not_scored() {
    let (folder, asked) = prepared();
    parquet(&folder.path().join("in/b.parquet"), 4, 4);
    let mut job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
    assert_eq!((job.state().files_new, job.inputs()), (0, asked.inputs.clone()));
    let results = asked.output.join("results");
    let one_is_there = || fs::read_dir(&results).unwrap().count() > 0;
    job.run(1, SystemTime::now(), &|_| {}, &one_is_there).unwrap();
    assert_eq!(job.state().parts_done, 1);
    drop(job);
    let manifest = || fs::read(asked.output.join("manifest.json")).unwrap();
    let before = manifest();
    more_came(folder.path());
    let done = run(asked.clone()).unwrap();
    assert_eq!((done.files, done.files_new, done.parts, done.parts_done), (2, 3, 2, 2));
    assert_eq!(done.counts, Counts { rows: 8, scored: 8, rejected: 0 });
    let ids = texts(&rows(folder.path(), "results"), "id");
    assert_eq!(ids, (0..8).map(|n| format!("r{n}")).collect::<Vec<_>>());
    // Finished, it does nothing and is a success all the same.
    let job = Job::open(asked.clone(), model(CONTRACT)).unwrap();
    assert_eq!(job.state(), done);
    let own = ["a.parquet", "b.parquet"].map(|name| folder.path().join("in").join(name));
    assert_eq!(job.inputs(), own);
    job.mark_whole().unwrap();
    assert_eq!(found(&asked.output).unwrap(), Found::Whole);
    assert_eq!(manifest(), before, "what was asked stays");
}

#[test]
fn beside_what_came_since_what_differs_is_refused_as_before() {
    let (folder, asked) = prepared();
    let file = |name: &str| folder.path().join("in").join(name);
    parquet(&file("b.parquet"), 4, 4);
    run(asked.clone()).unwrap();
    more_came(folder.path());
    let other = |change: fn(&mut ScoreConfig)| {
        let mut config = asked.clone();
        change(&mut config);
        refused(config)
    };
    for (said, expected) in [
        (other(|it| it.predicate = Some("n > 1".into())), "--where: none then, n > 1 now)"),
        (other(|it| it.columns = vec!["id".into()]), "--columns"),
        (other(|it| it.coordinates = true), "--include"),
    ] {
        assert!(said.contains("another job") && said.contains(expected), "{said}");
        assert!(!said.contains("is new"), "{said}");
    }
    let said = Job::open(asked.clone(), described("bb")).err().expect("refused").to_string();
    assert!(said.contains("model.toml's SHA-256"), "{said}");
    fs::rename(file("b.parquet"), folder.path().join("away.parquet")).unwrap();
    let said = refused(asked.clone());
    assert!(said.contains("2 files then, 1 files now; "), "{said}");
    assert!(said.contains("b.parquet is gone)"), "{said}");
    parquet(&file("b.parquet"), 4, 5);
    let said = refused(asked);
    assert!(said.contains("another job") && said.contains("b.parquet changed)"), "{said}");
}

#[test]
fn another_name_of_the_input_is_refused_where_it_means_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let named = |inputs: &[&str]| config(folder.path(), inputs);
    parquet(&at("in/a/0.parquet"), 0, 4);
    run(named(&["in/a/*.parquet"])).unwrap();
    assert_eq!(run(named(&["in"])).unwrap().counts.scored, 4, "the same files");
    parquet(&at("in/b/0.parquet"), 4, 4);
    for wider in [&["in/**/*.parquet"][..], &["in"], &["in/a", "in/b"]] {
        let said = refused(named(wider));
        assert!(said.contains("another job") && said.contains("or remove this one"), "{said}");
        let now: Vec<_> = wider.iter().map(|name| at(name).display().to_string()).collect();
        let expected = format!("in/a/*.parquet then, {} now", now.join(", "));
        assert!(said.contains(&expected), "{said}");
    }
    // Named as it was, a live folder keeps no job from its end.
    parquet(&at("in/a/1.parquet"), 8, 4);
    let done = run(named(&["in/a/*.parquet"])).unwrap();
    assert_eq!((done.files_new, done.counts.scored), (1, 4));
    // A manifest of the form before does not say how it was named.
    let path = at("out/manifest.json");
    let mut before: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(before.as_object_mut().unwrap().remove("named").is_some());
    fs::write(&path, before.to_string()).unwrap();
    assert_eq!(run(named(&["in"])).unwrap().files_new, 2);
}
