//! The file of a flow table: a header, then entries. It survives the process, not the machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, reason};
use crate::sys::mapping::{Mapping, reserve};
use crate::sys::netlink_socket::NetlinkSocket;

use super::entry::{ENTRY_BYTES, ENTRY_WORDS, Entry};
use super::header::{Facts, HEADER_BYTES, Header, MAGIC, Phase, SEEDS, Word};

/// Disk space is taken in steps of so many entries (1 MiB), ahead of use.
const STEP: usize = (1 << 20) / ENTRY_BYTES;
/// Entries are numbered by 32 bits, and the index is at most half full.
const CAPACITY_MAX: usize = 1 << 30;

/// The mappings of a flow file. Any thread may look; one writes.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    control: Arc<Mapping>,
    entries: Arc<Mapping>,
}

impl Mapped {
    pub(crate) fn header(&self) -> Header<'_> {
        Header(self.control.words())
    }

    #[inline]
    pub(crate) fn all(&self) -> &[[std::sync::atomic::AtomicU64; ENTRY_WORDS]] {
        self.entries.words().as_chunks().0
    }

    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<Entry<'_>> {
        self.all().get(number as usize).map(Entry)
    }

    /// What the writer has published last.
    pub(crate) fn looked(&self) -> Looked {
        let header = self.header();
        Looked {
            flows: header.get(Word::Flows),
            moved: (header.get(Word::MovedPackets), header.get(Word::MovedBytes)),
            seen: (header.get(Word::SeenPackets), header.get(Word::SeenBytes)),
            now: header.now(),
        }
    }

    /// Those that have ever been used, with their numbers.
    pub(crate) fn used(&self) -> impl Iterator<Item = (u32, Entry<'_>)> {
        let count = usize::try_from(self.header().get(Word::Entries)).unwrap_or(usize::MAX);
        (0..).zip(self.all().iter().take(count).map(Entry))
    }
}

/// A look at a table that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) flows: u64,
    /// Packets and bytes since the last cut.
    pub(crate) moved: (u64, u64),
    /// Since the start.
    pub(crate) seen: (u64, u64),
    pub(crate) now: Facts,
}

/// A flow file that this process holds.
#[derive(Debug)]
pub(crate) struct FlowFile {
    pub(crate) mapped: Mapped,
    pub(crate) capacity: usize,
    room: usize,
    file: File,
    path: PathBuf,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub phase: Phase,
    /// Of the last cut that was begun; 0: none.
    pub seq: u64,
    /// Those that have not ended, as far as is known.
    pub flows: u64,
    /// It was written since the machine started, in this network namespace.
    pub same_boot: bool,
}

fn fail(path: &Path, operation: &'static str, cause: impl Into<String>) -> Error {
    Error::new(Kind::Table, format!("flow table {}", path.display()), operation, cause)
}

