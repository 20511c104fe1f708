//! A thread that follows the flows of connection tracking, and what others may ask of it.
//!
//! As with [`crate::meter`], the thread takes no lock while it receives; it is asked by messages, and woken for them. What
//! is looked at meanwhile is read from the mapped words.

mod worker;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::batch::{InterfaceNames, Names};
use crate::error::{Error, Kind};
use crate::flow::{Sides, Sums};
use crate::flows::fold::{Cut, Target};
use crate::flows::spill::{Shared, add_rows};
use crate::flows::{Baseline, Facts, FlowTable, Found, Mapped, Named, Phase};
use crate::live::{Order, Snapshot};
use crate::posting::KeySpec;
use crate::sources::conntrack::{self, Listener};
use crate::sources::nft_counters::NftCounters;
use crate::sys::poll::Waker;
use crate::table::Table;
use crate::table::header::GroupState;

use worker::{Command, CutRequest, Worker, around};

/// What a meter of flows is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The flow table.
    pub path: PathBuf,
    pub spec: KeySpec,
    pub rows_max: usize,
    pub flows_max: usize,
    /// When so many flows have ended, what they moved is added up before the cut.
    pub ended_max: u64,
    pub source: conntrack::Config,
    /// With the queue of events found empty, wait so long before looking again: one wake-up for many events.
    pub gather: Duration,
}

/// A table of nft in the family inet, and the names of counters in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    pub table: String,
    pub names: Vec<String>,
}

/// What was there at the start.
#[derive(Clone, Debug)]
pub struct Opened {
    /// A table of an earlier process was taken over.
    pub found: bool,
    /// Of the last cut that was begun; 0: none.
    pub seq: u64,
    pub flows: u64,
    pub baseline: Baseline,
    /// Flows of the earlier process that ended while nobody listened.
    pub vanished: u64,
    pub uncounted: u64,
    pub named: Option<Vec<Named>>,
}

/// The handle of the thread. Any thread may use it.
#[derive(Debug)]
pub struct FlowMeter {
    config: Config,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Opened, and not yet given to the thread.
    table: Option<FlowTable>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
    mapped: Mapped,
    spill: Shared,
}

impl FlowMeter {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier process has left; None if there is nothing.
    ///
    /// # Errors
    /// What lies there is no flow table, damaged, or in use.
    pub fn found(&self) -> Result<Option<Found>, Error> {
        let mut state = self.state();
        self.take_over(&mut state)?;
        Ok(state.table.as_ref().map(FlowTable::found))
    }

    fn take_over(&self, state: &mut State) -> Result<(), Error> {
        if state.running.is_none() && state.table.is_none() && self.config.path.exists() {
            state.table = FlowTable::open(&self.config.path)?;
        }
        Ok(())
    }

    /// The cut `seq` of an earlier process once more, if it was the last one begun: made again if it was not complete.
    /// None when its table is not there any more, or when there was no such cut.
    ///
    /// Of a flow table that was written before the machine started, or elsewhere, the cut behind its last one books what is
    /// left in it; the flow table is gone then.
    ///
    /// # Errors
    /// As [`Self::found`]; the meter is running; the table cannot be made or is damaged.
    pub fn refold(&self, table_path: &Path, seq: u64) -> Result<Option<Cut>, Error> {
        let mut state = self.state();
        if state.running.is_some() {
            return Err(fail("fold again", "it is running"));
        }
        self.take_over(&mut state)?;
        let Some(table) = state.table.as_mut() else { return Ok(None) };
        let target = self.target(table_path);
        let found = table.found();
        match (found.phase, seq.checked_sub(found.seq)) {
            (Phase::Folding, Some(0)) => table.fold_again(&target).map(Some),
            (Phase::Open, Some(0)) => table.last_cut(table_path),
            (Phase::Open, Some(1)) if !found.same_boot => {
                let mut cut = table.cut(&target, seq, None)?;
                cut.closed.recovered = true;
                table.remove()?;
                state.table = None;
                Ok(Some(cut))
            }
            _ => Ok(None),
        }
    }

    fn target<'a>(&'a self, path: &'a Path) -> Target<'a> {
        Target { path, spec: &self.config.spec, rows_max: self.config.rows_max }
    }

    /// Takes over the table of an earlier process or makes one, listens in the network namespace of the calling thread,
    /// and asks for all flows.
    ///
    /// # Errors
    /// It is running; an interrupted cut was not folded again; the table cannot be made; the kernel refuses.
    pub fn open(&self, counters: Option<&Counters>) -> Result<Opened, Error> {
        let mut state = self.state();
        if state.running.is_some() {
            return Err(fail("open", "it is running"));
        }
        self.take_over(&mut state)?;
        if let Some(table) = state.table.take() {
            if !table.found().same_boot {
                table.remove()?;
            } else if table.phase() == Phase::Folding {
                state.table = Some(table);
                return Err(fail("open", "its last cut is to be folded again first"));
            } else {
                state.table = Some(table);
            }
        }
        let found = state.table.is_some();
        let table = match state.table.take() {
            Some(table) => table,
            None => FlowTable::create(&self.config.path, self.config.flows_max)?,
        };
        let listener = Listener::open(table, &self.config.source)?;
        let (running, opened) = self.start(listener, counters, found)?;
        state.running = Some(running);
        Ok(opened)
    }

