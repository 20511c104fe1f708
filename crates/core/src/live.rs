//! The rows of a meter's open generations at this moment: all of them or the greatest, as Arrow columns.

use std::cmp::Reverse;
use std::collections::hash_map::IntoIter;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow_array::StructArray;

use crate::batch::{InterfaceNames, Names, batch};
use crate::error::Error;
use crate::flow::{Key, Sums};
use crate::posting::KeySpec;
use crate::table::header::GroupState;
use crate::table::live::LiveTable;

#[cfg(test)]
mod tests;

/// How far the open generations are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glance {
    /// Of the fullest one, the always-there row not included.
    pub rows: usize,
    pub totals: GroupState,
    /// What is in no row of its own.
    pub other: Sums,
}

impl Glance {
    /// Of tables that another thread may be writing.
    #[must_use]
    pub fn of(tables: &[Arc<LiveTable>]) -> Self {
        let mut all = Self::default();
        for table in tables {
            all.rows = all.rows.max(table.len().saturating_sub(1));
            all.totals.merge(&table.totals());
            all.other.merge(&table.other());
        }
        all
    }
}

/// What rows are ranked by; the greatest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Bytes,
    Packets,
    SentBytes,
    SentPackets,
    ReceivedBytes,
    ReceivedPackets,
}

impl Order {
    pub const ALL: [Self; 6] =
        [Self::Bytes, Self::Packets, Self::SentBytes, Self::SentPackets, Self::ReceivedBytes, Self::ReceivedPackets];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::SentBytes => "sent_bytes",
            Self::SentPackets => "sent_packets",
            Self::ReceivedBytes => "received_bytes",
            Self::ReceivedPackets => "received_packets",
        }
    }

    fn of(self, sums: &Sums) -> u64 {
        match self {
            Self::Bytes => sums.sent_bytes.saturating_add(sums.received_bytes),
            Self::Packets => sums.sent_packets.saturating_add(sums.received_packets),
            Self::SentBytes => sums.sent_bytes,
            Self::SentPackets => sums.sent_packets,
            Self::ReceivedBytes => sums.received_bytes,
            Self::ReceivedPackets => sums.received_packets,
        }
    }
}

/// The rows at this moment.
#[derive(Debug)]
pub struct Snapshot {
    pub batch: StructArray,
    /// All that have a packet, also those that are not in the batch.
    pub rows: usize,
    /// Of all rows.
    pub sums: Sums,
    /// Of what is in no row of its own.
    pub other: Sums,
    /// What the groups had got before the rows were read.
    pub totals: GroupState,
}

/// The rows of `tables`, added up where two have the same key; with `top` only so many, the greatest first.
///
/// # Errors
/// Arrow's own; none is known to be possible here.
pub fn snapshot(
    spec: &KeySpec,
    tables: &[Arc<LiveTable>],
    interfaces: &InterfaceNames,
    top: Option<(usize, Order)>,
) -> Result<Snapshot, Error> {
    let totals = Glance::of(tables).totals;
    let (rows, labels) = merged(tables);
    let rows_max = rows.rows_max;
    let names = Names { interfaces, labels: &labels };
    Snapshot::of(rows, rows_max, spec, &names, top, totals)
}

impl Snapshot {
    /// Of rows that may not have a packet yet, `rows_max` of them at most.
    pub(crate) fn of(
        rows: impl Iterator<Item = (Key, Sums)>,
        rows_max: usize,
        spec: &KeySpec,
        names: &Names<'_>,
        top: Option<(usize, Order)>,
        totals: GroupState,
    ) -> Result<Self, Error> {
        let (mut count, mut sums, mut other) = (0, Sums::default(), Sums::default());
        let used = rows.filter(|(_, one)| one.sent_packets != 0 || one.received_packets != 0).inspect(|(key, one)| {
            count += 1;
            sums.merge(one);
            if key.is_other() {
                other.merge(one);
            }
        });
        let made = match top {
            None => batch(used, rows_max, spec, names, None)?,
            Some((limit, order)) => {
                let greatest = greatest(used, limit, order);
                let length = greatest.len();
                batch(greatest.into_iter(), length, spec, names, None)?
            }
        };
        Ok(Self { batch: made, rows: count, sums, other, totals })
    }
}

