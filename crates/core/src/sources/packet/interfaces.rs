//! Which interfaces count, and what they are called.
//!
//! Keys hold a number for each *name*: an interface that goes and comes again with another index stays one row, and one
//! that is renamed gets another. An index that was never met is looked up once, by the thread that met it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::news::News;
use crate::batch::InterfaceNames;
use crate::sys::clock::packet_time_ns;
use crate::sys::packet_socket::PacketSocket;
use crate::table::interfaces::{MORE, MORE_NAME};

/// Names that are told apart as long as a meter lives; what comes after them is one.
const NAMES_MAX: usize = 1 << 16;
/// Packets of an interface that went may lie in the ring for so long, at most.
const KEPT_AFTER_END: Duration = Duration::from_secs(5);

/// `LOOPBACK_IFINDEX`: the same in every network namespace (`include/net/flow.h`).
const LOOPBACK: u32 = 1;

/// A name, or the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Beginning(String),
}

impl Pattern {
    fn new(text: &str) -> Self {
        if let Some(literal) = text.strip_suffix("[*]") {
            return Self::Name(format!("{literal}*"));
        }
        text.strip_suffix('*').map_or_else(|| Self::Name(text.to_owned()), |start| Self::Beginning(start.to_owned()))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::Beginning(start) => name.starts_with(start.as_str()),
        }
    }
}

/// Which interfaces are asked for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    wanted: Vec<Pattern>,
    excluded: Vec<Pattern>,
    loopback: bool,
    promiscuous: Vec<Pattern>,
}

impl Selection {
    /// By names or by beginnings with a `*` behind them.
    #[must_use]
    pub fn new(wanted: &[String], excluded: &[String], loopback: bool, promiscuous: &[String]) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Self { wanted: patterns(wanted), excluded: patterns(excluded), loopback, promiscuous: patterns(promiscuous) }
    }

    pub(crate) fn overhears(&self) -> bool {
        !self.promiscuous.is_empty()
    }

    fn wants(&self, name: &str, is_loopback: bool) -> bool {
        let is_named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        let is_wanted = if self.wanted.is_empty() { self.loopback || !is_loopback } else { is_named(&self.wanted) };
        is_wanted && !is_named(&self.excluded)
    }

    fn is_promiscuous(&self, name: &str) -> bool {
        self.promiscuous.iter().any(|pattern| pattern.matches(name))
    }
}

/// What the receivers need to know of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// By which it is booked; 0: it does not count.
    pub(crate) number: u32,
    pub(crate) is_promiscuous: bool,
    /// Packets before that moment, by the kernel's stamps, may have been another name's. 0: none were.
    pub(crate) since_ns: u64,
}

/// What an index is, or was when a packet came.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) known: Known,
    pub(crate) name: String,
    /// False: for this packet only; the index is something else by now.
    pub(crate) is_present: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    is_loopback: bool,
    known: Known,
    ended: Option<Instant>,
    /// Oldest first. What lies in a ring when an interface is renamed came under its old name.
    before: Vec<Before>,
}

/// What an index was called before.
#[derive(Debug)]
struct Before {
    name: String,
    known: Known,
    until_ns: u64,
    told: Instant,
}

impl Entry {
    fn new(name: String, is_loopback: bool, known: Known) -> Self {
        Self { name, is_loopback, known, ended: None, before: Vec::new() }
    }

    fn rename(&mut self, name: String, known: Known) {
        let until_ns = packet_time_ns();
        let name = std::mem::replace(&mut self.name, name);
        let was = std::mem::replace(&mut self.known, Known { since_ns: until_ns, ..known });
        self.before.push(Before { name, known: was, until_ns, told: Instant::now() });
    }

