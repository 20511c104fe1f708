//! A table in a file: header, receive buffer, rows. It survives the process; a restart opens it again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, reason};
use crate::flow::Key;
use crate::posting::KeySpec;
use crate::sys::mapping::{Mapping, PAGE_BYTES, reserve};

use super::header::{Content, GROUPS_MAX, GroupSpec, Header, Word};
use super::index::Index;
use super::{CONTROL_ROWS, SPECIALS, STEP_BYTES, Shape, Table, capacity};

/// The largest datagram that NFLOG makes of a 128 KiB buffer, rounded up by the kernel's allocator, and room in front of
/// it for what was gathered before.
pub const BUFFER_BYTES: usize = GATHER_BYTES + DATAGRAM_BYTES_MAX;
/// Small datagrams are gathered up to here before they are worked off.
pub const GATHER_BYTES: usize = 128 * 1024;
pub const DATAGRAM_BYTES_MAX: usize = 320 * 1024;

/// The file behind a table's rows.
#[derive(Debug)]
pub(crate) struct Backing {
    file: File,
    path: PathBuf,
    rows_at: u64,
}

impl Backing {
    /// Writes a part of the rows, `start` bytes from their beginning. Whoever has them mapped sees it.
    #[cfg(feature = "bpf")]
    pub(super) fn write(&self, start: usize, bytes: &[u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, self.rows_at + start as u64)
    }

    /// Takes disk space for the first `bytes` of the rows.
    pub(crate) fn reserve(&self, bytes: usize) -> std::io::Result<()> {
        reserve(&self.file, self.rows_at, bytes as u64)
    }
}

/// What a file is mapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Packets come at any time: pages are made before.
    Receiving,
    /// It is written once, as a whole: pages are made by writing.
    #[cfg(feature = "bpf")]
    Writing,
}

/// A table file that this process writes, with its receive buffer.
#[derive(Debug)]
pub struct TableFile {
    pub table: Table,
    pub(crate) control: Arc<Mapping>,
    pub(crate) buffer: Mapping,
    pub spec: KeySpec,
    pub groups: Vec<GroupSpec>,
}

fn fail(path: &Path, operation: &'static str, cause: impl Into<String>) -> Error {
    Error::new(Kind::Table, format!("table {}", path.display()), operation, cause)
}

impl TableFile {
    /// Makes a new file at `path` and locks it. `rows_expected` sizes the index, so that it need not grow on the way.
    ///
    /// # Errors
    /// The path exists or cannot be made, or there is no space; too many groups.
    pub fn create(
        path: &Path,
        spec: &KeySpec,
        groups: &[GroupSpec],
        rows_max: usize,
        rows_expected: usize,
    ) -> Result<Self, Error> {
        Self::create_for(Content::Messages, path, spec, groups, (rows_max, rows_expected))
    }

    /// As [`Self::create`], for what the buffer is to hold.
    pub(crate) fn create_for(
        content: Content,
        path: &Path,
        spec: &KeySpec,
        groups: &[GroupSpec],
        rows: (usize, usize),
    ) -> Result<Self, Error> {
        Self::create_with(Use::Receiving, content, path, spec, groups, rows)
    }

    pub(super) fn create_with(
        use_of: Use,
        content: Content,
        path: &Path,
        spec: &KeySpec,
        groups: &[GroupSpec],
        rows: (usize, usize),
    ) -> Result<Self, Error> {
        if groups.len() > GROUPS_MAX {
            return Err(fail(path, "create", format!("more than {GROUPS_MAX} groups")));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)
            .map_err(|e| fail(path, "create", reason(&e)))?;
        let made = Self::fill(use_of, content, file, path, spec, groups, rows);
        if made.is_err() {
            // A file that could not be filled holds nothing; its own error matters more than this one's.
            let _ignored = fs::remove_file(path);
        }
        made
    }

    #[allow(clippy::too_many_arguments, reason = "each is handed on")]
    fn fill(
        use_of: Use,
        content: Content,
        file: File,
        path: &Path,
        spec: &KeySpec,
        groups: &[GroupSpec],
        (rows_max, rows_expected): (usize, usize),
    ) -> Result<Self, Error> {
        lock(&file, path)?;
        let shape = Shape::of(spec);
        let header_bytes = Header::bytes_for(spec.local.len(), content);
        let rows_at = header_bytes + BUFFER_BYTES;
        let capacity = capacity(rows_max, 0);
        let step_rows = STEP_BYTES / (shape.stride * size_of::<u64>());
        let all = (rows_at + shape.bytes(capacity.max(step_rows))) as u64;
        file.set_len(all).map_err(|e| fail(path, "extend", reason(&e)))?;
        let steps = rows_expected.min(capacity).div_ceil(step_rows).max(1);
        let room = (steps * step_rows).min(capacity.max(step_rows));
        let reserved = rows_at + shape.bytes(room);
        reserve(&file, 0, reserved as u64).map_err(|e| fail(path, "reserve space", reason(&e)))?;
        let limits = (rows_max, rows_expected);
        let mut opened = Self::map(use_of, file, path, spec.clone(), groups.to_vec(), limits, header_bytes)?;
        if use_of == Use::Receiving {
            opened.table.rows.populate(shape.bytes(rows_expected));
        }
        opened.table.room = room.min(capacity);
        let header = opened.header();
        header.write_spec(spec);
        for (index, group) in groups.iter().enumerate() {
            header.write_group(index, group);
        }
        header.set(Word::HeaderBytes, header_bytes as u64);
        header.set(Word::BufferBytes, BUFFER_BYTES as u64);
        header.set(Word::RowsMax, rows_max as u64);
        header.set(Word::Groups, groups.len() as u64);
        header.set(Word::PendingEpoch, u64::MAX);
        header.write_magic(spec, content);
        opened.table.insert_first();
        Ok(opened)
    }

