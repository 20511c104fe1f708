//! A kernel that is made up, a flow table that listens to it, and what should be booked.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::crash;
use crate::flow::{Account, Address};
use crate::flows::entry::State;
use crate::flows::fold::{Cut, Target};
use crate::flows::{Counters, FlowTable, Identity, Origin, Phase, Sighting};
use crate::posting::KeySpec;

/// Addresses that begin flows; each flow of an address has the same ends.
pub(super) const PLACES: usize = 4;
pub(super) fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("netledger-flows-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

pub(super) fn address(place: usize) -> Address {
    Address::from_v4([10, 0, 0, u8::try_from(place).unwrap()])
}

const FAR: Address = Address(0xffff_c000_0201);

pub(super) fn spec() -> KeySpec {
    KeySpec { columns: KeySpec::columns_of(["host"]).unwrap(), ..KeySpec::default() }
}

/// A flow as the kernel has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) place: usize,
    pub(super) id: u32,
    pub(super) start_ns: u64,
    pub(super) counters: Counters,
    pub(super) alive: bool,
}

impl Flow {
    pub(super) fn sighting(&self, table: &FlowTable) -> Sighting {
        let identity = Identity {
            id: self.id,
            source: address(self.place),
            destination: FAR,
            ports: 1,
            protocol: 17,
            zone: 0,
            start_ns: Some(self.start_ns),
        };
        Sighting::new(&table.seeds(), &identity, [address(self.place), FAR], [1, 2, 2, 1], 0, self.counters)
    }
}

/// What should be booked of one flow: exactly so much, or something between two numbers after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) least: u64,
    pub(super) most: u64,
    /// What was told last.
    seen: Counters,
}

impl Expected {
    /// A counter that went back shows that all of them were set to zero.
    fn told(&mut self, counters: Counters) {
        let is_zeroed = counters.iter().zip(&self.seen).any(|(now, seen)| now < seen);
        let more = if is_zeroed { counters[0] } else { counters[0] - self.seen[0] };
        self.least += more;
        self.most += more;
        self.seen = counters;
    }

    /// Told to somebody who died over it.
    fn told_in_vain(&mut self, counters: Counters) {
        let mut heard = *self;
        heard.told(counters);
        self.most = self.most.max(heard.most);
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A flow begins at a place that has none.
    Begin(usize),
    /// It moves so many packets.
    Move(usize, u64),
    /// It ends, and that is told so many times.
    End(usize, usize),
    /// The same, and it will be told again: another listener had no room.
    Linger(usize, usize),
    /// Those that linger are told again.
    Repeat,
    /// The other listener has room again: they are told for the last time.
    Deliver,
    Dump,
    /// A cut, and after it a dump like that of a meter.
    Cut,
    /// Somebody sets its counters to zero.
    Zero(usize),
    /// Flows that have ended are added up before the cut.
    Spill,
    Restart,
}

pub(super) struct World {
    directory: PathBuf,
    pub(super) table: Option<FlowTable>,
    pub(super) flows: [Flow; PLACES],
    dying: Vec<Flow>,
    /// By place and start.
    pub(super) expected: HashMap<(usize, u64), Expected>,
    clock: u64,
    seq: u64,
    pub(super) booked: HashMap<Address, u64>,
}

impl World {
    pub(super) fn new() -> Self {
        let directory = scratch();
        fs::create_dir(&directory).unwrap();
        let mut table = FlowTable::create(&directory.join("flows"), 1000).unwrap();
        table.begin_sweep();
        assert_eq!(table.end_opening(), Ok(0));
        let (expected, booked) = (HashMap::new(), HashMap::new());
        Self {
            directory,
            table: Some(table),
            flows: Default::default(),
            dying: Vec::new(),
            expected,
            clock: 0,
            seq: 0,
            booked,
        }
    }

    pub(super) fn table(&mut self) -> &mut FlowTable {
        self.table.as_mut().unwrap()
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.directory.join(seq.to_string())
    }

