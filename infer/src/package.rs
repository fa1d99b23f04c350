//! A model package: the folder `models/<name>/<version>/` with `model.onnx` and `model.toml`.
//!
//! Opening reads both, checks the checksum and keeps the bytes that were checked: what is loaded is
//! what was hashed. It does not need ONNX Runtime.

mod init;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use sha2::{Digest, Sha256};

pub use init::init;

use crate::descriptor::{Descriptor, Problems};
use crate::graph::{Graph, GraphError};
use crate::plan;

/// Largest model file: protobuf's own limit.
pub const MAX_MODEL_BYTES: u64 = 2 << 30;

/// Largest descriptor: a limit against a file that is not one.
const MAX_DESCRIPTOR_BYTES: u64 = 4 << 20;

/// A model and its descriptor, consistent in themselves; cheap to clone.
#[derive(Clone, Debug)]
pub struct Package {
    folder: PathBuf,
    name: String,
    version: String,
    descriptor: Arc<Descriptor>,
    graph: Arc<Graph>,
    bytes: Arc<[u8]>,
}

/// Why a folder is not a model package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A file is larger than it may be.
    #[error("{} has more than {limit} bytes, which is the limit", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes it may have.
        limit: u64,
    },
    /// The path does not end in a name and a version.
    #[error("{} does not end in NAME/VERSION, as models/delays/3 does", .path.display())]
    Unnamed {
        /// The folder.
        path: PathBuf,
    },
    /// The descriptor has problems.
    #[error("{} has {} problems:\n{problems}", .path.display(), .problems.0.len())]
    Descriptor {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Problems,
    },
    /// The model is not the one described.
    #[error(
        "{} has sha256 {has}, model.toml says {said}: it is another model or a damaged one. \
         If it is meant, put its sum into model.toml",
        .path.display()
    )]
    Checksum {
        /// The model file.
        path: PathBuf,
        /// The sum in the descriptor.
        said: String,
        /// The sum of the file.
        has: String,
    },
    /// The file is not a model.
    #[error("{}: {reason}", .path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// What is wrong with it.
        reason: GraphError,
    },
}

impl Package {
    /// Opens the package in `folder`.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let (name, version) = name_and_version(folder)?;
        let path = folder.join("model.toml");
        let text = read(&path, MAX_DESCRIPTOR_BYTES)?;
        let text = String::from_utf8(text).map_err(|error| PackageError::Unreadable {
            path: path.clone(),
            reason: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        let descriptor = Descriptor::from_toml(&text)
            .map_err(|problems| PackageError::Descriptor { path, problems })?;
        let path = folder.join("model.onnx");
        let bytes = read(&path, MAX_MODEL_BYTES)?;
        let has = checksum(&bytes);
        if has != descriptor.sha256 {
            return Err(PackageError::Checksum { path, said: descriptor.sha256, has });
        }
        let graph = Graph::parse(&bytes).map_err(|reason| PackageError::Model { path, reason })?;
        Ok(Self {
            folder: folder.to_path_buf(),
            name,
            version,
            descriptor: Arc::new(descriptor),
            graph: Arc::new(graph),
            bytes: bytes.into(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Name of the model: the folder above.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version of the model: the folder's name.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the model is, is fed and answers.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What the model file says about itself.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// SHA-256 of the package in hex: of the descriptor, in which the model file's stands. What it was fitted and
    /// checked with is not part of it.
    #[must_use]
    pub fn sha256(&self) -> String {
        checksum(self.descriptor.to_toml().as_bytes())
    }

    /// Where golden rows lie, if there are any.
    #[must_use]
    pub fn golden_path(&self) -> PathBuf {
        self.folder.join("golden.parquet")
    }

    /// The columns the model answers with, known without loading it.
    #[must_use]
    pub fn output_schema(&self) -> SchemaRef {
        plan::output_schema(&self.descriptor)
    }

    /// The model file's bytes, as they were hashed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// SHA-256 in lower-case hexadecimal.
fn checksum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn name_and_version(folder: &Path) -> Result<(String, String), PackageError> {
    let whole = folder
        .canonicalize()
        .map_err(|reason| PackageError::Unreadable { path: folder.to_path_buf(), reason })?;
    let part = |path: Option<&Path>| {
        path.and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned)
    };
    match (part(whole.parent()), part(Some(&whole))) {
        (Some(name), Some(version)) => Ok((name, version)),
        _ => Err(PackageError::Unnamed { path: folder.to_path_buf() }),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PackageError> {
    let unreadable = |reason| PackageError::Unreadable { path: path.to_path_buf(), reason };
    let file = File::open(path).map_err(unreadable)?;
    let expected = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::with_capacity(expected.min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(PackageError::TooLarge { path: path.to_path_buf(), limit });
    }
    Ok(bytes)
}
