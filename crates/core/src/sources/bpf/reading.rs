//! Reads what a generation has counted, and checks that rows and receipt say the same.

use std::collections::HashMap;
use std::collections::hash_map::IntoIter;
use std::path::Path;

use crate::batch::{InterfaceNames, Names};
use crate::error::Error;
use crate::flow::{Account, Key, Sums};
use crate::live::{Glance, Order, Snapshot};
use crate::sys::bpf::Map;
use crate::table::bulk::BulkFile;
use crate::table::closed::Closed;
use crate::table::header::GroupState;

use super::opened::Opened;
use super::receipt::Receipt;
use super::rows::{Parts, Rows};
use super::trouble::explain;

/// Rows that no map has: external and other.
const SPECIALS: usize = 2;

/// What generations that were read have counted, since this process has the program.
#[derive(Debug, Default)]
pub(super) struct Books {
    closed: GroupState,
    /// Those of them that the kernel may still have.
    read: Vec<u64>,
}

impl Opened {
    pub(super) fn read(&self, generation: u64, path: &Path) -> Result<Closed, Error> {
        if self.generation()? == generation {
            return Err(self.pins.fail("read", format!("generation {generation} is open")));
        }
        let map = self.rows_of(generation, "read")?;
        let receipt = self.slot_receipt(generation)?;
        let expected = usize::try_from(receipt.rows).unwrap_or(usize::MAX).min(self.about.rows_max as usize);
        let mut file = BulkFile::create(path, &self.about.spec, self.about.rows_max as usize, expected + SPECIALS)?;
        let written = self.write(generation, &map, &receipt, &mut file);
        if let Err(error) = written.and_then(|rows| self.balance(generation, &receipt, rows, &file.sums())) {
            file.abandon();
            return Err(error);
        }
        let closed = file.finish(&receipt.state())?;
        let mut books = self.books();
        if !books.read.contains(&generation) {
            books.read.push(generation);
            books.closed.merge(&closed.totals);
        }
        Ok(closed)
    }

    /// Returns how many rows there were.
    fn write(&self, generation: u64, map: &Map, receipt: &Receipt, file: &mut BulkFile) -> Result<u64, Error> {
        file.add_special(Account::Other, &receipt.other);
        file.add_special(Account::External, &receipt.external);
        let mut parts = Parts::new(map);
        let (key_words, mut rows) = (parts.key_words(), 0);
        let failed = |error: std::io::Error| explain("read", &error, self.about.attach, "");
        while let Some((keys, values)) = parts.next().map_err(failed)? {
            rows += keys.len() as u64 / key_words as u64;
            // The file has room for those that the program made, and it is not for want of space that others find none.
            if rows > receipt.rows {
                return Err(
                    self.unbalanced(generation, &format!("{} rows were made, and more are there", receipt.rows))
                );
            }
            file.append(key_words, keys, values)?;
        }
        Ok(rows)
    }

    /// Whether each side of the books is what was counted, and no row is missing.
    fn balance(&self, generation: u64, receipt: &Receipt, rows: u64, sums: &Sums) -> Result<(), Error> {
        let expected = receipt.readable();
        let cause = if *sums != expected {
            format!("posted {sums:?}, counted {expected:?}")
        } else if rows != receipt.rows {
            format!("{} rows were made, and {rows} are there", receipt.rows)
        } else {
            return Ok(());
        };
        Err(self.unbalanced(generation, &cause))
    }

    /// Who cuts knows it by these words, and books none of the rows.
    fn unbalanced(&self, generation: u64, cause: &str) -> Error {
        let cause = format!("generation {generation}: rows and receipt do not add up: {cause}");
        self.pins.fail("read", cause)
    }

    pub(super) fn receipt(&self, generation: u64) -> Result<(GroupState, Sums), Error> {
        self.rows_of(generation, "read the receipt")?;
        let receipt = self.slot_receipt(generation)?;
        Ok((receipt.state(), receipt.other))
    }

    pub(super) fn glance(&self) -> Result<(Glance, GroupState), Error> {
        let mut glance = Glance::default();
        let open = self.generation()?;
        let generations = self.generations()?;
        // Held over all receipts, so that none is added up twice, or not at all.
        let mut books = self.books();
        books.read.retain(|read| generations.contains(read));
        let mut since_start = books.closed;
        for generation in generations {
            if books.read.contains(&generation) {
                continue;
            }
            let receipt = self.slot_receipt(generation)?;
            let state = receipt.state();
            since_start.merge(&state);
            if generation == open {
                glance.rows = usize::try_from(receipt.rows).unwrap_or(usize::MAX);
                glance.totals = state;
                glance.other = receipt.other;
            }
        }
        Ok((glance, since_start))
    }

    /// The generations whose rows are in no file yet, the open one last.
    fn unread(&self) -> Result<Vec<u64>, Error> {
        let (open, mut generations) = (self.generation()?, self.generations()?);
        let books = self.books();
        generations.retain(|generation| !books.read.contains(generation));
        generations.sort_by_key(|&generation| (generation == open, generation));
        Ok(generations)
    }

    pub(super) fn snapshot(&self, names: &InterfaceNames, top: Option<(usize, Order)>) -> Result<Snapshot, Error> {
        let failed = |error: std::io::Error| explain("look", &error, self.about.attach, "");
        let generations = self.unread()?;
        // One that was discarded meanwhile is in a file.
        let mut maps: Vec<_> = generations.iter().filter_map(|&one| self.rows_of(one, "look").ok()).collect();
        let (mut totals, mut expected) = (GroupState::default(), 0);
        let mut others: HashMap<Key, Sums> = HashMap::new();
        for generation in generations {
            let receipt = self.slot_receipt(generation)?;
            totals.merge(&receipt.state());
            expected += usize::try_from(receipt.rows).unwrap_or_default();
            for (account, sums) in [(Account::Other, receipt.other), (Account::External, receipt.external)] {
                others.entry(Key::special(account, 0)).or_default().merge(&sums);
            }
        }
        // The last one is read in place; one that a cut has just left is kept by key.
        let last = maps.pop();
        for map in &maps {
            let mut rows = Rows::new(map);
            for (key, sums) in &mut rows {
                others.entry(key).or_default().merge(&sums);
            }
            rows.failure.map_or(Ok(()), |error| Err(failed(error)))?;
        }
        let mut rows = last.as_deref().map(Rows::new);
        expected += others.len();
        let mut left: Option<IntoIter<Key, Sums>> = None;
        let merged = std::iter::from_fn(|| {
            let Some((key, mut sums)) = rows.as_mut().and_then(Iterator::next) else {
                return left.get_or_insert_with(|| std::mem::take(&mut others).into_iter()).next();
            };
            if let Some(more) = others.remove(&key) {
                sums.merge(&more);
            }
            Some((key, sums))
        });
        let names = Names { interfaces: names, labels: &[] };
        let snapshot = Snapshot::of(merged, expected, &self.about.spec, &names, top, totals)?;
        rows.and_then(|rows| rows.failure).map_or(Ok(snapshot), |error| Err(failed(error)))
    }
}
