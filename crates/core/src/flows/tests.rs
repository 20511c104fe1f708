//! Flows against a kernel that is made up: whatever is told, lost, told twice or interrupted, the deltas that were booked
//! add up to the last counters.

pub(crate) mod crash;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fold::{Cut, Target};
use super::*;
use crate::flow::{Account, Address};
use crate::posting::KeySpec;

/// Addresses that begin flows; each flow of an address has the same ends.
const PLACES: usize = 4;
/// Store points of the longest step; beyond them nothing is interrupted.
const STORES_MAX: u64 = 400;

fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("netledger-flows-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    std::env::temp_dir().join(name)
}

fn address(place: usize) -> Address {
    Address::from_v4([10, 0, 0, u8::try_from(place).unwrap()])
}

const FAR: Address = Address(0xffff_c000_0201);

fn spec() -> KeySpec {
    KeySpec { columns: KeySpec::columns_of(["host"]).unwrap(), ..KeySpec::default() }
}

/// A flow as the kernel has it.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    place: usize,
    id: u32,
    start_ns: u64,
    counters: Counters,
    alive: bool,
}

impl Flow {
    fn sighting(&self, table: &FlowTable) -> Sighting {
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
struct Expected {
    least: u64,
    most: u64,
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
enum Step {
    /// A flow begins at a place that has none.
    Begin(usize),
    /// It moves so many packets.
    Move(usize, u64),
    /// It ends, and that is told so many times.
    End(usize, usize),
    Dump,
    /// A cut, and after it a dump like that of a meter.
    Cut,
    /// Somebody sets its counters to zero.
    Zero(usize),
    /// Flows that have ended are added up before the cut.
    Spill,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let place = 0..PLACES;
    prop_oneof![
        3 => place.clone().prop_map(Step::Begin),
        5 => (place.clone(), 1..50_u64).prop_map(|(place, packets)| Step::Move(place, packets)),
        2 => (place.clone(), 0..3_usize).prop_map(|(place, times)| Step::End(place, times)),
        2 => Just(Step::Dump),
        2 => Just(Step::Cut),
        1 => place.prop_map(Step::Zero),
        2 => Just(Step::Spill),
        1 => Just(Step::Restart),
    ]
}

struct World {
    directory: PathBuf,
    table: Option<FlowTable>,
    flows: [Flow; PLACES],
    /// By place and start.
    expected: HashMap<(usize, u64), Expected>,
    clock: u64,
    seq: u64,
    booked: HashMap<Address, u64>,
}

impl World {
    fn new() -> Self {
        let directory = scratch();
        fs::create_dir(&directory).unwrap();
        let mut table = FlowTable::create(&directory.join("flows"), 1000).unwrap();
        table.begin_sweep();
        assert_eq!(table.end_opening(), 0);
        let (expected, booked) = (HashMap::new(), HashMap::new());
        Self { directory, table: Some(table), flows: Default::default(), expected, clock: 0, seq: 0, booked }
    }

    fn table(&mut self) -> &mut FlowTable {
        self.table.as_mut().unwrap()
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.directory.join(seq.to_string())
    }

    /// What it does to a kernel; returns what the kernel tells.
    fn happens(&mut self, step: &Step) -> Vec<(Flow, Origin)> {
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
            Step::Dump | Step::Cut => {
                return self.flows.iter().filter(|flow| flow.alive).map(|&flow| (flow, Origin::Dump)).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn expect(&mut self, flow: &Flow, tell: impl FnOnce(&mut Expected, Counters)) {
        tell(self.expected.entry((flow.place, flow.start_ns)).or_default(), flow.counters);
    }

    fn absorb(table: &mut FlowTable, step: &Step, told: &[(Flow, Origin)]) {
        if matches!(step, Step::Dump | Step::Cut) {
            table.begin_sweep();
        }
        for (flow, origin) in told {
            let sighting = flow.sighting(table);
            table.see(&[sighting], *origin);
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
    fn does(&mut self, step: &Step) {
        let told = self.happens(step);
        for (number, (flow, _)) in told.iter().enumerate() {
            // The second time it is told nothing is new.
            if number == 0 || told[number - 1].0.place != flow.place {
                self.expect(flow, Expected::told);
            }
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
    fn restarts(&mut self) {
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
        self.table().end_opening();
    }

    /// A step that a kill interrupts after so many stores.
    fn dies_over(&mut self, step: &Step, stores: u64) {
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

    fn ends(mut self) {
        // Two cuts: a flow whose end was not told leaves with the second.
        self.does(&Step::Cut);
        self.does(&Step::Cut);
        let live = self.flows.iter().filter(|flow| flow.alive).count();
        let found = self.table().found();
        assert_eq!((found.phase, found.flows), (Phase::Open, live as u64));
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

/// A flow that somebody zeroes after 15 packets and that moves 3 more, with a kill at each store of hearing so.
#[test]
fn a_kill_while_a_flow_is_found_zeroed_changes_nothing() {
    let mut kills = 0;
    for stores in 0..100 {
        let mut world = World::new();
        for step in [Step::Begin(0), Step::Move(0, 9), Step::Cut, Step::Move(0, 5), Step::Dump, Step::Zero(0)] {
            world.does(&step);
        }
        let _nothing_is_told = world.happens(&Step::Move(0, 3));
        let flow = world.flows[0];
        let mut table = world.table.take().unwrap();
        let sighting = flow.sighting(&table);
        kills += u32::from(crash::within(stores, || table.see(&[sighting], Origin::Dump)).is_none());
        drop(table);
        world.restarts();
        world.does(&Step::Cut);
        assert_eq!(world.booked.get(&address(0)), Some(&18), "killed after {stores} stores");
        world.ends();
    }
    assert!((30..100).contains(&kills), "{kills}");
}

/// Whatever a process that died before the end of its first dump has left, the next one begins anew.
#[test]
fn a_kill_before_the_first_dump_is_done_leaves_no_table() {
    let flow = Flow { start_ns: 1, counters: [5, 200, 0, 0], ..Flow::default() };
    let mut outcomes = [0, 0];
    for stores in 0..80 {
        let path = scratch();
        let opened = crash::within(stores, || {
            let mut table = FlowTable::create(&path, 1000).unwrap();
            table.begin_sweep();
            let sighting = flow.sighting(&table);
            table.see(&[sighting], Origin::Dump);
            assert_eq!(table.baseline(), Baseline { flows: 1, packets: 5, bytes: 200 });
            table.end_opening()
        });
        let found = if path.exists() { FlowTable::open(&path).unwrap() } else { None };
        assert_eq!(found.is_some(), opened.is_some(), "after {stores} stores");
        assert_eq!(found.is_some(), path.exists());
        outcomes[usize::from(found.is_some())] += 1;
        if let Some(table) = found {
            assert_eq!(table.found().flows, 1);
            table.remove().unwrap();
        }
    }
    assert!(outcomes[0] > 20 && outcomes[1] > 5, "{outcomes:?}");
}

#[test]
fn a_table_that_was_never_written_is_none_and_what_is_no_table_is_an_error() {
    let path = scratch();
    fs::write(&path, b"").unwrap();
    assert!(FlowTable::open(&path).unwrap().is_none());
    assert!(!path.exists());
    for content in [b"NLFLOWS".to_vec(), vec![7; 20_000]] {
        fs::write(&path, content).unwrap();
        assert!(FlowTable::open(&path).is_err());
        fs::remove_file(&path).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn deltas_add_up_to_the_last_counters(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.does(step);
        }
        prop_assert!(world.expected.values().all(|expected| expected.least == expected.most));
        world.ends();
    }

    #[test]
    fn a_kill_at_any_store_books_nothing_twice(
        steps in vec((step(), proptest::option::weighted(0.3, 0..STORES_MAX)), 1..40),
    ) {
        let mut world = World::new();
        for (step, stores) in &steps {
            match stores {
                // That a flow was zeroed is known from what was heard before, which a kill may have taken away.
                Some(stores) => world.dies_over(step, *stores),
                None if matches!(step, Step::Zero(_)) => {}
                None => world.does(step),
            }
        }
        world.ends();
    }
}
