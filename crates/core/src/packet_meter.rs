//! Threads that read packet sockets into tables, and what others may ask of them.
//!
//! Each thread has its own socket, ring and table file, and takes no lock while it works. It is asked by messages, and
//! woken for them.

mod worker;

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libc::sock_filter;

use crate::batch::InterfaceNames;
use crate::error::{Error, Kind};
use crate::flow::Sides;
use crate::live::{Glance, Order, Snapshot, snapshot};
use crate::posting::KeySpec;
use crate::sources::packet::filter::INSTRUCTIONS_MAX;
use crate::sources::packet::interfaces::{Interfaces, Selection};
use crate::sources::packet::port::Port;
use crate::sources::packet::{FAMILIES, Wanted, snap_bytes};
use crate::sys::clock::packet_time_ns;
use crate::sys::packet_socket::{PacketSocket, interfaces};
use crate::table::closed::Closed;
use crate::table::file::TableFile;
use crate::table::header::{Content, GroupSpec, GroupState, Word};
use crate::table::live::LiveTable;
use crate::table::several::{Several, path_of};

use worker::{Cut, Worker};

/// Threads of one meter.
pub const THREADS_MAX: usize = 64;
/// What is given may not fill the program to its end: there has to be room for our own beginning.
pub const FILTER_MAX: usize = INSTRUCTIONS_MAX / 2;

/// An instruction of classic BPF.
#[must_use]
pub fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// What a meter is made of.
#[derive(Clone, Debug)]
pub struct Config {
    pub spec: KeySpec,
    pub rows_max: usize,
    pub sides: Sides,
    pub selection: Selection,
    pub ring_bytes: usize,
    pub retire_milliseconds: u32,
    pub threads: usize,
    /// 4, 6 or both.
    pub families: Vec<u8>,
    /// At most [`FILTER_MAX`] instructions.
    pub filter: Vec<sock_filter>,
}

/// The handle of the threads. Any thread may use it.
#[derive(Debug)]
pub struct PacketMeter {
    config: Config,
    wanted: Wanted,
    /// Held while a generation is begun or closed; nobody who only looks waits for that.
    running: Mutex<Option<Running>>,
    interfaces: Mutex<Option<(Arc<Interfaces>, Arc<PacketSocket>)>>,
    rows_expected: AtomicUsize,
    /// Never locked by a thread that receives.
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Running {
    workers: Vec<Worker>,
}

/// What is open, for those who only look.
#[derive(Debug, Default)]
struct Open {
    /// Of the generation that is being closed first, then of the one that goes on.
    tables: Vec<Arc<LiveTable>>,
    /// What closed generations had got.
    closed: GroupState,
    names: InterfaceNames,
}

impl PacketMeter {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let wanted = Wanted {
            ring_bytes: config.ring_bytes,
            retire_milliseconds: config.retire_milliseconds,
            families: FAMILIES.map(|(version, _)| config.families.contains(&version)),
            snap_bytes: snap_bytes(&config.spec),
            given: config.filter.clone(),
        };
        let (running, interfaces, open) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { config, wanted, running, interfaces, rows_expected: AtomicUsize::new(0), open }
    }

    /// Opens the sockets in the network namespace of the calling thread; what comes goes into a table at `path`.
    ///
    /// # Errors
    /// It has begun; a capability is missing; the kernel refuses; the files cannot be made.
    pub fn begin(&self, path: &Path) -> Result<(), Error> {
        let mut running = lock(&self.running);
        if running.is_some() {
            return Err(Error::new(Kind::Source, "packet meter", "begin", "it has begun already"));
        }
        let count = self.config.threads.clamp(1, THREADS_MAX);
        let ports = Port::open_all(&self.wanted, count)?;
        let Some(first) = ports.first() else { return Ok(()) };
        let (known, socket) = (Arc::new(Interfaces::new(self.config.selection.clone())), Arc::clone(&first.socket));
        let there = interfaces().map_err(|e| Error::io("packet socket", "list interfaces", &e))?;
        known.refresh(&socket, &there.into_iter().collect());
        let files = self.files(path, count)?;
        let tables = files.iter().map(|file| Arc::new(file.live())).collect();
        let mut workers = Vec::with_capacity(count);
        for (port, file) in ports.into_iter().zip(files) {
            workers.push(Worker::start(port, file, self.wanted.clone(), Arc::clone(&known))?);
        }
        lock(&self.open).tables = tables;
        *lock(&self.interfaces) = Some((known, socket));
        *running = Some(Running { workers });
        Ok(())
    }

    /// The files of a generation, the one at `path` last: where it is, all are.
    fn files(&self, path: &Path, count: usize) -> Result<Vec<TableFile>, Error> {
        let mut files = Vec::with_capacity(count);
        for number in (0..count).rev() {
            let made = self.file(&path_of(path, number), path, number, count);
            match made {
                Ok(file) => files.push(file),
                Err(error) => {
                    // What went wrong is what matters.
                    let _left: Vec<_> = files.iter().map(TableFile::remove).collect();
                    return Err(error);
                }
            }
        }
        files.reverse();
        Ok(files)
    }

