//! Objects of `nfnetlink_acct`, the kernel's named counters: reading them, and writing requests about them. No sockets.
//!
//! Layout: `linux/netfilter/nfnetlink_acct.h`. Reading is total; attributes may come in any order, and those that are not
//! known are passed over.

use crate::nfnetlink::{Attributes, Malformed, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Request};

const NFNL_SUBSYS_ACCT: u16 = 7;
const NFNL_MSG_ACCT_NEW: u16 = NFNL_SUBSYS_ACCT << 8;
const NFNL_MSG_ACCT_GET: u16 = NFNL_SUBSYS_ACCT << 8 | 1;
const NFNL_MSG_ACCT_GET_CTRZERO: u16 = NFNL_SUBSYS_ACCT << 8 | 2;
const NFNL_MSG_ACCT_DEL: u16 = NFNL_SUBSYS_ACCT << 8 | 3;
const NFNL_MSG_ACCT_OVERQUOTA: u16 = NFNL_SUBSYS_ACCT << 8 | 4;

const NFACCT_NAME: u16 = 1;
const NFACCT_PKTS: u16 = 2;
const NFACCT_BYTES: u16 = 3;
const NFACCT_USE: u16 = 4;
const NFACCT_FLAGS: u16 = 5;
const NFACCT_QUOTA: u16 = 6;
const NFACCT_FILTER: u16 = 7;
const NFACCT_FILTER_MASK: u16 = 1;
const NFACCT_FILTER_VALUE: u16 = 2;

pub const QUOTA_PACKETS: u32 = 1;
pub const QUOTA_BYTES: u32 = 2;
pub const OVERQUOTA: u32 = 4;

/// The multicast group that is told when a quota is reached.
pub const NFNLGRP_ACCT_QUOTA: u32 = 8;

/// A name is 1 to 31 bytes, none of them NUL.
pub const NAME_BYTES_MAX: usize = 31;

/// No object takes more of a message than this with what today's kernels write.
pub const OBJECT_BYTES_MAX: usize = 128;

/// One named counter, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    pub name: Vec<u8>,
    pub packets: u64,
    pub bytes: u64,
    /// 1 for the object itself, and 1 for each rule that refers to it.
    pub references: u32,
    /// [`QUOTA_PACKETS`], [`QUOTA_BYTES`], [`OVERQUOTA`].
    pub flags: u32,
    pub quota: Option<u64>,
}

impl Object {
    /// # Errors
    /// A number is too short, an attribute leads out of the message, or there is no name.
    pub fn read(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut object = Self::default();
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                NFACCT_NAME => object.name = attribute.text().to_vec(),
                NFACCT_PKTS => object.packets = attribute.number_u64()?,
                NFACCT_BYTES => object.bytes = attribute.number_u64()?,
                NFACCT_USE => object.references = attribute.number_u32()?,
                NFACCT_FLAGS => object.flags = attribute.number_u32()?,
                NFACCT_QUOTA => object.quota = Some(attribute.number_u64()?),
                _ => {}
            }
        }
        if object.name.is_empty() { Err(Malformed) } else { Ok(object) }
    }
}

/// Whether a message of this kind is about one object. The kernel gives all of them, events too, the kind of a new one.
#[must_use]
pub fn is_object(kind: u16) -> bool {
    matches!(kind, NFNL_MSG_ACCT_NEW | NFNL_MSG_ACCT_OVERQUOTA)
}

/// Which objects the kernel is to tell: those whose flags, cut to `mask`, are `value`. A mask of 0 means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub mask: u32,
    pub value: u32,
}

#[must_use]
pub fn dump(filter: Filter) -> Request {
    let request = Request::new(NFNL_MSG_ACCT_GET, NLM_F_DUMP, 0);
    if filter.mask == 0 {
        return request;
    }
    request.with_nested(NFACCT_FILTER, &[(NFACCT_FILTER_MASK, filter.mask), (NFACCT_FILTER_VALUE, filter.value)])
}

#[must_use]
pub fn get(name: &[u8]) -> Request {
    named(NFNL_MSG_ACCT_GET, NLM_F_ACK, name)
}

/// Get, and set the counters to 0 in the same moment.
#[must_use]
pub fn get_and_zero(name: &[u8]) -> Request {
    named(NFNL_MSG_ACCT_GET_CTRZERO, NLM_F_ACK, name)
}

/// Make an object that is not there yet.
#[must_use]
pub fn create(object: &Object) -> Request {
    let request = named(NFNL_MSG_ACCT_NEW, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &object.name)
        .with(NFACCT_PKTS, &object.packets.to_be_bytes())
        .with(NFACCT_BYTES, &object.bytes.to_be_bytes());
    match object.quota {
        None => request,
        Some(quota) => request.with(NFACCT_FLAGS, &object.flags.to_be_bytes()).with(NFACCT_QUOTA, &quota.to_be_bytes()),
    }
}

#[must_use]
pub fn delete(name: &[u8]) -> Request {
    named(NFNL_MSG_ACCT_DEL, NLM_F_ACK, name)
}

/// Delete all that no rule uses.
#[must_use]
pub fn flush() -> Request {
    Request::new(NFNL_MSG_ACCT_DEL, NLM_F_ACK, 0)
}

fn named(kind: u16, flags: u16, name: &[u8]) -> Request {
    Request::new(kind, flags, 0).with(NFACCT_NAME, &[name, &[0]].concat())
}
