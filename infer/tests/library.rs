//! A library that is not ONNX Runtime, or one too old: an error that names the fix, and the process
//! can load the right one afterwards. Alone in its binary, since a process loads one library.

use std::process::Command;

use infer::Runtime;

/// Builds a library that answers as ONNX Runtime `version` would; `None` without a C compiler.
fn library(folder: &std::path::Path, name: &str, source: &str) -> Option<std::path::PathBuf> {
    let (code, library) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&code, source).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn other_libraries_are_refused_and_the_right_one_still_loads() {
    let folder = tempfile::tempdir().unwrap();
    let old = "#include <stdint.h>\nstatic const void *api(uint32_t v) { return 0; }\n\
        static const char *version(void) { return \"1.16.3\"; }\n\
        static const struct { const void *(*a)(uint32_t); const char *(*v)(void); } base = {api, version};\n\
        const void *OrtGetApiBase(void) { return &base; }\n";
    for (name, source, part) in
        [("old", old, "1.16.3"), ("other", "int nothing;\n", "OrtGetApiBase")]
    {
        let Some(path) = library(folder.path(), name, source) else {
            assert!(
                std::env::var_os("CI").is_none_or(|value| value != "true"),
                "CI needs a C compiler"
            );
            eprintln!("SKIPPED: no C compiler `cc`");
            return;
        };
        let message = Runtime::load(&path).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("TIDEGATE_ORT_LIB"), "{message}");
    }
    if let Ok(runtime) = Runtime::find() {
        assert!(Runtime::load(runtime.path()).is_ok(), "the same library again");
    }
}
