//! Quota objects of nftables: reading them, and the request for them. No sockets.
//!
//! Layout: `linux/netfilter/nf_tables.h`. Reading is total; attributes may come in any order, and those that are not
//! known are passed over.

use crate::nfnetlink::{Attributes, Content, Malformed, NLM_F_DUMP, Reply, Request};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 0x12;
const NFT_MSG_GETOBJ: u16 = NFNL_SUBSYS_NFTABLES << 8 | 0x13;

const NFTA_OBJ_TABLE: u16 = 1;
const NFTA_OBJ_NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;
const NFTA_OBJ_DATA: u16 = 4;
const NFTA_OBJ_USE: u16 = 5;
const NFTA_OBJ_HANDLE: u16 = 6;
const NFT_OBJECT_QUOTA: u32 = 2;

const NFTA_QUOTA_BYTES: u16 = 1;
const NFTA_QUOTA_FLAGS: u16 = 2;
const NFTA_QUOTA_CONSUMED: u16 = 4;
const NFT_QUOTA_F_INV: u32 = 1;

/// One quota object, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub family: u8,
    pub table: Vec<u8>,
    pub name: Vec<u8>,
    /// Its number in its table; another one when it was deleted and made again.
    pub handle: u64,
    /// How many rules and elements of maps refer to it.
    pub references: u32,
    pub limit: u64,
    /// What has passed, but never told to be more than the limit (`nft_quota.c: nft_quota_do_dump`).
    pub used: u64,
    /// Whether it matches beyond the limit (`over`), and not below it (`until`).
    pub is_over: bool,
}

impl Quota {
    /// None: it is an object of another kind, a counter say.
    ///
    /// # Errors
    /// A number is too short or missing, an attribute leads out of the message, or there is no name.
    pub fn read(family: u8, attributes: Attributes<'_>) -> Result<Option<Self>, Malformed> {
        let mut quota = Self { family, ..Self::default() };
        let (mut kind, mut content) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_OBJ_TABLE => quota.table = attribute.text().to_vec(),
                NFTA_OBJ_NAME => quota.name = attribute.text().to_vec(),
                NFTA_OBJ_TYPE => kind = Some(attribute.number_u32()?),
                NFTA_OBJ_DATA => content = Some(attribute.nested()),
                NFTA_OBJ_USE => quota.references = attribute.number_u32()?,
                NFTA_OBJ_HANDLE => quota.handle = attribute.number_u64()?,
                _ => {}
            }
        }
        if kind != Some(NFT_OBJECT_QUOTA) {
            return if kind.is_some() { Ok(None) } else { Err(Malformed) };
        }
        let (mut limit, mut used) = (None, None);
        for attribute in content.ok_or(Malformed)? {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_QUOTA_BYTES => limit = Some(attribute.number_u64()?),
                NFTA_QUOTA_FLAGS => quota.is_over = attribute.number_u32()? & NFT_QUOTA_F_INV != 0,
                NFTA_QUOTA_CONSUMED => used = Some(attribute.number_u64()?),
                _ => {}
            }
        }
        // A quota without its numbers must not be taken for one of which nothing is used.
        quota.limit = limit.ok_or(Malformed)?;
        quota.used = used.ok_or(Malformed)?;
        if quota.table.is_empty() || quota.name.is_empty() { Err(Malformed) } else { Ok(Some(quota)) }
    }
}

/// The quota that a message is about, or None when it is about something else.
///
/// # Errors
/// As [`Quota::read`].
pub fn quota_of(reply: &Reply<'_>) -> Result<Option<Quota>, Malformed> {
    match &reply.content {
        Content::Data { kind: NFT_MSG_NEWOBJ, attributes } => Quota::read(reply.family, attributes.clone()),
        _ => Ok(None),
    }
}

/// All quotas of every table of a family, or of every family.
#[must_use]
pub fn dump_quotas(family: u8) -> Request {
    Request::new(NFT_MSG_GETOBJ, NLM_F_DUMP, family).with(NFTA_OBJ_TYPE, &NFT_OBJECT_QUOTA.to_be_bytes())
}