    fn file(&self, path: &Path, first: &Path, number: usize, count: usize) -> Result<TableFile, Error> {
        if number > 0 && !first.exists() {
            // Left by a process that died while it made or removed these: it is no part of any generation.
            let _not_there = std::fs::remove_file(path);
        }
        let group = GroupSpec {
            number: u16::try_from(number).unwrap_or(0),
            sides: self.config.sides,
            strict_family: 0,
            copy_range_bytes: self.wanted.snap_bytes,
        };
        let rows = (self.config.rows_max, self.rows_expected.load(Relaxed));
        let file = TableFile::create_for(Content::Packets, path, &self.config.spec, &[group], rows)?;
        file.header().set(Word::Files, count as u64);
        Ok(file)
    }

    /// Goes on in a new table at `path`. What came until now is closed, and nothing of what comes.
    ///
    /// # Errors
    /// It has not begun; the files cannot be made; a thread has ended.
    pub fn roll(&self, path: &Path) -> Result<Several, Error> {
        let running = lock(&self.running);
        let Some(Running { workers }) = running.as_ref() else { return Err(not_begun("roll")) };
        let files = self.files(path, workers.len())?;
        let open = files.iter().map(|file| Arc::new(file.live())).collect::<Vec<_>>();
        // Before the threads write into them, so that nobody who looks finds neither the old tables nor the new ones.
        lock(&self.open).tables.extend(open);
        let at_ns = packet_time_ns();
        let answers: Vec<_> =
            workers.iter().zip(files).map(|(worker, file)| worker.cut(Cut::Roll(Box::new(file)), at_ns)).collect();
        self.collect(answers)
    }

    /// Closes what came until now, and the sockets.
    ///
    /// # Errors
    /// It has not begun; a thread has ended.
    pub fn end(&self) -> Result<Several, Error> {
        let mut running = lock(&self.running);
        let Some(Running { workers }) = running.take() else { return Err(not_begun("end")) };
        let at_ns = packet_time_ns();
        let answers: Vec<_> = workers.iter().map(|worker| worker.cut(Cut::End, at_ns)).collect();
        let closed = self.collect(answers);
        drop(workers);
        self.keep_names();
        closed
    }

    fn collect(&self, answers: Vec<Result<Receiver<TableFile>, Error>>) -> Result<Several, Error> {
        let mut files = Vec::with_capacity(answers.len());
        for answer in answers {
            files.push(Closed::new(answer?.recv().map_err(|_| worker::gone())?, false));
        }
        let closed = Several::new(files);
        self.rows_expected.store(closed.rows_to_expect(), Relaxed);
        // In one step, so that sums over all generations never go back.
        let mut open = lock(&self.open);
        let count = closed.files().min(open.tables.len());
        open.tables.drain(..count);
        open.closed.merge(&closed.totals);
        drop(open);
        Ok(closed)
    }

    /// Interfaces came, went or were renamed. `names` are those that the caller knows, by index.
    pub fn interfaces_changed(&self, names: &InterfaceNames) {
        if let Some((known, socket)) = lock(&self.interfaces).as_ref() {
            known.refresh(socket, names);
        }
        if let Some(Running { workers }) = lock(&self.running).as_ref() {
            workers.iter().for_each(Worker::wake);
        }
    }

    /// The interfaces that count and were seen, by index.
    #[must_use]
    pub fn interface_names(&self) -> InterfaceNames {
        match lock(&self.interfaces).as_ref() {
            Some((known, _)) => known.counted(),
            None => lock(&self.open).names.clone(),
        }
    }

    fn keep_names(&self) {
        let names = lock(&self.interfaces).take().map(|(known, _)| known.counted());
        lock(&self.open).names = names.unwrap_or_default();
    }

    /// How far the open generations are, and the sums over all since the start. The threads that receive are not asked.
    #[must_use]
    pub fn glance(&self) -> (Glance, GroupState) {
        let open = lock(&self.open);
        let (tables, mut sum) = (open.tables.clone(), open.closed);
        drop(open);
        let glance = Glance::of(&tables);
        sum.merge(&glance.totals);
        (glance, sum)
    }

    /// Sums over all generations since the start.
    ///
    /// # Errors
    /// A thread has ended by itself.
    pub fn stats(&self) -> Result<GroupState, Error> {
        // While a generation is closed the threads are there: that is what closes it.
        if let Ok(running) = self.running.try_lock()
            && let Some(Running { workers }) = running.as_ref()
            && workers.iter().any(Worker::is_gone)
        {
            return Err(worker::gone());
        }
        Ok(self.glance().1)
    }

    /// The rows of the open generations, added up, while packets go on coming. The threads that receive are not asked.
    ///
    /// # Errors
    /// Arrow's own.
    pub fn snapshot(&self, top: Option<(usize, Order)>) -> Result<Snapshot, Error> {
        let tables = lock(&self.open).tables.clone();
        let names = lock(&self.interfaces).as_ref().map(|(known, _)| known.names()).unwrap_or_default();
        snapshot(&self.config.spec, &tables, &names, top)
    }

    /// Ends the threads. Open generations stay on disk as they are.
    pub fn close(&self) {
        drop(lock(&self.running).take());
        self.keep_names();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_begun(operation: &'static str) -> Error {
    Error::new(Kind::Source, "packet meter", operation, "it has not begun")
}

/// How long a cut may wait for the kernel to hand over a block that has packets: it looks once in `retire`, and hands
/// over what was there the time before.
fn patience(retire_milliseconds: u32) -> Duration {
    Duration::from_millis(u64::from(retire_milliseconds) * 2 + 200)
}
