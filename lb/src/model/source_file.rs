//! A file that something wanted is read from, and how it stood then. Not here: reading it (`control`).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file that something wanted is read from. Two are equal when they lie at one path: how a file stood is no part of
/// what is wanted.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// How it stood when it was read; none: it was not.
    pub read: Option<FileStamp>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl SourceFile {
    /// The file at `path`, not read yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: None }
    }
}

impl PartialEq for SourceFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for SourceFile {}

impl FileStamp {
    /// How a file stands that the system told this of. Ask of the open file before reading it, so that what is written
    /// meanwhile makes another stamp.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.size(), modified }
    }
}
