//! ONNX Runtime's library: found, looked at and loaded once per process.
//!
//! Nothing of `ort` is called before the file has been looked at: `ort` loads the library behind the
//! first call, and panics where it cannot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

/// Version of ONNX Runtime that the tests and the set-up use.
pub const ORT_VERSION: &str = "1.31.1";

/// Environment variable that names the library file and overrides every other place.
pub const LIBRARY_VARIABLE: &str = "TIDEGATE_ORT_LIB";

#[cfg(target_os = "macos")]
const LIBRARY_FILE: &str = "libonnxruntime.1.31.1.dylib";
#[cfg(not(target_os = "macos"))]
const LIBRARY_FILE: &str = "libonnxruntime.so.1.31.1";

/// The loaded library; cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    path: Arc<Path>,
    environment: Environment,
}

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No library in any of the places.
    #[error(
        "ONNX Runtime's library was not found in {}. Run `make setup-ort`, or set {LIBRARY_VARIABLE} to the \
         file `capi/{LIBRARY_FILE}` of the Python wheel onnxruntime=={ORT_VERSION}",
        paths(.tried)
    )]
    Missing {
        /// The files looked for, in order.
        tried: Vec<PathBuf>,
    },
    /// There is something, and it is not a library file.
    #[error("{} is {found}, not ONNX Runtime's library file; set {LIBRARY_VARIABLE} to one", .path.display())]
    NotAFile {
        /// The path looked at.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// It cannot be loaded, or is too old.
    #[error(
        "{} cannot be used as ONNX Runtime: {reason}. Set {LIBRARY_VARIABLE} to the library of \
         onnxruntime=={ORT_VERSION} for this platform",
        .path.display()
    )]
    Unusable {
        /// The path loaded.
        path: PathBuf,
        /// What the loader or the library said.
        reason: String,
    },
    /// The process has loaded another file already; a process holds one runtime.
    #[error("{} was asked for, but this process has loaded {}", .path.display(), .loaded.display())]
    Another {
        /// The path asked for.
        path: PathBuf,
        /// The path loaded before.
        loaded: PathBuf,
    },
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Finds the library and loads it: [`LIBRARY_VARIABLE`], the cache folder, beside the executable.
    pub fn find() -> Result<Self, RuntimeError> {
        Self::load(&locate(
            |name| std::env::var_os(name).map(PathBuf::from),
            std::env::current_exe().ok(),
        )?)
    }

    /// Loads the library at `path`; a second call with the same path returns the same runtime.
    pub fn load(path: &Path) -> Result<Self, RuntimeError> {
        let path = regular_file(path)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return if *runtime.path == *path {
                Ok(runtime.clone())
            } else {
                Err(RuntimeError::Another { path, loaded: runtime.path.to_path_buf() })
            };
        }
        let unusable = |reason: String| RuntimeError::Unusable { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("tidegate")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let runtime = Self { path: path.into(), environment };
        Ok(loaded.insert(runtime).clone())
    }

    /// The library's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The library's path by the order of places; `variable` reads the process environment.
fn locate(
    variable: impl Fn(&str) -> Option<PathBuf>,
    executable: Option<PathBuf>,
) -> Result<PathBuf, RuntimeError> {
    if let Some(path) = variable(LIBRARY_VARIABLE).filter(|path| !path.as_os_str().is_empty()) {
        return Ok(path);
    }
    let cache = variable("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let tried: Vec<PathBuf> = cache
        .map(|cache| cache.join("tidegate/onnxruntime").join(ORT_VERSION).join(LIBRARY_FILE))
        .into_iter()
        .chain(executable.as_deref().and_then(Path::parent).map(|folder| folder.join(LIBRARY_FILE)))
        .collect();
    match tried.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(RuntimeError::Missing { tried }),
    }
}

/// Opening a pipe or a device would wait for ever, so only a regular file goes to the loader.
fn regular_file(path: &Path) -> Result<PathBuf, RuntimeError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(metadata) if metadata.is_dir() => {
            Err(RuntimeError::NotAFile { path, found: "a folder".into() })
        }
        Ok(_) => Err(RuntimeError::NotAFile { path, found: "not a regular file".into() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(RuntimeError::Missing { tried: vec![path] })
        }
        Err(error) => Err(RuntimeError::NotAFile { path, found: format!("unreadable ({error})") }),
    }
}

fn log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {
            tracing::trace!(target: "onnxruntime", location, "{message}")
        }
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", location, "{message}"),
        // Whoever called gets the error too; at most a second line for it, never the only one.
        LogLevel::Error | LogLevel::Fatal => {
            tracing::debug!(target: "onnxruntime", location, "{message}")
        }
    }
}

fn paths(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_places() {
        let folder = tempfile::tempdir().unwrap();
        let cached =
            folder.path().join("tidegate/onnxruntime").join(ORT_VERSION).join(LIBRARY_FILE);
        let beside = folder.path().join("bin").join(LIBRARY_FILE);
        let executable = || Some(folder.path().join("bin/tidegate"));
        let cache = |name: &str| (name == "XDG_CACHE_HOME").then(|| folder.path().to_path_buf());

        let missing = locate(cache, executable()).unwrap_err().to_string();
        for part in [LIBRARY_VARIABLE, "make setup-ort", &cached.display().to_string()] {
            assert!(missing.contains(part), "{missing}");
        }
        for path in [&beside, &cached] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
            assert_eq!(&locate(cache, executable()).unwrap(), path);
        }
        let named = |name: &str| (name == LIBRARY_VARIABLE).then(|| PathBuf::from("/x"));
        assert_eq!(locate(named, executable()).unwrap(), PathBuf::from("/x"));
    }

    #[test]
    fn what_is_not_a_library_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.so");
        std::fs::write(&file, b"not an ELF file").unwrap();
        for (path, part) in [
            (folder.path(), "is a folder"),
            (&folder.path().join("gone"), "was not found"),
            (Path::new("/dev/zero"), "not a regular file"),
        ] {
            let message = regular_file(path).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(LIBRARY_VARIABLE), "{message}");
        }
        // Another test of this process may have loaded the real library first.
        let message = Runtime::load(&file).unwrap_err().to_string();
        assert!(message.contains("cannot be used") || message.contains("has loaded"), "{message}");
    }
}
