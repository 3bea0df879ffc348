//! The state directory itself: made private, and held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::OpenError;

/// The file that is locked, with the holder's process id in it.
const FILE: &str = "lock";

/// A held state directory. The kernel frees it when this is dropped, and when the process dies in whatever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory where it is not there, and takes it.
    pub(super) fn take(state_dir: &Path) -> Result<Self, OpenError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::File { action, path, source }
        };
        make_directory(state_dir).map_err(failed("make the state directory", state_dir))?;
        let path = state_dir.join(FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(failed("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::Held { dir: state_dir.to_owned(), holder: holder(&mut file) });
            }
            Err(error) => return Err(failed("lock", &path)(error.into())),
        }
        note_holder(&mut file).map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn make_directory(state_dir: &Path) -> io::Result<()> {
    if state_dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let parent = state_dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
