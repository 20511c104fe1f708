//! Named counters of nftables, and the tables that they are in: reading them, and the requests for them. No sockets.
//!
//! Layout: `linux/netfilter/nf_tables.h`. Reading is total; attributes may come in any order, and those that are not
//! known are passed over. Nothing here changes a counter.

use crate::nfnetlink::{Attributes, Content, Malformed, NLM_F_DUMP, Reply, Request};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NFT_MSG_GETTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 1;
const NFT_MSG_NEWOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 0x12;
const NFT_MSG_GETOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 0x13;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_HANDLE: u16 = 4;

const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFTA_OBJ_USE: u16 = 5;
const NFTA_OBJ_HANDLE: u16 = 6;
const NFT_OBJECT_COUNTER: u32 = 1;

const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

/// Stands for every family (`NFPROTO_UNSPEC`).
pub const ANY_FAMILY: u8 = 0;

/// A table, without what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// `NFPROTO_...`: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    pub name: Vec<u8>,
    /// Another one when a table was deleted and made again.
    pub handle: u64,
}

impl Table {
    /// # Errors
    /// A number is too short, an attribute leads out of the message, or there is no name.
    pub fn read(family: u8, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut table = Self { family, ..Self::default() };
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_TABLE_NAME => table.name = attribute.text().to_vec(),
                NFTA_TABLE_HANDLE => table.handle = attribute.number_u64()?,
                _ => {}
            }
        }
        if table.name.is_empty() { Err(Malformed) } else { Ok(table) }
    }
}

/// One named counter, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub family: u8,
    pub table: Vec<u8>,
    pub name: Vec<u8>,
    /// Its number in its table; another one when it was deleted and made again. Kernels before 4.17 do not tell: 0.
    pub handle: u64,
    /// How many rules and elements of maps refer to it.
    pub references: u32,
    pub packets: u64,
    pub bytes: u64,
}

impl Counter {
    /// None: it is an object of another kind, a quota say.
    ///
    /// # Errors
    /// A number is too short or missing, an attribute leads out of the message, or there is no name.
    pub fn read(family: u8, attributes: Attributes<'_>) -> Result<Option<Self>, Malformed> {
        let mut counter = Self { family, ..Self::default() };
        let (mut kind, mut content) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_OBJ_TABLE => counter.table = attribute.text().to_vec(),
                NFTA_OBJ_NAME => counter.name = attribute.text().to_vec(),
                NFTA_OBJ_TYPE => kind = Some(attribute.number_u32()?),
                NFTA_OBJ_DATA => content = Some(attribute.nested()),
                NFTA_OBJ_USE => counter.references = attribute.number_u32()?,
                NFTA_OBJ_HANDLE => counter.handle = attribute.number_u64()?,
                _ => {}
            }
        }
        if kind != Some(NFT_OBJECT_COUNTER) {
            return if kind.is_some() { Ok(None) } else { Err(Malformed) };
        }
        let (mut packets, mut bytes) = (None, None);
        for attribute in content.ok_or(Malformed)? {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_COUNTER_PACKETS => packets = Some(attribute.number_u64()?),
                NFTA_COUNTER_BYTES => bytes = Some(attribute.number_u64()?),
                _ => {}
            }
        }
        // A counter without its numbers must not be taken for one that has counted nothing.
        counter.packets = packets.ok_or(Malformed)?;
        counter.bytes = bytes.ok_or(Malformed)?;
        if counter.table.is_empty() || counter.name.is_empty() { Err(Malformed) } else { Ok(Some(counter)) }
    }
}

/// The counter that a message is about, or None when it is about something else.
///
/// # Errors
/// As [`Counter::read`].
pub fn counter_of(reply: &Reply<'_>) -> Result<Option<Counter>, Malformed> {
    match &reply.content {
        Content::Data { kind: NFT_MSG_NEWOBJ, attributes } => Counter::read(reply.family, attributes.clone()),
        _ => Ok(None),
    }
}

/// The table that a message is about, or None when it is about something else.
///
/// # Errors
/// As [`Table::read`].
pub fn table_of(reply: &Reply<'_>) -> Result<Option<Table>, Malformed> {
    match &reply.content {
        Content::Data { kind: NFT_MSG_NEWTABLE, attributes } => Table::read(reply.family, attributes.clone()).map(Some),
        _ => Ok(None),
    }
}

/// All tables of a family, or of every one.
#[must_use]
pub fn dump_tables(family: u8) -> Request {
    Request::new(NFT_MSG_GETTABLE, NLM_F_DUMP, family)
}

/// All counters of a table, or of every table of the family; of a table that is not there, none.
#[must_use]
pub fn dump_counters(family: u8, table: Option<&[u8]>) -> Request {
    let request =
        Request::new(NFT_MSG_GETOBJ, NLM_F_DUMP, family).with(NFTA_OBJ_TYPE, &NFT_OBJECT_COUNTER.to_be_bytes());
    match table {
        None => request,
        Some(table) => request.with(NFTA_OBJ_TABLE, &[table, &[0]].concat()),
    }
}
