//! The thread of a meter of flows.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};
use crate::flow_meter::{Config, Counters, totals};
use crate::flows::Named;
use crate::flows::fold::{Cut, Target};
use crate::sources::conntrack::Listener;
use crate::sources::nft_counters::NftCounters;
use crate::sys::barrier::wait_for_packets_under_way;
use crate::sys::poll::{Waker, wait};
use crate::table::header::GroupState;

/// `NFPROTO_INET`
const INET: u8 = 1;
/// How often flows are read for one cut, in the hope that nothing passes meanwhile.
const ATTEMPTS_MAX: usize = 5;
/// A dump that takes longer is not worth another.
const QUICK: Duration = Duration::from_millis(50);
/// Where so many packets passed during one, they will during the next.
const BUSY_PACKETS: u64 = 100;

pub(super) enum Command {
    Cut(Box<CutRequest>, Sender<Result<Cut, Error>>),
    Refresh(Sender<Result<(), Error>>),
    Stats(Sender<Result<GroupState, Error>>),
    Stop,
}

pub(super) struct CutRequest {
    pub(super) path: PathBuf,
    pub(super) seq: u64,
    pub(super) counters: Option<Counters>,
}

/// Reads all flows, and the kernel's counters right before and right behind it: again, if packets passed meanwhile and
/// the next time they may not.
///
/// A packet is counted by conntrack first, and by the counters a moment later. With both readings alike, and none under
/// way while flows were read, all counters are of the same packets.
pub(super) fn around(
    counters: Option<&Counters>,
    attempts_max: usize,
    nft: &mut NftCounters,
    listener: &mut Listener,
) -> Result<Option<Vec<Named>>, Error> {
    let Some(counters) = counters else {
        listener.sweep()?;
        return Ok(None);
    };
    let mut before = read(counters, nft)?;
    let mut attempts = 1;
    loop {
        wait_for_packets_under_way();
        let started = Instant::now();
        listener.sweep()?;
        let took = started.elapsed();
        wait_for_packets_under_way();
        let after = read(counters, nft)?;
        let passed: u64 = before.iter().zip(&after).map(|(first, last)| last.0.saturating_sub(first.0)).sum();
        if before == after || passed > BUSY_PACKETS || took > QUICK || attempts >= attempts_max {
            let named = counters.names.iter().zip(before.into_iter().zip(after));
            return Ok(Some(
                named.map(|(name, (before, after))| Named { name: name.clone(), before, after }).collect(),
            ));
        }
        before = after;
        attempts += 1;
    }
}

fn read(counters: &Counters, nft: &mut NftCounters) -> Result<Vec<(u64, u64)>, Error> {
    let found = nft.of_table(INET, counters.table.as_bytes())?;
    let value = |name: &String| {
        let counter = found.iter().find(|counter| counter.name == name.as_bytes());
        counter.map(|counter| (counter.packets, counter.bytes)).ok_or_else(|| {
            let subject = format!("nft counter {} of table inet {}", name, counters.table);
            Error::new(Kind::NotFound, subject, "read", "there is no such counter")
        })
    };
    counters.names.iter().map(value).collect()
}

pub(super) struct Worker {
    pub(super) inbox: Receiver<Command>,
    pub(super) waker: Arc<Waker>,
    pub(super) config: Config,
    pub(super) listener: Listener,
    pub(super) nft: NftCounters,
    /// When so many flows have ended, they are added up.
    pub(super) spill_at: u64,
    pub(super) failure: Option<Error>,
}

impl Worker {
    pub(super) fn run(&mut self) {
        let mut ready = Vec::new();
        loop {
            let mut descriptors = vec![self.waker.as_raw_fd()];
            // A socket that fails would be ready for ever.
            descriptors.extend(self.failure.is_none().then(|| self.listener.as_raw_fd()));
            wait(&descriptors, self.listener.resync_in().filter(|_| self.failure.is_none()), &mut ready);
            if !self.work_off_commands() {
                return;
            }
            if self.failure.is_none() {
                self.failure = self.listen().err();
            }
            if !self.config.gather.is_zero() {
                wait(&[self.waker.as_raw_fd()], Some(self.config.gather), &mut ready);
            }
        }
    }

    fn listen(&mut self) -> Result<(), Error> {
        self.listener.drain()?;
        if self.listener.table.ended() >= self.spill_at {
            let spilled = self.listener.spill(&self.config.spec, self.config.rows_max);
            // Without room for it flows go on taking theirs: what finds none at last is counted.
            let rest = if spilled.is_ok() { 0 } else { self.listener.table.ended() };
            self.spill_at = rest.saturating_add(self.config.ended_max);
        }
        if self.listener.resync_in() == Some(Duration::ZERO) {
            // One that fails is made again later, and the next cut says why if it fails then too. Events go on meanwhile.
            let _again_later = self.listener.sweep();
        }
        Ok(())
    }

    /// Returns false when the thread is to end.
    fn work_off_commands(&mut self) -> bool {
        self.waker.clear();
        while let Ok(command) = self.inbox.try_recv() {
            // Whoever asked may have gone away: then nobody waits for the answer.
            let _unheard = match command {
                Command::Cut(request, reply) => reply.send(self.cut(&request)).map_err(drop),
                Command::Refresh(reply) => reply.send(self.alive().and_then(|()| self.listener.sweep())).map_err(drop),
                Command::Stats(reply) => reply.send(self.stats()).map_err(drop),
                Command::Stop => return false,
            };
        }
        true
    }

    fn alive(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn cut(&mut self, request: &CutRequest) -> Result<Cut, Error> {
        self.alive()?;
        self.listener.drain()?;
        let named = around(request.counters.as_ref(), ATTEMPTS_MAX, &mut self.nft, &mut self.listener)?;
        let target = Target { path: &request.path, spec: &self.config.spec, rows_max: self.config.rows_max };
        self.listener.table.cut(&target, request.seq, named.as_deref())
    }

    fn stats(&self) -> Result<GroupState, Error> {
        self.alive()?;
        let looked = self.listener.table.mapped().looked();
        Ok(totals(looked.seen.0, looked.seen.1, &looked.now))
    }
}
