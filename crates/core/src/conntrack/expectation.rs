//! Flows that a helper expects, such as the data connection of an FTP session.

use crate::conntrack::Tuple;
use crate::nfnetlink::{Attributes, Malformed};

const IPCTNL_MSG_EXP_NEW: u16 = 2 << 8;
const CTA_EXPECT_MASTER: u16 = 1;
const CTA_EXPECT_TUPLE: u16 = 2;
const CTA_EXPECT_MASK: u16 = 3;
const CTA_EXPECT_TIMEOUT: u16 = 4;
const CTA_EXPECT_ID: u16 = 5;
const CTA_EXPECT_HELP_NAME: u16 = 6;
const CTA_EXPECT_ZONE: u16 = 7;
const CTA_EXPECT_FLAGS: u16 = 8;
const CTA_EXPECT_CLASS: u16 = 9;
const CTA_EXPECT_FN: u16 = 11;

/// What is expected, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation<'a> {
    pub family: u8,
    pub tuple: Tuple,
    /// The bits of the tuple that count.
    pub mask: Tuple,
    /// The original direction of the flow whose helper expects it.
    pub master: Tuple,
    pub timeout_seconds: Option<u32>,
    pub id: Option<u32>,
    pub zone: Option<u16>,
    /// `NF_CT_EXPECT_...`: 1 stays after a match, 2 is not active, 4 was made by a program.
    pub flags: Option<u32>,
    pub class: Option<u32>,
    pub helper: Option<&'a [u8]>,
    pub function: Option<&'a [u8]>,
}

impl<'a> Expectation<'a> {
    /// # Errors
    /// As [`crate::conntrack::Flow::read`].
    pub fn read(family: u8, attributes: Attributes<'a>) -> Result<Self, Malformed> {
        let mut expectation = Self { family, ..Self::default() };
        let (mut tuple, mut mask, mut master) = (None, None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CTA_EXPECT_TUPLE => tuple = Some(Tuple::read(family, attribute.nested())?),
                CTA_EXPECT_MASK => mask = Some(Tuple::read(family, attribute.nested())?),
                CTA_EXPECT_MASTER => master = Some(Tuple::read(family, attribute.nested())?),
                CTA_EXPECT_TIMEOUT => expectation.timeout_seconds = Some(attribute.number_u32()?),
                CTA_EXPECT_ID => expectation.id = Some(attribute.number_u32()?),
                CTA_EXPECT_ZONE => expectation.zone = Some(attribute.number_u16()?),
                CTA_EXPECT_FLAGS => expectation.flags = Some(attribute.number_u32()?),
                CTA_EXPECT_CLASS => expectation.class = Some(attribute.number_u32()?),
                CTA_EXPECT_HELP_NAME => expectation.helper = Some(attribute.text()),
                CTA_EXPECT_FN => expectation.function = Some(attribute.text()),
                _ => {}
            }
        }
        expectation.tuple = tuple.ok_or(Malformed)?;
        expectation.mask = mask.ok_or(Malformed)?;
        expectation.master = master.ok_or(Malformed)?;
        Ok(expectation)
    }
}

/// Whether a message of this kind is about one.
#[must_use]
pub fn is_expectation(kind: u16) -> bool {
    kind == IPCTNL_MSG_EXP_NEW
}
