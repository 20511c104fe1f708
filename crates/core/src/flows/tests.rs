//! Flows against a kernel that is made up: whatever is told, lost, told twice or interrupted, the deltas that were booked
//! add up to the last counters.

pub(crate) mod crash;
mod world;

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use world::{Flow, PLACES, Step, World, address, scratch};

/// Store points of the longest step; beyond them nothing is interrupted.
const STORES_MAX: u64 = 400;

fn step() -> impl Strategy<Value = Step> {
    let place = 0..PLACES;
    prop_oneof![
        3 => place.clone().prop_map(Step::Begin),
        5 => (place.clone(), 1..50_u64).prop_map(|(place, packets)| Step::Move(place, packets)),
        2 => (place.clone(), 0..3_usize).prop_map(|(place, times)| Step::End(place, times)),
        2 => (place.clone(), 0..3_usize).prop_map(|(place, times)| Step::Linger(place, times)),
        1 => Just(Step::Repeat),
        1 => Just(Step::Deliver),
        2 => Just(Step::Dump),
        2 => Just(Step::Cut),
        1 => place.prop_map(Step::Zero),
        2 => Just(Step::Spill),
        1 => Just(Step::Restart),
    ]
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
    for stores in 0..200 {
        let path = scratch();
        let opened = crash::within(stores, || {
            let mut table = FlowTable::create(&path, 1000).unwrap();
            table.begin_sweep();
            let sighting = flow.sighting(&table);
            table.see(&[sighting], Origin::Dump);
            table.end_opening().unwrap();
            assert_eq!(table.baseline(), Baseline { flows: 1, packets: 5, bytes: 200 });
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
