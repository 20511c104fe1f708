//! The quota objects of nftables, read as its counters are.

use super::{Error, NftCounters, Table, dump_tables, steady, table_of};
use crate::nft_counters::ANY_FAMILY;
use crate::nft_quotas::{Quota, dump_quotas, quota_of};

const SUBJECT: &str = "nft quotas";

impl NftCounters {
    /// All tables and all quotas, of one moment of the ruleset.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unsteady`]: the ruleset was changed each time while it was read.
    pub fn quotas(&mut self) -> Result<(Vec<Table>, Vec<Quota>), Error> {
        steady(|| {
            let (tables, before) = self.listed(dump_tables(ANY_FAMILY), &table_of)?;
            let (quotas, after) = self.listed(dump_quotas(ANY_FAMILY), &quota_of)?;
            let is_one = before.zip(after).is_none_or(|(before, after)| before == after);
            Ok(is_one.then_some((tables, quotas)))
        })
        .map_err(|error| Error { subject: SUBJECT.to_owned(), ..error })
    }
}
