//! Where a connection stands in the life that its protocol gives it.

use crate::nfnetlink::{Attributes, Malformed};

const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_DCCP: u16 = 2;
const CTA_PROTOINFO_SCTP: u16 = 3;
/// The same number for all three.
const CTA_PROTOINFO_STATE: u16 = 1;
const CTA_PROTOINFO_SCTP_VTAG_ORIGINAL: u16 = 2;
const CTA_PROTOINFO_SCTP_VTAG_REPLY: u16 = 3;

/// The names are those that the program conntrack prints.
const TCP: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];
const DCCP: [&str; 10] =
    ["NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID"];
const SCTP: [&str; 9] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
];

/// The number of a state, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Tcp(u8),
    Dccp(u8),
    Sctp(u8),
}

/// What a flow says of itself by its protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProtocolInfo {
    pub(super) state: Option<State>,
    pub(super) verification_tags: Option<[u32; 2]>,
}

impl ProtocolInfo {
    /// Without content when it is of another protocol.
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut info = Self::default();
        for attribute in attributes {
            let attribute = attribute?;
            let of_protocol: fn(u8) -> State = match attribute.kind {
                CTA_PROTOINFO_TCP => State::Tcp,
                CTA_PROTOINFO_DCCP => State::Dccp,
                CTA_PROTOINFO_SCTP => State::Sctp,
                _ => continue,
            };
            let mut tags = [None; 2];
            for inner in attribute.nested() {
                let inner = inner?;
                match (attribute.kind, inner.kind) {
                    (_, CTA_PROTOINFO_STATE) => info.state = Some(of_protocol(inner.number_u8()?)),
                    (CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL) => tags[0] = Some(inner.number_u32()?),
                    (CTA_PROTOINFO_SCTP, CTA_PROTOINFO_SCTP_VTAG_REPLY) => tags[1] = Some(inner.number_u32()?),
                    _ => {}
                }
            }
            if let [Some(original), Some(reply)] = tags {
                info.verification_tags = Some([original, reply]);
            }
        }
        Ok(info)
    }
}

impl State {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp(number) | Self::Dccp(number) | Self::Sctp(number) => number,
        }
    }

    /// None for a number that is not known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let names: &[&str] = match self {
            Self::Tcp(_) => &TCP,
            Self::Dccp(_) => &DCCP,
            Self::Sctp(_) => &SCTP,
        };
        names.get(usize::from(self.number())).copied()
    }
}