impl FlowFile {
    /// Makes a new file at `path` for at most `flows_max` flows, and locks it.
    ///
    /// # Errors
    /// The path exists or cannot be made; there is no space.
    pub(crate) fn create(path: &Path, flows_max: usize) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)
            .map_err(|e| fail(path, "create", reason(&e)))?;
        let made = Self::fill(file, path, flows_max.clamp(STEP, CAPACITY_MAX));
        if made.is_err() {
            // A file that could not be filled holds nothing; its own error matters more than this one's.
            let _ignored = fs::remove_file(path);
        }
        made
    }

    fn fill(file: File, path: &Path, capacity: usize) -> Result<Self, Error> {
        lock(&file, path)?;
        let all = HEADER_BYTES + capacity * ENTRY_BYTES;
        file.set_len(all as u64).map_err(|e| fail(path, "extend", reason(&e)))?;
        let made = Self::map(file, path, capacity, 0)?;
        let header = made.mapped.header();
        let random = RandomState::new();
        let mut seeds = [0; SEEDS];
        for (number, seed) in seeds.iter_mut().enumerate() {
            *seed = random.hash_one(number) | 1;
        }
        header.set_seeds(seeds);
        header.set(Word::Capacity, capacity as u64);
        let [high, low, namespace] = origin();
        header.set(Word::Boot, high);
        header.set(Word::BootLow, low);
        header.set(Word::Namespace, namespace);
        // Last: a file without its magic was never used.
        header.commit(Word::Magic, MAGIC);
        Ok(made)
    }

    /// Opens the file of a process that ended; None if that had not come to use it, then it is removed.
    ///
    /// # Errors
    /// No flow table, of another layout, damaged, or held by a living process.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| fail(path, "open", reason(&e)))?;
        lock(&file, path)?;
        let size = file.metadata().map_err(|e| fail(path, "open", reason(&e)))?.len();
        if size == 0 {
            return remove(path).map(|()| None);
        }
        if size < HEADER_BYTES as u64 {
            return Err(fail(path, "open", "too short to be a flow table"));
        }
        let peek = Mapping::shared(&file, 0, HEADER_BYTES, false).map_err(|e| fail(path, "map", reason(&e)))?;
        let header = Header(peek.words());
        // The magic is written when the rest of the header is there, and the end of the first dump when that is done:
        // without it nobody knows what is older than the table, and nothing was booked.
        if header.get(Word::Magic) == 0 || (header.get(Word::Magic) == MAGIC && header.cut_sweep() == 0) {
            return remove(path).map(|()| None);
        }
        if header.get(Word::Magic) != MAGIC {
            return Err(fail(path, "open", "not a flow table of this version"));
        }
        let capacity = usize::try_from(header.get(Word::Capacity)).unwrap_or(usize::MAX);
        let used = usize::try_from(header.get(Word::Entries)).unwrap_or(usize::MAX);
        let needed = capacity.checked_mul(ENTRY_BYTES).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        if capacity > CAPACITY_MAX || used > capacity || needed.is_none_or(|needed| needed as u64 > size) {
            return Err(fail(path, "open", "damaged header"));
        }
        Self::map(file, path, capacity, used).map(Some)
    }

    fn map(file: File, path: &Path, capacity: usize, used: usize) -> Result<Self, Error> {
        let map = |offset: u64, bytes, populate| {
            Mapping::shared(&file, offset, bytes, populate).map_err(|e| fail(path, "map", reason(&e)))
        };
        reserve(&file, 0, HEADER_BYTES as u64).map_err(|e| fail(path, "reserve space", reason(&e)))?;
        let control = Arc::new(map(0, HEADER_BYTES, true)?);
        let entries = Arc::new(map(HEADER_BYTES as u64, capacity * ENTRY_BYTES, false)?);
        Ok(Self { mapped: Mapped { control, entries }, capacity, room: used, file, path: path.to_owned() })
    }

    /// Whether entry `number` has disk space; a full disk is an answer here and not a signal at a later write.
    pub(crate) fn has_room(&mut self, number: usize) -> bool {
        if number < self.room {
            return true;
        }
        let wanted = (self.room + STEP).min(self.capacity);
        let (from, bytes) = (HEADER_BYTES + self.room * ENTRY_BYTES, (wanted - self.room) * ENTRY_BYTES);
        if number < wanted && reserve(&self.file, from as u64, bytes as u64).is_ok() {
            self.room = wanted;
        }
        number < self.room
    }

    pub(crate) fn found(&self) -> Found {
        let header = self.mapped.header();
        let origin = [header.get(Word::Boot), header.get(Word::BootLow), header.get(Word::Namespace)];
        let flows = self.mapped.used().filter(|(_, entry)| entry.state() == super::entry::State::Live).count();
        Found { phase: header.phase(), seq: header.seq(), flows: flows as u64, same_boot: origin == self::origin() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file; it can be written until it is dropped, and nobody will find that again.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(fail(path, "remove", reason(&e))),
        _ => Ok(()),
    }
}

/// Since which start of the machine, and in which network namespace: flows of another are not ours. Zeros where the
/// machine does not say.
fn origin() -> [u64; 3] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let number = u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0);
    // The number of its file is handed out again when a namespace is gone.
    let namespace = NetlinkSocket::open().and_then(|socket| socket.namespace_cookie());
    let namespace = namespace.or_else(|_| fs::metadata("/proc/thread-self/ns/net").map(|file| file.ino())).unwrap_or(0);
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    [(number >> 64) as u64, number as u64, namespace]
}

fn lock(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(fail(path, "lock", "in use by a running process")),
        Err(TryLockError::Error(e)) => Err(fail(path, "lock", reason(&e))),
    }
}