/// The greatest `limit` rows, in order; of equal ones those that came first.
fn greatest(rows: impl Iterator<Item = (Key, Sums)>, limit: usize, order: Order) -> Vec<(Key, Sums)> {
    /// Compared by its rank alone.
    struct Ranked(u64, Reverse<usize>, Key, Sums);
    impl Ranked {
        fn rank(&self) -> (u64, Reverse<usize>) {
            (self.0, self.1)
        }
    }
    impl PartialEq for Ranked {
        fn eq(&self, other: &Self) -> bool {
            self.rank() == other.rank()
        }
    }
    impl Eq for Ranked {}
    impl PartialOrd for Ranked {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Ranked {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.rank().cmp(&other.rank())
        }
    }

    // The least of the greatest is on top, and has to go first.
    let mut kept: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
    for (place, (key, sums)) in rows.enumerate() {
        let ranked = Ranked(order.of(&sums), Reverse(place), key, sums);
        if kept.len() < limit {
            kept.push(Reverse(ranked));
        } else if let Some(mut least) = kept.peek_mut()
            && least.0 < ranked
        {
            *least = Reverse(ranked);
        }
    }
    kept.into_sorted_vec().into_iter().map(|Reverse(Ranked(_, _, key, sums))| (key, sums)).collect()
}

/// The rows of several tables. The largest is read in place; the others, which a cut has left behind or just begun, are
/// kept by key.
struct Merged<I> {
    rows: I,
    rows_max: usize,
    others: HashMap<Key, Sums>,
    left: Option<IntoIter<Key, Sums>>,
}

impl<I: Iterator<Item = (Key, Sums)>> Iterator for Merged<I> {
    type Item = (Key, Sums);

    fn next(&mut self) -> Option<Self::Item> {
        let Some((key, mut sums)) = self.rows.next() else {
            let others = &mut self.others;
            return self.left.get_or_insert_with(|| std::mem::take(others).into_iter()).next();
        };
        if !self.others.is_empty()
            && let Some(more) = self.others.remove(&key)
        {
            sums.merge(&more);
        }
        Some((key, sums))
    }
}

/// The rows of all tables, and the labels that their tags mean.
fn merged(tables: &[Arc<LiveTable>]) -> (Merged<impl Iterator<Item = (Key, Sums)> + '_>, Vec<String>) {
    let mut counted: Vec<_> = tables.iter().map(|table| (table.len(), table)).collect();
    counted.sort_by_key(|&(count, _)| Reverse(count));
    let rows = counted.first().copied().into_iter().flat_map(|(count, table)| table.rows(count));
    // Behind the number of rows: a label is noted before the first row that has it.
    let mut labels = counted.first().map_or_else(Vec::new, |(_, table)| table.labels());
    let rows_max = counted.iter().map(|(count, _)| count).sum();
    let mut others: HashMap<Key, Sums> = HashMap::new();
    for (count, table) in counted.iter().skip(1) {
        let tags = common_tags(&table.labels(), &mut labels);
        for (key, sums) in table.rows(*count) {
            let tag = tags.get(key.tag() as usize).copied().unwrap_or_default();
            others.entry(key.with_tag(tag)).or_default().merge(&sums);
        }
    }
    (Merged { rows, rows_max, others, left: None }, labels)
}

/// What the numbers of one table's labels are among `known`, where they are noted.
fn common_tags(labels: &[String], known: &mut Vec<String>) -> Vec<u32> {
    let mut tags = Vec::with_capacity(labels.len());
    for label in labels {
        let place = known.iter().position(|one| one == label).unwrap_or_else(|| {
            known.push(label.clone());
            known.len() - 1
        });
        tags.push(u32::try_from(place).unwrap_or_default());
    }
    tags
}
