//! The backing in one SQLite file, `elbow.db` in the state directory.
//!
//! A row for each object, the newest revision, and a bounded history of changes to look at with `sqlite3`.
//! WAL with `synchronous=FULL`: a commit that has returned survives a crash and a power cut.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lb::model::Origin;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};
use serde_json::Value;

use super::{Backing, BackingError, Commit, Kept, Row, RowKey};

/// The file, in the state directory.
const FILE: &str = "elbow.db";
/// The format written here, and the newest one understood. Each came with rows that an older reader would take for
/// damage: 2 with those of cookie keys; 3 with those of certificates, the keys of session tickets, what authorities have
/// issued, and load balancers. It is to say instead that a newer elbow made the file. An older file is read as it is, and
/// becomes one of this format with the first commit.
const FORMAT: i64 = 3;
/// Says that a file is elbow's ("elbw").
const APPLICATION_ID: i64 = 0x656c_6277;
/// The history keeps this many changes.
const HISTORY_MAX: i64 = 10_000;
/// How long somebody with a `sqlite3` prompt may hold the file before a change is refused.
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE object (
        kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, revision INTEGER NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE TABLE newest (revision INTEGER NOT NULL);
    INSERT INTO newest VALUES (0);
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL, at TEXT NOT NULL, what TEXT NOT NULL
    );";

/// The open file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    /// Of the file, as it is.
    format: i64,
}

impl Sqlite {
    /// Opens the file in a state directory, or makes it where there is none.
    pub(super) fn open(state_dir: &Path) -> Result<Self, BackingError> {
        let path = state_dir.join(FILE);
        let exists = path.try_exists().map_err(|error| failed("look for", &path, error))?;
        if !exists {
            make(state_dir, &path)?;
        }
        let connection = connect(&path)?;
        let mut sqlite = Self { path, connection, format: 0 };
        sqlite.format = sqlite.examine()?;
        sqlite.sql("open", |connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "trusted_schema", false)
        })?;
        Ok(sqlite)
    }

    /// Refuses what is not ours, is of a newer format, or is damaged, before anything is written to it. Answers with
    /// its format.
    fn examine(&self) -> Result<i64, BackingError> {
        let number = |name| self.sql("read", |db| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)));
        if number("application_id")? != APPLICATION_ID {
            return Err(self.damaged("it is no state of elbow"));
        }
        let format = number("user_version")?;
        if format > FORMAT {
            return Err(BackingError::Newer { path: self.path.clone(), found: format, known: FORMAT });
        }
        let check = self.sql("read", |db| db.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0)))?;
        if check == "ok" { Ok(format) } else { Err(self.damaged(&check)) }
    }

    fn damaged(&self, what: &str) -> BackingError {
        BackingError::Damaged { path: self.path.clone(), what: what.to_owned() }
    }

    fn sql<T>(
        &self,
        action: &'static str,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, BackingError> {
        run(&self.connection).map_err(|error| failure(action, &self.path, error))
    }
}

impl Backing for Sqlite {
    fn load(&mut self) -> Result<Kept, BackingError> {
        let (revision, found) = self.sql("read", |db| {
            let revision = db.query_row("SELECT revision FROM newest", [], |row| row.get::<_, i64>(0))?;
            let mut select = db.prepare("SELECT kind, name, owner, revision, document FROM object")?;
            let rows =
                select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
            Ok((revision, rows.collect::<rusqlite::Result<Vec<Found>>>()?))
        })?;
        let revision = u64::try_from(revision).map_err(|_| self.damaged("its revision is negative"))?;
        let row = |found: Found| {
            let (kind, name) = (found.0.clone(), found.1.clone());
            row_from(found).ok_or_else(|| {
                let row = format!("{kind} {name}");
                self.damaged(&format!("the row of {} cannot be read", row.trim_end()))
            })
        };
        Ok(Kept { revision, rows: found.into_iter().map(row).collect::<Result<_, _>>()? })
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), BackingError> {
        let failure = |error| failure("write", &self.path, error);
        let transaction = self.connection.transaction().map_err(failure)?;
        if self.format != FORMAT {
            transaction.pragma_update(None, "user_version", FORMAT).map_err(failure)?;
        }
        write(&transaction, commit).map_err(failure)?;
        transaction.commit().map_err(failure)?;
        self.format = FORMAT;
        Ok(())
    }

    fn place(&self) -> PathBuf {
        self.path.clone()
    }
}

