//! An archive folder that cannot be written ends the process with the folder's name; what was
//! scored waits in its topic and is archived once the folder is right.

use std::time::Duration;

use crate::harness::{Broker, Pipeline, flight, folder, scored};

const SOON: Duration = Duration::from_secs(40);

#[test]
fn a_folder_that_cannot_be_written_is_said_and_harms_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let pipeline = Pipeline::new(broker, "unwritable", &[]);
    pipeline.send(&[flight("a", ""), flight("b", "")]);
    let place = folder();
    let file = place.path().join("file");
    std::fs::write(&file, "in the way").expect("the build's folder is writable");
    // Permissions do not hold back root, who may run this; what is no folder holds back everybody.
    for directory in [file.join("below"), "/proc/tidegate".into()] {
        let says = format!("archive.directory={}", directory.display());
        let mut child = pipeline.run_with("a", &[&says]);
        assert_eq!(child.wait(SOON).code(), Some(2), "{}", child.log());
        let said = child.wait_for(&directory.display().to_string(), Duration::ZERO);
        assert!(said.contains("archive.directory"), "no way out is named: {said}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "in the way");
    scored(&pipeline);
    assert_eq!(pipeline.sql("SELECT count(*) FROM results"), "2");
}