    /// As it was for a packet that came at a moment.
    fn at(&mut self, at_ns: u64) -> Found {
        // No ring holds packets for long. A clock that is set back must not bring old names back with it.
        self.before.retain(|before| before.told.elapsed() < KEPT_AFTER_END);
        if self.before.is_empty() {
            self.known.since_ns = 0;
        }
        match self.before.iter().find(|before| at_ns < before.until_ns) {
            Some(before) => Found { known: before.known, name: before.name.clone(), is_present: false },
            None => Found { known: self.known, name: self.name.clone(), is_present: true },
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    by_index: HashMap<u32, Entry>,
    /// Number 1 is the first.
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    hints: InterfaceNames,
    news: Option<News>,
}

/// All interfaces that were met. Shared by the receivers, who ask it only for what they have not met.
#[derive(Debug)]
pub(crate) struct Interfaces {
    selection: Selection,
    inner: Mutex<Inner>,
    /// Grows when what receivers have kept may be wrong.
    version: AtomicU64,
    /// Grows when the kernel could drop more, or must drop less.
    unwanted_version: AtomicU64,
}

impl Interfaces {
    /// Of the network namespace of the calling thread.
    pub(crate) fn new(selection: Selection) -> Self {
        let (version, unwanted_version) = (AtomicU64::new(1), AtomicU64::new(1));
        // Without news only those count whose name can still be asked for, or that somebody else tells of.
        let inner = Inner { news: News::open().ok(), ..Inner::default() };
        Self { selection, inner: Mutex::new(inner), version, unwanted_version }
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    pub(crate) fn unwanted_version(&self) -> u64 {
        self.unwanted_version.load(Acquire)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an index for a packet that came at a moment, and what is not is found out.
    pub(crate) fn look_up(&self, socket: &PacketSocket, index: u32, is_loopback: bool, at_ns: u64) -> Found {
        let mut inner = self.inner();
        if let Some(entry) = inner.by_index.get_mut(&index) {
            return entry.at(at_ns);
        }
        let name = socket.interface_name(index).ok().or_else(|| inner.name_of_gone(index));
        // One that went before its name could be asked for counts where no names were asked for.
        let name = name.unwrap_or_else(|| format!("if{index}"));
        let known = self.judge(&mut inner, &name, is_loopback);
        if known.number == 0 {
            self.unwanted_version.fetch_add(1, Release);
        }
        inner.by_index.insert(index, Entry::new(name.clone(), is_loopback, known));
        Found { known, name, is_present: true }
    }

    fn judge(&self, inner: &mut Inner, name: &str, is_loopback: bool) -> Known {
        if !self.selection.wants(name, is_loopback) {
            return Known::default();
        }
        Known { number: inner.number(name), is_promiscuous: self.selection.is_promiscuous(name), since_ns: 0 }
    }

    /// Asks for the names of all that were met again. `hints` are names that somebody else knows.
    pub(crate) fn refresh(&self, socket: &PacketSocket, hints: &InterfaceNames) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        inner.hints.clone_from(hints);
        if let Some(news) = &mut inner.news {
            news.read(); // so that there is always room for more
        }
        let mut entries = std::mem::take(&mut inner.by_index);
        entries.retain(|&index, entry| {
            match socket.interface_name(index) {
                Ok(name) => {
                    entry.ended = None;
                    if name != entry.name {
                        let known = self.judge(inner, &name, entry.is_loopback);
                        entry.rename(name, known);
                    }
                }
                Err(_) => {
                    entry.ended.get_or_insert_with(Instant::now);
                }
            }
            entry.ended.is_none_or(|ended| ended.elapsed() < KEPT_AFTER_END)
        });
        inner.by_index = entries;
        for (&index, name) in hints {
            // What does not count is to be dropped by the kernel before its first packet.
            if index != LOOPBACK
                && !inner.by_index.contains_key(&index)
                && let Ok(name) = socket.interface_name(index)
            {
                let known = self.judge(inner, &name, false);
                inner.by_index.insert(index, Entry::new(name, false, known));
            }
            if self.selection.is_promiscuous(name) {
                // One that is gone already needs it no more.
                let _gone = socket.make_promiscuous(index);
            }
        }
        self.version.fetch_add(1, Release);
        self.unwanted_version.fetch_add(1, Release);
    }

    /// The indexes that do not count, in order.
    pub(crate) fn unwanted(&self) -> Vec<u32> {
        let inner = self.inner();
        let unwanted = inner.by_index.iter().filter(|(_, entry)| entry.known.number == 0 && entry.ended.is_none());
        let mut indexes: Vec<u32> = unwanted.map(|(&index, _)| index).collect();
        indexes.sort_unstable();
        indexes
    }

    /// The names by the numbers in keys.
    pub(crate) fn names(&self) -> InterfaceNames {
        let inner = self.inner();
        let more = std::iter::once((MORE, MORE_NAME.to_owned()));
        (1..).zip(inner.names.iter().cloned()).chain(more).collect()
    }

    /// The names of those that count, by index.
    pub(crate) fn counted(&self) -> InterfaceNames {
        let inner = self.inner();
        let counted = inner.by_index.iter().filter(|(_, entry)| entry.known.number != 0);
        counted.map(|(&index, entry)| (index, entry.name.clone())).collect()
    }
}

impl Inner {
    /// What an index was called of which the kernel knows no more.
    fn name_of_gone(&mut self, index: u32) -> Option<String> {
        let told = self.news.as_mut().and_then(|news| {
            news.read();
            news.name(index).map(str::to_owned)
        });
        told.or_else(|| self.hints.get(&index).cloned())
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        if self.names.len() >= NAMES_MAX {
            return MORE;
        }
        self.names.push(name.to_owned());
        let number = u32::try_from(self.names.len()).unwrap_or(MORE);
        self.numbers.insert(name.to_owned(), number);
        number
    }
}
