//! A list of flows, taken part by part.

use super::{Kept, TABLE, failed};
use crate::conntrack::filter::Filter;
use crate::conntrack::requests::{self, Prefilter};
use crate::conntrack::{Flow, Tuple, flow_of};
use crate::error::Error;
use crate::nfnetlink::Request;
use crate::nfnetlink::conversation::{Conversation, Failure};

const DUMP: &str = "dump";
/// So many flows back one may come again. The kernel repeats a bucket of its table, whose chains it keeps below 80.
const REMEMBERED: usize = 256;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Table,
    /// Gone, but their event has not been taken.
    Dying,
    /// Their first packet is still on its way.
    Unconfirmed,
}

/// The flows of the network namespace of the thread that opened it, one after the other.
///
/// There is no common moment: each flow is as it was when its part was written. A flow that was there from begin to end
/// comes once.
#[derive(Debug)]
pub struct Dump {
    conversation: Conversation,
    filter: Filter,
    recent: Recent,
    /// Nothing has come yet, so that the question may be put in another way.
    plainer: Option<Request>,
    ended: bool,
}

impl Dump {
    /// # Errors
    /// [`crate::error::Kind::NotSupported`]: a kernel without netfilter's netlink.
    pub fn open(list: List, filter: Filter) -> Result<Self, Error> {
        let family = filter.family();
        let (request, plainer) = match list {
            List::Table => {
                let plainer = requests::dump(&filter, Prefilter::Marks);
                let request = requests::dump(&filter, Prefilter::Tuples);
                let plainer = (plainer != request).then_some(plainer);
                (request, plainer)
            }
            List::Dying => (requests::dying(family), None),
            List::Unconfirmed => (requests::unconfirmed(family), None),
        };
        let fail = |failure| failed(TABLE, DUMP, failure);
        let mut conversation = Conversation::open().map_err(Failure::Socket).map_err(fail)?;
        conversation.send(request).map_err(fail)?;
        Ok(Self { conversation, filter, recent: Recent::default(), plainer, ended: false })
    }

    /// The flows of the next part that pass the filter, which may be none; None at the end. Does not block.
    ///
    /// # Errors
    /// [`crate::error::Kind::PermissionDenied`]; [`crate::error::Kind::Unsteady`]: what came is not all.
    pub fn part(&mut self) -> Result<Option<Vec<Kept>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let mut flows = Vec::new();
        let (filter, recent) = (&self.filter, &mut self.recent);
        recent.begin_part();
        let received = self.conversation.receive_part(&mut |reply| {
            if let Some((_, flow)) = flow_of(reply) {
                let flow = flow?;
                if recent.is_first(&flow) && filter.holds(&flow) {
                    flows.push(flow.into());
                }
            }
            Ok(())
        });
        match received {
            Ok(None) => self.plainer = None,
            Ok(Some(_)) => self.ended = true,
            Err(Failure::Refused { errno: libc::EINVAL | libc::EOPNOTSUPP, .. }) if self.plainer.is_some() => {
                self.ask_plainly()?;
            }
            Err(failure) => {
                self.ended = true;
                return Err(failed(TABLE, DUMP, failure));
            }
        }
        Ok(Some(flows))
    }

    /// This kernel does not compare tuples.
    fn ask_plainly(&mut self) -> Result<(), Error> {
        let Some(request) = self.plainer.take() else { return Ok(()) };
        self.conversation.send(request).map_err(|failure| failed(TABLE, DUMP, failure))
    }
}

/// Tells a flow that came a moment ago: when the one with which a part should go on is gone, `ctnetlink_dump_table` begins
/// its bucket again.
#[derive(Debug, Default)]
struct Recent {
    ids: Vec<u32>,
    tuples: Vec<Tuple>,
    /// How many of them came before this part.
    before: usize,
}

impl Recent {
    fn begin_part(&mut self) {
        let old = self.ids.len().saturating_sub(REMEMBERED);
        self.ids.drain(..old);
        self.tuples.drain(..old);
        self.before = self.ids.len();
    }

    fn is_first(&mut self, flow: &Flow<'_>) -> bool {
        let id = flow.id.unwrap_or(0);
        let earlier = self.ids.iter().take(self.before);
        // Two flows may have the same id, if hardly ever; but not the same direction as well.
        if earlier.zip(&self.tuples).any(|(known, tuple)| *known == id && *tuple == flow.original) {
            return false;
        }
        self.ids.push(id);
        self.tuples.push(flow.original);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(id: u32) -> Flow<'static> {
        Flow { id: Some(id), ..Flow::default() }
    }

    fn first_of(recent: &mut Recent, ids: impl IntoIterator<Item = u32>) -> Vec<u32> {
        recent.begin_part();
        ids.into_iter().filter(|&id| recent.is_first(&flow(id))).collect()
    }

    #[test]
    fn a_bucket_that_is_begun_again_gives_what_is_new_in_it() {
        let mut recent = Recent::default();
        assert_eq!(first_of(&mut recent, [1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(first_of(&mut recent, [9, 3, 4, 5]), [9, 5]);
        assert_eq!(first_of(&mut recent, [3, 9, 5, 6]), [6]);
    }

    #[test]
    fn flows_of_the_same_id_are_told_by_their_direction() {
        let mut recent = Recent::default();
        let other = Flow { original: Tuple { protocol: 6, ..Tuple::default() }, ..flow(1) };
        assert!(recent.is_first(&flow(1)));
        recent.begin_part();
        assert!(recent.is_first(&other));
        assert!(!recent.is_first(&flow(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::default();
        for part in 0..20 {
            assert_eq!(first_of(&mut recent, part * 300..(part + 1) * 300).len(), 300);
        }
        recent.begin_part();
        assert_eq!((recent.ids.len(), recent.tuples.len()), (REMEMBERED, REMEMBERED));
        assert!(!recent.is_first(&flow(5_999)) && recent.is_first(&flow(0)));
    }
}
