//! A thread that receives into tables, and what others may ask of it.
//!
//! The thread takes no lock while it works. It is asked by messages, and woken for them.

use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::batch::InterfaceNames;
use crate::error::{Error, Kind};
use crate::live::{Glance, Order, Snapshot, snapshot};
use crate::posting::KeySpec;
use crate::sources::nflog::generation::Generation;
use crate::sources::nflog::port::Gathering;
use crate::sys::poll::{Waker, wait};
use crate::table::closed::Closed;
use crate::table::file::TableFile;
use crate::table::header::{GroupSpec, GroupState};
use crate::table::live::LiveTable;
use crate::trace::{Level, Noted, Trace};

/// How often a port may have its turn before the others are looked at again.
const TURNS: usize = 16;

/// What a meter is made of.
#[derive(Clone, Debug)]
pub struct Config {
    pub spec: KeySpec,
    pub rows_max: usize,
    pub gathering: Gathering,
    /// With a queue found empty, wait so long before looking again: one wake-up for many small datagrams.
    pub gather: Duration,
    pub trace_level: Level,
    pub trace_max: usize,
}

enum Command {
    Add(Box<Generation>),
    Roll(Box<TableFile>, Sender<Result<TableFile, Error>>),
    End(Sender<Result<TableFile, Error>>),
    Stats(Sender<Result<GroupState, Error>>),
    Stop,
}

/// The handle of a meter's thread. Any thread may use it.
#[derive(Debug)]
pub struct Meter {
    config: Config,
    trace: Arc<Trace>,
    waker: Arc<Waker>,
    commands: Mutex<Sender<Command>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    rows_expected: AtomicUsize,
    /// Never locked by the thread that receives.
    open: Mutex<Open>,
}

/// What is open, for those who only look.
#[derive(Debug, Default)]
struct Open {
    /// Oldest first.
    tables: Vec<Arc<LiveTable>>,
    /// What closed generations had got.
    closed: GroupState,
}

impl Meter {
    /// Starts the thread; it waits until there is a generation.
    ///
    /// # Errors
    /// No thread or file descriptor is left.
    pub fn start(config: Config) -> Result<Self, Error> {
        let waker = Arc::new(Waker::new().map_err(|e| Error::io("meter", "make an eventfd", &e))?);
        let (commands, inbox) = channel();
        let mut worker = Worker {
            inbox,
            waker: Arc::clone(&waker),
            gather: config.gather,
            generations: Vec::new(),
            closed: GroupState::default(),
            failure: None,
        };
        let thread = Builder::new()
            .name("netledger-nflog".to_owned())
            .spawn(move || worker.run())
            .map_err(|e| Error::io("meter", "start a thread", &e))?;
        let trace = Trace::new(config.trace_level, config.trace_max);
        let (commands, thread) = (Mutex::new(commands), Mutex::new(Some(thread)));
        let (rows_expected, open) = (AtomicUsize::new(0), Mutex::default());
        Ok(Self { config, trace, waker, commands, thread, rows_expected, open })
    }

    /// Binds `groups` in the network namespace of the calling thread and lets them feed a new table at `path`. An older
    /// generation goes on receiving until [`Self::end`].
    ///
    /// # Errors
    /// As [`Generation::begin`].
    pub fn begin(&self, path: &Path, groups: &[GroupSpec]) -> Result<(), Error> {
        let rows = (self.config.rows_max, self.rows_expected.load(Relaxed));
        let config = &self.config;
        let trace = Arc::clone(&self.trace);
        let generation = Generation::begin(path, &config.spec, groups, &config.gathering, rows, trace)?;
        let table = Arc::new(generation.live());
        self.tell(Command::Add(Box::new(generation)))?;
        self.open().tables.push(table);
        Ok(())
    }

    /// Lets the groups of the only generation go on into a new table; what they fed so far is closed.
    ///
    /// # Errors
    /// The table cannot be made; there is not exactly one generation.
    pub fn roll(&self, path: &Path, groups: &[GroupSpec]) -> Result<Closed, Error> {
        let (rows_max, rows) = (self.config.rows_max, self.rows_expected.load(Relaxed));
        let file = TableFile::create(path, &self.config.spec, groups, rows_max, rows)?;
        // Before the thread writes into it, so that nobody who looks finds neither the old table nor the new one.
        self.open().tables.push(Arc::new(file.live()));
        let closed = self.ask(|reply| Command::Roll(Box::new(file), reply));
        if closed.is_err() {
            self.open().tables.pop();
        }
        Ok(self.closed(closed?))
    }

    /// Unbinds the groups of the oldest generation, accounts all that the kernel still holds, and closes it.
    ///
    /// # Errors
    /// There is no generation; the kernel does not answer.
    pub fn end(&self) -> Result<Closed, Error> {
        let file = self.ask(Command::End).inspect_err(|_| self.forget_oldest(&GroupState::default()))?;
        Ok(self.closed(file))
    }

    fn closed(&self, file: TableFile) -> Closed {
        let closed = Closed::new(file, false);
        self.rows_expected.store(closed.file.table.rows_to_expect(), Relaxed);
        self.forget_oldest(&closed.totals);
        closed
    }

