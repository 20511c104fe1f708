//! What connection tracking counts about itself.

use crate::conntrack::NFNL_SUBSYS_CTNETLINK;
use crate::nfnetlink::{Attributes, Malformed};

const IPCTNL_MSG_CT_GET_STATS_CPU: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 4;
const IPCTNL_MSG_CT_GET_STATS: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 5;
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
const CTA_STATS_GLOBAL_MAX_ENTRIES: u16 = 2;

/// How many numbers a processor's counts have at most: `CTA_STATS_...` from 1 to 15.
pub const STATISTICS: usize = 15;

/// The flows of the network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub flows: u32,
    pub flows_max: Option<u32>,
}

impl Count {
    /// None for a message of another kind.
    ///
    /// # Errors
    /// A number is too short or missing, or an attribute leads out of the message.
    pub fn read(kind: u16, attributes: Attributes<'_>) -> Result<Option<Self>, Malformed> {
        if kind != IPCTNL_MSG_CT_GET_STATS {
            return Ok(None);
        }
        let (mut flows, mut flows_max) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_STATS_GLOBAL_ENTRIES => flows = Some(attribute.number_u32()?),
                CTA_STATS_GLOBAL_MAX_ENTRIES => flows_max = Some(attribute.number_u32()?),
                _ => {}
            }
        }
        Ok(Some(Self { flows: flows.ok_or(Malformed)?, flows_max }))
    }
}

/// What one processor has counted since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub processor: u16,
    /// By number, the first is `CTA_STATS_SEARCHED`; None for those that this kernel does not count.
    pub counts: [Option<u32>; STATISTICS],
}

impl Statistics {
    /// None for a message of another kind; `processor` is the message's resource.
    ///
    /// # Errors
    /// A number is too short, or an attribute leads out of the message.
    pub fn read(kind: u16, processor: u16, attributes: Attributes<'_>) -> Result<Option<Self>, Malformed> {
        if kind != IPCTNL_MSG_CT_GET_STATS_CPU {
            return Ok(None);
        }
        let mut statistics = Self { processor, ..Self::default() };
        for attribute in attributes {
            let attribute = attribute?;
            let place = usize::from(attribute.kind).checked_sub(1);
            if let Some(count) = place.and_then(|place| statistics.counts.get_mut(place)) {
                *count = Some(attribute.number_u32()?);
            }
        }
        Ok(Some(statistics))
    }
}