fn write(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM object WHERE kind = ? AND name = ?")?;
    for key in &commit.delete {
        let (kind, name) = kind_and_name(key);
        delete.execute(params![kind, name])?;
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)")?;
    for row in &commit.put {
        let (kind, name) = kind_and_name(&row.key);
        let document = row.document.to_string();
        put.execute(params![kind, name, row.owner.to_string(), row.revision.cast_signed(), document])?;
    }
    let newest = commit.revision.cast_signed();
    transaction.prepare_cached("UPDATE newest SET revision = ?")?.execute(params![newest])?;
    let insert = "INSERT INTO history (revision, at, what) VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?)";
    let mut insert = transaction.prepare_cached(insert)?;
    for (revision, what) in &commit.history {
        insert.execute(params![revision.cast_signed(), what])?;
    }
    let forget = "DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?";
    transaction.prepare_cached(forget)?.execute(params![HISTORY_MAX])?;
    Ok(())
}

/// Makes an empty state under another name and moves it into place, so that a crash leaves either none or a whole one.
fn make(state_dir: &Path, path: &Path) -> Result<(), BackingError> {
    let unfinished = state_dir.join(format!("{FILE}.new"));
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut left_over = unfinished.clone().into_os_string();
        left_over.push(suffix);
        match std::fs::remove_file(&left_over) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("remove", Path::new(&left_over), error));
            }
            _ => {}
        }
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
    drop(file.map_err(|error| failed("make", &unfinished, error))?);
    let fill = || {
        let mut connection = Connection::open_with_flags(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(|error| failure("make", &unfinished, error))?;
    std::fs::rename(&unfinished, path).map_err(|error| failed("make", path, error))?;
    let directory = File::open(state_dir).and_then(|directory| directory.sync_all());
    directory.map_err(|error| failed("make", path, error))
}

fn connect(path: &Path) -> Result<Connection, BackingError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failure("open", path, error))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|error| failure("open", path, error))?;
    Ok(connection)
}

fn failure(action: &'static str, path: &Path, error: rusqlite::Error) -> BackingError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            BackingError::Damaged { path: path.to_owned(), what: error.to_string() }
        }
        _ => failed(action, path, error),
    }
}

fn failed(
    action: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BackingError {
    BackingError::Failed { action, path: path.to_owned(), source: source.into() }
}

/// The columns of `object`.
type Found = (String, String, String, i64, String);

fn row_from((kind, name, owner, revision, document): Found) -> Option<Row> {
    let in_group = |name: &str| name.split_once('/').map(|(group, id)| (group.to_owned(), id.to_owned()));
    let key = match kind.as_str() {
        "listener" => RowKey::Listener(name),
        "certificate" => RowKey::Certificate(name),
        "ticket_keys" => RowKey::TicketKeys,
        "acme_account" => RowKey::AcmeAccount,
        "issued" => RowKey::Issued(name),
        "load_balancer" => {
            let (account, rest) = name.split_once('/')?;
            let (region, name) = rest.split_once('/')?;
            RowKey::LoadBalancer(account.to_owned(), region.to_owned(), name.to_owned())
        }
        "target_group" => RowKey::TargetGroup(name),
        "target" => in_group(&name).map(|(group, id)| RowKey::Target(group, id))?,
        "adjusted" => in_group(&name).map(|(group, id)| RowKey::Adjusted(group, id))?,
        "cookie_keys" => RowKey::CookieKeys,
        _ => return None,
    };
    let owner = Origin::ALL.into_iter().find(|origin| origin.to_string() == owner)?;
    let document: Value = serde_json::from_str(&document).ok()?;
    Some(Row { key, owner, revision: u64::try_from(revision).ok()?, document })
}

/// Neither names nor ids hold a slash.
fn kind_and_name(key: &RowKey) -> (&'static str, String) {
    match key {
        RowKey::Listener(name) => ("listener", name.clone()),
        RowKey::Certificate(name) => ("certificate", name.clone()),
        RowKey::TicketKeys => ("ticket_keys", String::new()),
        RowKey::AcmeAccount => ("acme_account", String::new()),
        RowKey::Issued(name) => ("issued", name.clone()),
        RowKey::LoadBalancer(account, region, name) => ("load_balancer", format!("{account}/{region}/{name}")),
        RowKey::TargetGroup(name) => ("target_group", name.clone()),
        RowKey::Target(group, id) => ("target", format!("{group}/{id}")),
        RowKey::Adjusted(group, id) => ("adjusted", format!("{group}/{id}")),
        RowKey::CookieKeys => ("cookie_keys", String::new()),
    }
}