    /// In one step, so that sums over all generations never go back.
    fn forget_oldest(&self, totals: &GroupState) {
        let mut open = self.open();
        if !open.tables.is_empty() {
            open.tables.remove(0);
        }
        open.closed.merge(totals);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the open generations are, and the sums over all since the start. The thread that receives is not asked.
    #[must_use]
    pub fn glance(&self) -> (Glance, GroupState) {
        let open = self.open();
        let (tables, mut sum) = (open.tables.clone(), open.closed);
        drop(open);
        let glance = Glance::of(&tables);
        sum.merge(&glance.totals);
        (glance, sum)
    }

    /// The rows of the open generations, added up, while packets go on coming. The thread that receives is not asked.
    ///
    /// # Errors
    /// Arrow's own.
    pub fn snapshot(&self, interfaces: &InterfaceNames, top: Option<(usize, Order)>) -> Result<Snapshot, Error> {
        let tables = self.open().tables.clone();
        snapshot(&self.config.spec, &tables, interfaces, top)
    }

    /// Sums over all generations since the start.
    ///
    /// # Errors
    /// The thread is gone, or receiving has failed.
    pub fn stats(&self) -> Result<GroupState, Error> {
        self.ask(Command::Stats)
    }

    pub fn take_trace(&self) -> Vec<Noted> {
        self.trace.take()
    }

    fn tell(&self, command: Command) -> Result<(), Error> {
        let sent = self.commands.lock().unwrap_or_else(PoisonError::into_inner).send(command);
        self.waker.wake();
        sent.map_err(|_| gone())
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, Error>>) -> Command) -> Result<T, Error> {
        let (reply, answer) = channel();
        self.tell(command(reply))?;
        answer.recv().map_err(|_| gone())?
    }

    /// Ends the thread. Open generations stay on disk as they are.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that is gone already is what is wanted.
            let _gone = self.tell(Command::Stop);
            let _panicked = thread.join();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.close();
    }
}

fn gone() -> Error {
    Error::new(Kind::Source, "meter", "ask its thread", "it has ended")
}

struct Worker {
    inbox: Receiver<Command>,
    waker: Arc<Waker>,
    gather: Duration,
    /// Oldest first.
    generations: Vec<Generation>,
    /// What closed generations had got.
    closed: GroupState,
    failure: Option<Error>,
}

impl Worker {
    fn run(&mut self) {
        let mut ready = Vec::new();
        loop {
            let sockets = if self.failure.is_none() { self.descriptors() } else { Vec::new() };
            let descriptors: Vec<RawFd> = std::iter::once(self.waker.as_raw_fd()).chain(sockets).collect();
            wait(&descriptors, None, &mut ready);
            if !self.work_off_commands() {
                return;
            }
            while self.failure.is_none() && self.turns() {
                if !self.work_off_commands() {
                    return;
                }
            }
            if !self.gather.is_zero() {
                wait(&[self.waker.as_raw_fd()], Some(self.gather), &mut ready);
            }
        }
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.generations.iter().flat_map(Generation::descriptors).collect()
    }

    /// Gives each port its turns; returns whether more may be queued.
    fn turns(&mut self) -> bool {
        let mut more = false;
        for generation in &mut self.generations {
            for port in 0..generation.ports() {
                for _ in 0..TURNS {
                    match generation.turn(port) {
                        Ok(turn) if turn.more => {}
                        Ok(_) => break,
                        Err(error) => {
                            self.failure = Some(error);
                            return false;
                        }
                    }
                    more = true;
                }
            }
        }
        more
    }

    /// Returns false when the thread is to end.
    fn work_off_commands(&mut self) -> bool {
        self.waker.clear();
        while let Ok(command) = self.inbox.try_recv() {
            // Whoever asked may have gone away: then nobody waits for the answer.
            let _unheard = match command {
                Command::Add(generation) => {
                    self.generations.push(*generation);
                    Ok(())
                }
                Command::Roll(file, reply) => reply.send(self.roll(*file)).map_err(drop),
                Command::End(reply) => reply.send(self.end()).map_err(drop),
                Command::Stats(reply) => reply.send(self.stats()).map_err(drop),
                Command::Stop => return false,
            };
        }
        true
    }

    fn roll(&mut self, file: TableFile) -> Result<TableFile, Error> {
        match self.generations.pop() {
            Some(generation) if self.generations.is_empty() && generation.groups() == file.groups => {
                let (next, closed) = generation.roll(file);
                self.generations.push(next);
                self.closed.merge(&closed.totals());
                Ok(closed)
            }
            other => {
                self.generations.extend(other);
                let _ignored = file.remove();
                Err(Error::new(Kind::Source, "meter", "roll", "it has not exactly one generation of these groups"))
            }
        }
    }

    fn end(&mut self) -> Result<TableFile, Error> {
        if self.generations.is_empty() {
            return Err(Error::new(Kind::Source, "meter", "end", "it has no generation"));
        }
        let (closed, result) = self.generations.remove(0).end();
        self.closed.merge(&closed.totals());
        result.map(|()| closed)
    }

    fn stats(&self) -> Result<GroupState, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        let mut sum = self.closed;
        for generation in &self.generations {
            sum.merge(&generation.totals());
        }
        Ok(sum)
    }
}