    /// Opens the file of a process that died. Its rows are indexed again.
    ///
    /// # Errors
    /// No table file, of another layout, or still held by a living process.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| fail(path, "open", reason(&e)))?;
        lock(&file, path)?;
        let size = file.metadata().map_err(|e| fail(path, "open", reason(&e)))?.len();
        if size < PAGE_BYTES as u64 {
            return Err(fail(path, "open", "too short to be a table file"));
        }
        let peek = Mapping::shared(&file, 0, PAGE_BYTES, false).map_err(|e| fail(path, "map", reason(&e)))?;
        let header = Header(peek.words());
        if header.content().is_none() {
            return Err(fail(path, "open", "not a table file of this version"));
        }
        let header_bytes = usize::try_from(header.get(Word::HeaderBytes)).unwrap_or(usize::MAX);
        let rows_max = usize::try_from(header.get(Word::RowsMax)).unwrap_or(usize::MAX);
        if header_bytes as u64 > size || header.get(Word::BufferBytes) != BUFFER_BYTES as u64 || rows_max as u64 > size
        {
            return Err(fail(path, "open", "damaged header"));
        }
        let whole = Mapping::shared(&file, 0, header_bytes, false).map_err(|e| fail(path, "map", reason(&e)))?;
        let header = Header(whole.words());
        let spec = header.read_spec().ok_or_else(|| fail(path, "open", "damaged header"))?;
        let count = usize::try_from(header.get(Word::Groups)).unwrap_or(usize::MAX).min(GROUPS_MAX);
        let groups: Vec<_> = (0..count).map(|index| header.read_group(index)).collect();
        let rows = usize::try_from(header.get_at(CONTROL_ROWS)).unwrap_or(usize::MAX);
        let limits = (rows_max, rows.min(rows_max));
        let mut opened = Self::map(Use::Receiving, file, path, spec, groups, limits, header_bytes)?;
        if rows > opened.table.capacity {
            return Err(fail(path, "open", "damaged header"));
        }
        if !opened.table.index_again(rows) {
            return Err(fail(path, "open", "no memory for its index"));
        }
        Ok(opened)
    }

    fn map(
        use_of: Use,
        file: File,
        path: &Path,
        spec: KeySpec,
        groups: Vec<GroupSpec>,
        (rows_max, rows_expected): (usize, usize),
        header_bytes: usize,
    ) -> Result<Self, Error> {
        let shape = Shape::of(&spec);
        let capacity = capacity(rows_max, 0);
        let rows_at = (header_bytes + BUFFER_BYTES) as u64;
        let map = |offset: u64, bytes, populate| {
            Mapping::shared(&file, offset, bytes, populate).map_err(|e| fail(path, "map", reason(&e)))
        };
        let is_at_once = use_of == Use::Receiving;
        let control = Arc::new(map(0, header_bytes, is_at_once)?);
        let buffer = map(header_bytes as u64, BUFFER_BYTES, is_at_once)?;
        let rows = Arc::new(map(rows_at, shape.bytes(capacity), false)?);
        let room = STEP_BYTES / (shape.stride * size_of::<u64>());
        let table = Table {
            control: Arc::clone(&control),
            rows,
            shape,
            index: Index::new(rows_expected)?,
            count: 0,
            applied: 0,
            room: room.min(capacity),
            capacity,
            rows_max: rows_max.min(capacity),
            backing: Some(Backing { file, path: path.to_owned(), rows_at }),
        };
        Ok(Self { table, control, buffer, spec, groups })
    }

    pub(crate) fn header(&self) -> Header<'_> {
        Header(self.control.words())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.table.backing.as_ref().map_or(Path::new(""), |backing| &backing.path)
    }

    /// It has been renamed.
    #[cfg(feature = "bpf")]
    pub(super) fn set_path(&mut self, path: &Path) {
        if let Some(backing) = &mut self.table.backing {
            path.clone_into(&mut backing.path);
        }
    }

    /// The labels by their numbers.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.header().labels()
    }

    /// Removes the file: its interval has been committed. One that somebody else has removed is gone as well.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self) -> Result<(), Error> {
        match fs::remove_file(self.path()) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(fail(self.path(), "remove", reason(&e))),
            _ => Ok(()),
        }
    }
}

impl Table {
    /// Builds the index from `count` rows that are already there. False if there is no memory for it.
    fn index_again(&mut self, count: usize) -> bool {
        self.count = count;
        self.room = self.room.max(count);
        let keys: Vec<Key> = self.rows().map(|(key, _)| key).collect();
        for (row, key) in (0..).zip(&keys) {
            let tag = self.tag(key);
            if !self.index.make_room() {
                return false;
            }
            self.index.insert(tag, row);
        }
        self.insert_first();
        true
    }

    /// How many rows a generation of about this size should expect.
    #[must_use]
    pub fn rows_to_expect(&self) -> usize {
        self.count.saturating_sub(SPECIALS)
    }
}

fn lock(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(fail(path, "lock", "in use by a running process")),
        Err(TryLockError::Error(e)) => Err(fail(path, "lock", reason(&e))),
    }
}