    /// What it does to a kernel; returns what the kernel tells.
    pub(super) fn happens(&mut self, step: &Step) -> Vec<(Flow, Origin)> {
        match *step {
            Step::Begin(place) if !self.flows[place].alive => {
                self.clock += 1;
                // Few ids, so that they come again.
                let id = u32::try_from(self.clock % 2).unwrap();
                self.flows[place] = Flow { place, id, start_ns: self.clock, counters: [1, 40, 0, 0], alive: true };
            }
            Step::Move(place, packets) if self.flows[place].alive => {
                for (counter, more) in self.flows[place].counters.iter_mut().zip([packets, 40 * packets, 1, 52]) {
                    *counter += more;
                }
            }
            Step::Zero(place) => self.flows[place].counters = [0; 4],
            Step::End(place, times) if self.flows[place].alive => {
                self.flows[place].alive = false;
                return vec![(self.flows[place], Origin::End); times];
            }
            Step::Linger(place, times) if self.flows[place].alive => {
                self.flows[place].alive = false;
                self.dying.push(self.flows[place]);
                return vec![(self.flows[place], Origin::End); times];
            }
            Step::Repeat => return self.dying.iter().map(|&flow| (flow, Origin::End)).collect(),
            Step::Deliver => return self.dying.drain(..).map(|flow| (flow, Origin::End)).collect(),
            Step::Dump | Step::Cut | Step::Spill => {
                let alive = self.flows.iter().filter(|flow| flow.alive && !matches!(step, Step::Spill));
                let alive = alive.map(|&flow| (flow, Origin::Dump));
                return alive.chain(self.dying.iter().map(|&flow| (flow, Origin::Dying))).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn expect(&mut self, flow: &Flow, tell: impl FnOnce(&mut Expected, Counters)) {
        tell(self.expected.entry((flow.place, flow.start_ns)).or_default(), flow.counters);
    }

    fn absorb(table: &mut FlowTable, step: &Step, told: &[(Flow, Origin)]) {
        if matches!(step, Step::Dump | Step::Cut | Step::Spill) {
            table.begin_sweep();
        }
        for (flow, origin) in told {
            let sighting = flow.sighting(table);
            table.see(&[sighting], *origin);
        }
        if matches!(step, Step::Dump | Step::Cut | Step::Spill) {
            table.dying_are_known();
        }
        if matches!(step, Step::Spill) {
            table.spill(&spec(), 100).unwrap();
            assert_eq!(table.ended(), 0);
        }
    }

    fn cut(table: &mut FlowTable, path: &Path, seq: u64) -> Cut {
        table.cut(&Target { path, spec: &spec(), rows_max: 100 }, seq, None).unwrap()
    }

    fn take(&mut self, cut: &Cut) {
        let mut total = 0;
        for (key, sums) in cut.closed.file.table.rows() {
            let fields = key.fields();
            if fields.account == Account::Host && fields.host != FAR {
                *self.booked.entry(fields.host).or_default() += sums.sent_packets;
            }
            total += sums.sent_packets;
        }
        assert_eq!(total, cut.closed.totals.received_packets, "the totals are those of the rows");
        cut.closed.file.remove().unwrap();
    }

    /// A step from its beginning to its end.
    pub(super) fn does(&mut self, step: &Step) {
        let told = self.happens(step);
        for (flow, _) in &told {
            self.expect(flow, Expected::told);
        }
        Self::absorb(self.table(), step, &told);
        match step {
            Step::Cut => {
                self.seq += 1;
                let (seq, path) = (self.seq, self.path(self.seq));
                let cut = Self::cut(self.table(), &path, seq);
                self.take(&cut);
            }
            Step::Restart => self.restarts(),
            _ => {}
        }
    }

    /// Another process takes over.
    pub(super) fn restarts(&mut self) {
        self.table = None;
        let table = FlowTable::open(&self.directory.join("flows")).unwrap().unwrap();
        let (phase, seq) = (table.phase(), table.seq());
        self.table = Some(table);
        if seq > self.seq {
            self.seq = seq;
            let path = self.path(seq);
            let cut = if phase == Phase::Folding {
                let spec = spec();
                let target = Target { path: &path, spec: &spec, rows_max: 100 };
                Some(self.table().fold_again(&target).unwrap())
            } else {
                self.table().last_cut(&path).unwrap()
            };
            self.take(&cut.expect("a cut that is complete has its table"));
        } else {
            assert_eq!(phase, Phase::Open);
        }
        // As a meter that opens: all that live are told.
        let told = self.happens(&Step::Dump);
        for (flow, _) in &told {
            self.expect(flow, Expected::told);
        }
        Self::absorb(self.table(), &Step::Dump, &told);
        self.table().end_opening().unwrap();
    }

    /// A step that a kill interrupts after so many stores.
    pub(super) fn dies_over(&mut self, step: &Step, stores: u64) {
        let told = self.happens(step);
        // Who lives is told again.
        for (flow, _) in told.iter().filter(|(_, origin)| *origin == Origin::End) {
            self.expect(flow, Expected::told_in_vain);
        }
        let (seq, mut table) = (self.seq + 1, self.table.take().unwrap());
        let path = self.path(seq);
        let cut = crash::within(stores, || {
            Self::absorb(&mut table, step, &told);
            matches!(step, Step::Cut).then(|| Self::cut(&mut table, &path, seq))
        });
        if let Some(Some(cut)) = cut {
            self.seq = seq;
            self.take(&cut);
        }
        drop(table);
        self.restarts();
    }

    pub(super) fn ends(mut self) {
        // Whose end can be told again stays.
        self.does(&Step::Cut);
        self.does(&Step::Cut);
        self.does(&Step::Deliver);
        // Two cuts: a flow whose end was not told leaves with the second, and one whose end was told just now, too.
        self.does(&Step::Cut);
        self.does(&Step::Cut);
        let live = self.flows.iter().filter(|flow| flow.alive).count();
        let found = self.table().found();
        assert_eq!((found.phase, found.flows), (Phase::Open, live as u64));
        let used = self.table().mapped().used().filter(|(_, entry)| entry.state() != State::Free).count();
        assert_eq!(used, live, "those that have ended have left");
        let names = fs::read_dir(&self.directory).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["flows"], "no spill is left");
        for place in 0..PLACES {
            let all = self.expected.iter().filter(|((at, _), _)| *at == place).map(|(_, expected)| expected);
            let (least, most) = all.fold((0, 0), |sum, one| (sum.0 + one.least, sum.1 + one.most));
            let booked = self.booked.get(&address(place)).copied().unwrap_or(0);
            assert!((least..=most).contains(&booked), "{place}: {booked}, not {least} to {most}");
        }
        fs::remove_dir_all(&self.directory).unwrap();
    }
}