    fn start(
        &self,
        mut listener: Listener,
        counters: Option<&Counters>,
        found: bool,
    ) -> Result<(Running, Opened), Error> {
        let nft = NftCounters::open()?;
        let mut worker_nft = nft;
        // Once: the counters' readings must be around the one that the baseline is taken from.
        let named = around(counters, 1, &mut worker_nft, &mut listener)?;
        let vanished = listener.table.end_opening()?;
        let facts = *listener.table.facts();
        let table = &listener.table;
        let opened = Opened {
            found,
            seq: table.seq(),
            flows: table.live().saturating_sub(vanished),
            baseline: table.baseline(),
            vanished,
            uncounted: facts.uncounted,
            named,
        };
        let (mapped, spill) = (table.mapped(), table.shared_spill());
        let waker = Arc::new(Waker::new().map_err(|e| Error::io("conntrack meter", "make an eventfd", &e))?);
        let (commands, inbox) = channel();
        let mut worker = Worker {
            inbox,
            waker: Arc::clone(&waker),
            config: self.config.clone(),
            listener,
            nft: worker_nft,
            spill_at: self.config.ended_max,
            failure: None,
        };
        let thread = Builder::new()
            .name("netledger-flows".to_owned())
            .spawn(move || worker.run())
            .map_err(|e| Error::io("conntrack meter", "start a thread", &e))?;
        Ok((Running { commands, waker, thread, mapped, spill }, opened))
    }

    /// Books what moved since the last cut into a new table at `path`.
    ///
    /// # Errors
    /// The thread is gone; the kernel refuses the dump; the table cannot be made. Then nothing has been cut.
    pub fn cut(&self, path: &Path, seq: u64, counters: Option<Counters>) -> Result<Cut, Error> {
        let request = CutRequest { path: path.to_owned(), seq, counters };
        self.ask(|reply| Command::Cut(Box::new(request), reply))
    }

    /// Asks for all flows, so that those who look see young numbers.
    ///
    /// # Errors
    /// The thread is gone; the kernel refuses.
    pub fn refresh(&self) -> Result<(), Error> {
        self.ask(Command::Refresh)
    }

    /// Sums since the start.
    ///
    /// # Errors
    /// The thread is gone, or listening has failed.
    pub fn stats(&self) -> Result<GroupState, Error> {
        self.ask(Command::Stats)
    }

    /// Flows, what moved since the last cut, and since the start. The thread is not asked.
    ///
    /// # Errors
    /// It is not open.
    pub fn glance(&self) -> Result<(u64, GroupState, GroupState), Error> {
        let looked = self.mapped()?.0.looked();
        let state = |(packets, bytes), facts: Facts| totals(packets, bytes, &facts);
        Ok((looked.flows, state(looked.moved, looked.now), state(looked.seen, looked.now)))
    }

    /// The rows of what moved since the last cut. The thread is not asked.
    ///
    /// # Errors
    /// It is not open; no memory is left.
    pub fn snapshot(&self, top: Option<(usize, Order)>) -> Result<Snapshot, Error> {
        let (mapped, spill) = self.mapped()?;
        // While it is looked at, no spill takes the place of flows.
        let spill = spill.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = spill.as_ref().map_or(&self.config.spec, |(spec, _)| spec);
        let mut table = Table::anonymous(spec, self.config.rows_max, 0)?;
        let mut totals = mapped.fold(spec, &mut table, |_| true);
        if let Some((_, spill)) = spill.as_ref() {
            add_rows(spill.rows(spill.len()), &mut table);
            totals.merge(&spill.totals());
        }
        let names = Names { interfaces: &InterfaceNames::new(), labels: &[] };
        Snapshot::of(table.rows(), table.len(), spec, &names, top, totals)
    }

    fn mapped(&self) -> Result<(Mapped, Shared), Error> {
        let state = self.state();
        let running = state.running.as_ref().ok_or_else(|| fail("look", "it is not open"))?;
        Ok((running.mapped.clone(), Arc::clone(&running.spill)))
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, Error>>) -> Command) -> Result<T, Error> {
        let (reply, answer) = channel();
        {
            let state = self.state();
            let running = state.running.as_ref().ok_or_else(|| fail("ask its thread", "it is not open"))?;
            running.commands.send(command(reply)).map_err(|_| gone())?;
            running.waker.wake();
        }
        answer.recv().map_err(|_| gone())?
    }

    /// Ends the thread. The table stays as it is: the next start goes on from there.
    pub fn close(&self) {
        let running = self.state().running.take();
        if let Some(running) = running {
            // A thread that is gone already is what is wanted.
            let _gone = running.commands.send(Command::Stop);
            running.waker.wake();
            let _panicked = running.thread.join();
        }
    }
}

impl Drop for FlowMeter {
    fn drop(&mut self) {
        self.close();
    }
}

fn fail(operation: &'static str, cause: &str) -> Error {
    Error::new(Kind::Source, "conntrack meter", operation, cause)
}

fn gone() -> Error {
    fail("ask its thread", "it has ended")
}

fn totals(packets: u64, bytes: u64, facts: &Facts) -> GroupState {
    let mut posted = Sums::default();
    posted.add_packets(Sides::Both, packets, bytes);
    GroupState {
        received_packets: packets,
        received_bytes: bytes,
        posted,
        overruns: facts.overruns,
        malformed_messages: facts.malformed,
        ..GroupState::default()
    }
}
